//! Rotary embedding: cosines and sines of positions, rotated rows, and queries packed for attention.
//!
//! The rotation is the half-split one of GPT-NeoX (Black et al., 2022; `RoFormer`'s angles, Su et al., 2021):
//! element `j` of a head is paired with element `j + dim / 2`, and the pair turns by `position · theta^(-2j/dim)`.
//! Angles are computed in f32, as the reference implementations of all supported models do.

use std::ops::Range;

use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::{LANES, Line, floats_mut};
use super::transpose::transpose;
use crate::backend::Rotation;
use crate::error::{Result, same};
use crate::reference::frequency;
use crate::rows::Rows;

/// Cosines and sines of every position so far, which the steps of an answer share.
///
/// Trigonometric functions are slow and the positions of a step are mostly those of the step before, so the
/// [`Cpu`](super::Cpu) owns one of these for as long as it lives. It starts again when `theta` or `dim` changes.
#[derive(Debug, Default)]
pub(super) struct RopeCache {
    theta: f32,
    dim: usize,
    /// `[positions][cosines, sines]`, each `dim / 2` long.
    table: Vec<f32>,
}

impl RopeCache {
    /// Extends the table to the first `positions` positions, if it is shorter.
    fn reach(&mut self, rotation: &Rotation, positions: usize) {
        let Rotation { theta, dim, .. } = *rotation;
        if self.theta.to_bits() != theta.to_bits() || self.dim != dim {
            *self = Self {
                theta,
                dim,
                table: Vec::new(),
            };
        }
        let half = dim / 2;
        let known = self.table.len() / (2 * half).max(1);
        let frequencies: Vec<f32> = (0..half).map(|j| frequency(theta, dim, j)).collect();
        for position in known..positions {
            let angles = frequencies.iter().map(|f| position as f32 * f);
            self.table.extend(angles.clone().map(f32::cos));
            self.table.extend(angles.map(f32::sin));
        }
    }

    /// Copies the entries of `positions`, in that order.
    fn gather(&self, positions: &[u32]) -> Vec<f32> {
        let width = self.dim / 2 * 2;
        let mut table = Vec::with_capacity(positions.len() * width);
        for &position in positions {
            table.extend_from_slice(&self.table[position as usize * width..][..width]);
        }
        table
    }

    /// Bytes held, for [`Backend::memory`](crate::Backend::memory).
    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<f32>()
    }
}

/// Cosines and sines for every row of one plan, gathered so that a kernel reads them in order.
#[derive(Debug)]
pub(super) struct RopeTables {
    /// Pairs that are rotated: half of the rotation's width.
    half: usize,
    queries: Vec<f32>,
    /// Absent when every key has the position of the query in its row.
    keys: Option<Vec<f32>>,
}

/// Cosines, then sines, of some rows, row after row, and how many of each a row has.
pub(super) type Angles<'a> = (&'a [f32], usize);

impl RopeTables {
    /// Gathers the entries that `rotation` needs; the cache grows to its highest position.
    pub(super) fn new(rotation: &Rotation, cache: &mut RopeCache) -> Self {
        let positions = rotation.queries.iter().chain(&rotation.keys);
        let most = positions.max().map_or(0, |p| *p as usize + 1);
        cache.reach(rotation, most);
        Self {
            half: rotation.dim / 2,
            queries: cache.gather(&rotation.queries),
            keys: (rotation.keys != rotation.queries).then(|| cache.gather(&rotation.keys)),
        }
    }

    /// The angles of some rows of `q`.
    pub(super) fn queries(&self, rows: Range<usize>) -> Angles<'_> {
        (self.part(&self.queries, rows), self.half)
    }

    /// The angles of some keys, counted as the plan counts them.
    pub(super) fn keys(&self, rows: Range<usize>) -> Angles<'_> {
        let table = self.keys.as_ref().unwrap_or(&self.queries);
        (self.part(table, rows), self.half)
    }

    fn part<'a>(&self, table: &'a [f32], rows: Range<usize>) -> &'a [f32] {
        let width = 2 * self.half;
        &table[rows.start * width..rows.end * width]
    }

    /// Bytes of both tables, for [`Backend::memory`](crate::Backend::memory).
    pub(super) fn bytes(&self) -> usize {
        (self.queries.len() + self.keys.as_ref().map_or(0, Vec::len)) * size_of::<f32>()
    }

    /// Refuses a rotation that is wider than a head of `dim` numbers.
    pub(super) fn check(&self, dim: usize) -> Result<()> {
        if 2 * self.half > dim {
            return same("width of a rotation", dim, 2 * self.half);
        }
        Ok(())
    }
}

