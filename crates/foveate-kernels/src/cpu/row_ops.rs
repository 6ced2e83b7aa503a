//! Operations that go through rows of activations once: norm, embed, combine, scatter.
//!
//! They are bound by memory, so threads share them only where there are more floats than one thread reads while
//! another wakes ([`ThreadPool::for_rows`]).

use std::ops::Range;

use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::LANES;
use super::panels::PackedWeight;
use super::shared_slice::SharedSlice;
use super::thread_pool::ThreadPool;
use crate::backend::{Into, Norm, NormKind, RowMap};
use crate::error::{Error, Result, same};
use crate::rows::{Rows, check_rows, check_scatter};

/// [`Backend::embed`](crate::Backend::embed), on the calling thread: an answer looks up few ids.
pub(super) fn embed(table: &PackedWeight, ids: &[u32], out: &mut Rows, at: usize) -> Result<()> {
    same("width of an embedding", table.inputs, out.width)?;
    let width = out.width;
    let slots = out.place("rows of embeddings", at, ids.len())?;
    for (&id, slot) in ids.iter().zip(slots.chunks_exact_mut(width.max(1))) {
        if !table.entry(id as usize, slot) {
            let known = format!("an entry of a table of {}", table.outputs);
            return Err(Error::shape("token id", known, id));
        }
    }
    Ok(())
}

/// [`Backend::combine`](crate::Backend::combine).
pub(super) fn combine(
    pool: &ThreadPool,
    x: &Rows,
    map: &RowMap,
    out: &mut Rows,
    at: usize,
) -> Result<()> {
    same("width of combined rows", x.width, out.width)?;
    map.check(x.rows)?;
    let width = out.width;
    let shared = SharedSlice::new(out.place("combined rows", at, map.rows())?);
    let sources = map.from.len().div_ceil(map.rows().max(1));
    pool.for_rows(map.rows(), width * (1 + sources), |rows| {
        for i in rows {
            // SAFETY: each row is written by one task.
            let row = unsafe { shared.part(i * width..(i + 1) * width) };
            row.fill(0.0);
            for (from, weight) in map.sources(i) {
                for (o, v) in row.iter_mut().zip(x.row(from)) {
                    *o += weight * v;
                }
            }
        }
    });
    Ok(())
}

/// [`Backend::scatter`](crate::Backend::scatter). Where the slots do not ascend, two rows may go to one of them, and
/// the calling thread alone does all in order.
pub(super) fn scatter(
    pool: &ThreadPool,
    x: &Rows,
    from: &[u32],
    to: &[u32],
    into: Into,
    out: &mut Rows,
) -> Result<()> {
    check_scatter(x, from, to, out)?;
    let width = out.width;
    let shared = SharedSlice::new(&mut out.data);
    let scatter = |range: Range<usize>| {
        for i in range {
            let (row, to) = (x.row(from[i] as usize), to[i] as usize);
            // SAFETY: each row is written by one task: by the only one, or none is in two of them.
            let slots = unsafe { shared.part(to * width..(to + 1) * width) };
            match into {
                Into::Store => slots.copy_from_slice(row),
                Into::Add => slots.iter_mut().zip(row).for_each(|(slot, x)| *slot += x),
            }
        }
    };
    if to.is_sorted_by(|a, b| a < b) {
        pool.for_rows(from.len(), 2 * x.width, scatter);
    } else {
        scatter(0..from.len());
    }
    Ok(())
}

/// [`Backend::norm`](crate::Backend::norm).
pub(super) fn norm(
    isa: DetectedIsa,
    pool: &ThreadPool,
    x: &Rows,
    rows: Option<&[u32]>,
    norm: &Norm<'_, Rows>,
    out: &mut Rows,
) -> Result<()> {
    same("width of a normalised row", x.width, out.width)?;
    same("scale of a norm", x.width, norm.scale.data.len())?;
    if let Some(shift) = norm.shift {
        same("shift of a norm", x.width, shift.data.len())?;
    }
    if let Some(rows) = rows {
        check_rows("rows normalised", rows, x.rows)?;
    }
    let count = rows.map_or(x.rows, <[u32]>::len);
    out.resize(count)?;
    let shared = SharedSlice::new(&mut out.data);
    pool.for_rows(count, 4 * x.width, |range| {
        for i in range {
            let source = rows.map_or(i, |rows| rows[i] as usize);
            // SAFETY: each row is written by one task.
            let out = unsafe { shared.part(i * x.width..(i + 1) * x.width) };
            isa.run(Normalise {
                x: x.row(source),
                norm,
                out,
            });
        }
    });
    Ok(())
}

/// The kernel that normalises one row, with sums in f32.
struct Normalise<'a> {
    x: &'a [f32],
    norm: &'a Norm<'a, Rows>,
    out: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.x.len() as f32;
        let mean = match self.norm.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => reduce(s, self.x, 0.0, |sum, x| s.add(sum, x)) / width,
        };
        let center = s.splat(mean);
        let squares = reduce(s, self.x, mean, |sum, x| {
            let x = s.sub(x, center);
            s.fma(x, x, sum)
        });
        let inverse = 1.0 / (squares / width + self.norm.eps).sqrt();
        let parameters = self.x.iter().zip(&self.norm.scale.data);
        for (o, (x, scale)) in self.out.iter_mut().zip(parameters) {
            *o = (x - mean) * inverse * scale;
        }
        if let Some(shift) = self.norm.shift {
            for (o, shift) in self.out.iter_mut().zip(&shift.data) {
                *o += shift;
            }
        }
    }
}

/// Folds `x` into four vectors in turn, `fill`ing up the last one, and adds their lanes.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: &[f32], fill: f32, step: impl Fn(S::V, S::V) -> S::V) -> f32 {
    let mut sums = [s.zero(); 4];
    let (lines, rest) = x.as_chunks::<LANES>();
    let (fours, ones) = lines.as_chunks::<4>();
    for four in fours {
        for (sum, line) in sums.iter_mut().zip(four) {
            *sum = step(*sum, s.load(line));
        }
    }
    for (sum, line) in sums.iter_mut().zip(ones) {
        *sum = step(*sum, s.load(line));
    }
    if !rest.is_empty() {
        let mut line = [fill; LANES];
        line[..rest.len()].copy_from_slice(rest);
        sums[3] = step(sums[3], s.load(&line));
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}