/// Queries on their way into panels.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    /// The instruction set to rotate with.
    pub(super) isa: DetectedIsa,
    /// `[rows, heads · width]`, not yet rotated.
    pub(super) q: &'a Rows,
    /// Width of one head.
    pub(super) width: usize,
    /// How the rows are rotated, if they are.
    pub(super) rope: Option<&'a RopeTables>,
}

impl Queries<'_> {
    /// Rows `rows` of one head, rotated and scaled by `1/√width`, as panels of sixteen queries: `[width][16]`.
    /// Lanes without a query are zero. `room` is for sixteen rotated rows.
    pub(super) fn pack(&self, rows: Range<usize>, head: usize, room: &mut [f32], out: &mut [Line]) {
        let width = self.width;
        let panels = rows.clone().step_by(LANES);
        for (first, panel) in panels.zip(out.chunks_exact_mut(width)) {
            let rows = first..(first + LANES).min(rows.end);
            self.isa.run(Rope {
                x: &self.q.data[first * self.q.width + head * width..],
                stride: self.q.width,
                rows: rows.len(),
                width,
                angles: self.rope.map(|rope| rope.queries(rows.clone())),
                scale: 1.0 / (width as f32).sqrt(),
                out: room,
            });
            let panel = floats_mut(panel);
            if rows.len() < LANES {
                panel.fill(0.0);
            }
            transpose(room, width + LANES, rows.len(), width, panel, LANES);
        }
    }
}

/// The kernel that rotates the pairs `(j, j + half)` of some rows by their angles, and scales everything.
pub(super) struct Rope<'a> {
    /// From the first row's head on; rows are `stride` floats apart.
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    /// How many rows.
    pub(super) rows: usize,
    /// Floats of a row. Those beyond the rotated pairs are only scaled.
    pub(super) width: usize,
    /// How far each row turns; none leaves directions as they are.
    pub(super) angles: Option<Angles<'a>>,
    /// Multiplied after rotating.
    pub(super) scale: f32,
    /// Where rows go; they are `width + 16` floats apart, so that sixteen of them do not share cache sets.
    pub(super) out: &'a mut [f32],
}

impl Kernel for Rope<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.angles.map_or(0, |(_, half)| half);
        for r in 0..self.rows {
            let x = &self.x[r * self.stride..][..self.width];
            let out = &mut self.out[r * (self.width + LANES)..][..self.width];
            if let Some((table, half)) = self.angles {
                let (cosines, sines) = table[r * 2 * half..][..2 * half].split_at(half);
                rotate(s, x, cosines, sines, self.scale, out);
            }
            for (out, x) in out[2 * half..].iter_mut().zip(&x[2 * half..]) {
                *out = x * self.scale;
            }
        }
    }
}

/// Rotates one row: `(a, b) → (a cos − b sin, b cos + a sin) · scale` for each pair.
#[inline(always)]
fn rotate<S: Simd>(s: S, x: &[f32], cosines: &[f32], sines: &[f32], scale: f32, out: &mut [f32]) {
    let half = cosines.len();
    let (a, b) = x[..2 * half].split_at(half);
    let (out_a, out_b) = out[..2 * half].split_at_mut(half);
    let whole = half - half % LANES;
    for j in (0..whole).step_by(LANES) {
        let at = |x: &[f32]| s.load(x[j..].first_chunk().expect("a whole line is left"));
        let (a, b, cos, sin) = (at(a), at(b), at(cosines), at(sines));
        // Separate products, because the rows of the remainder below have no fused ones.
        let rotated_a = s.sub(s.mul(a, cos), s.mul(b, sin));
        let rotated_b = s.add(s.mul(b, cos), s.mul(a, sin));
        let line = |out| <&mut [f32; LANES]>::try_from(out).expect("a whole line");
        s.store(
            s.mul(rotated_a, s.splat(scale)),
            line(&mut out_a[j..j + LANES]),
        );
        s.store(
            s.mul(rotated_b, s.splat(scale)),
            line(&mut out_b[j..j + LANES]),
        );
    }
    for j in whole..half {
        out_a[j] = (a[j] * cosines[j] - b[j] * sines[j]) * scale;
        out_b[j] = (b[j] * cosines[j] + a[j] * sines[j]) * scale;
    }
}
