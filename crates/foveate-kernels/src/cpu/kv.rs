//! Keys and values that are stored between steps, laid out for attention: only the keys' rotation, which
//! depends on where a row stands now, is left to be done.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::lines::{LANES, Line, floats, floats_mut, prefetch};
use super::pages::Pages;
use super::panels::{Half, halves, halves_mut, narrow, widen};
use super::share::Share;
use super::team::Team;
use super::transpose::transpose;
use crate::backend::Heads;
use crate::error::{Error, Result, same};
use crate::memory::Held;
use crate::reference::least_alike;
use crate::rows::{Rows, check_rows};
use crate::tensor::Dtype;

/// Numbers that are copied before another thread has woken.
const ALONE: usize = 1 << 17;

/// Keys `[heads][tiles][dim][tile rows]`, then values `[heads][dim / 16][rows][16]`.
#[derive(Debug)]
pub struct KvRows {
    pub(super) shape: Shape,
    numbers: Numbers,
    total: Arc<AtomicUsize>,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: usize,
    /// Key and value heads.
    pub(super) heads: usize,
    /// Of one head.
    pub(super) dim: usize,
    /// Of the instruction set it was laid out for.
    pub(super) tile_rows: usize,
}

#[derive(Debug)]
enum Numbers {
    Floats(Pages<Line>),
    Halves(Pages<Half>),
}

/// Some of the numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Floats(&'a [f32]),
    Halves(&'a [u16]),
}

impl Shape {
    /// Numbers of one head's keys.
    fn keys(&self) -> usize {
        self.rows.next_multiple_of(self.tile_rows) * self.dim
    }

    /// Numbers of one head's values.
    fn values(&self) -> usize {
        self.rows * self.dim.next_multiple_of(LANES)
    }

    /// Where the values begin.
    fn first_value(&self) -> usize {
        (self.heads * self.keys()).next_multiple_of(LANES)
    }

    /// Numbers of everything, where they can be counted.
    fn numbers(&self) -> Option<usize> {
        let keys = self.rows.checked_next_multiple_of(self.tile_rows)?;
        let keys = keys.checked_mul(self.dim)?.checked_mul(self.heads)?;
        let values = self.dim.checked_next_multiple_of(LANES)?;
        let values = values.checked_mul(self.rows)?.checked_mul(self.heads)?;
        keys.checked_next_multiple_of(LANES)?.checked_add(values)
    }

    /// The first number of a row's key, among its head's; the others are `tile_rows` apart.
    fn key(&self, row: usize) -> usize {
        row / self.tile_rows * self.tile_rows * self.dim + row % self.tile_rows
    }

    /// The first number of a row's value in panel `panel`, among its head's.
    fn value(&self, row: usize, panel: usize) -> usize {
        (panel * self.rows + row) * LANES
    }

    /// Runs `work` on every head's keys and values.
    fn each<T: Send>(
        &self,
        team: &Team,
        numbers: &mut [T],
        cost: usize,
        work: impl Fn(usize, &mut [T], &mut [T]) + Sync,
    ) {
        let (keys, values) = numbers.split_at_mut(self.first_value());
        let (keys, values) = (Share::new(keys), Share::new(values));
        let one = |head: usize| {
            let part = |len: usize| head * len..(head + 1) * len;
            // SAFETY: each head is one task's.
            let (keys, values) = unsafe {
                (
                    keys.part(part(self.keys())),
                    values.part(part(self.values())),
                )
            };
            work(head, keys, values);
        };
        if cost <= ALONE {
            (0..self.heads).for_each(one);
        } else {
            team.each(self.heads, |_, head| one(head));
        }
    }

    /// Rows from `from[i]` on that lie side by side in both and go to one tile.
    fn run(&self, from: &[u32], to: &[u32], i: usize) -> usize {
        let most = self.tile_rows - to[i] as usize % self.tile_rows;
        let follows = |n: &usize| {
            let n = *n as u32;
            from.get(i + n as usize) == Some(&(from[i] + n)) && to[i + n as usize] == to[i] + n
        };
        1 + (1..most).take_while(follows).count()
    }

    fn write<T: Number>(
        &self,
        team: &Team,
        kv: &Rows,
        from: &[u32],
        to: &[u32],
        numbers: &mut [T],
    ) {
        let cost = from.len() * kv.width;
        self.each(team, numbers, cost, |head, keys, values| {
            let mut i = 0;
            while i < from.len() {
                let run = self.run(from, to, i);
                let (first, slot) = (from[i] as usize, to[i] as usize);
                T::transpose(
                    &kv.data[first * kv.width + head * self.dim..],
                    kv.width,
                    [run, self.dim],
                    &mut keys[self.key(slot)..],
                    self.tile_rows,
                );
                for r in 0..run {
                    let row = &kv.row(first + r)[(self.heads + head) * self.dim..][..self.dim];
                    for (panel, row) in row.chunks(LANES).enumerate() {
                        let out = &mut values[self.value(slot + r, panel)..];
                        for (slot, x) in out.iter_mut().zip(row) {
                            *slot = T::narrow(*x);
                        }
                    }
                }
                i += run;
            }
        });
    }

    /// Copies `rows` of `source`, which has the shape `of`.
    fn copy<T: Number>(&self, team: &Team, of: &Self, source: &[T], rows: &[u32], out: &mut [T]) {
        let (keys, values) = source.split_at(of.first_value());
        let cost = 2 * rows.len() * self.heads * self.dim;
        self.each(team, out, cost, |head, to_keys, to_values| {
            let keys = &keys[head * of.keys()..][..of.keys()];
            let values = &values[head * of.values()..][..of.values()];
            for (to, &from) in rows.iter().enumerate() {
                let from = from as usize;
                let keys = keys[of.key(from)..].iter().step_by(of.tile_rows);
                let slots = to_keys[self.key(to)..].iter_mut().step_by(self.tile_rows);
                for (slot, x) in slots.zip(keys).take(self.dim) {
                    *slot = *x;
                }
                for panel in 0..self.dim.div_ceil(LANES) {
                    to_values[self.value(to, panel)..][..LANES]
                        .copy_from_slice(&values[of.value(from, panel)..][..LANES]);
                }
            }
        });
    }
}

impl KvRows {
    pub(super) fn new(
        rows: usize,
        heads: &Heads,
        dtype: Dtype,
        tile_rows: usize,
        total: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        let shape = Shape {
            rows,
            heads: heads.kv_count,
            dim: heads.dim,
            tile_rows,
        };
        Self::of(shape, dtype, total)
    }

    fn of(shape: Shape, dtype: Dtype, total: &Arc<AtomicUsize>) -> Result<Self> {
        const WHAT: &str = "stored keys and values";
        let numbers = shape.numbers().ok_or(Error::Memory {
            what: WHAT,
            bytes: usize::MAX,
        })?;
        let lines = numbers / LANES;
        let (numbers, line) = match dtype {
            Dtype::F32 => (Numbers::Floats(Pages::new(lines, WHAT)?), size_of::<Line>()),
            Dtype::Bf16 => (Numbers::Halves(Pages::new(lines, WHAT)?), size_of::<Half>()),
            _ => return Err(Error::shape(WHAT, "f32 or bf16", format!("{dtype:?}"))),
        };
        Ok(Self {
            shape,
            numbers,
            total: Arc::clone(total),
            held: Held::new(total, lines * line),
        })
    }

    /// The numbers `range`.
    fn part(&self, range: Range<usize>) -> Part<'_> {
        match &self.numbers {
            Numbers::Floats(lines) => Part::Floats(&floats(lines)[range]),
            Numbers::Halves(lines) => Part::Halves(&halves(lines)[range]),
        }
    }

    /// A tile of a head's keys, `[dim][tile rows]`; in the last tile some rows may be zeros.
    pub(super) fn keys(&self, head: usize, tile: usize) -> Part<'_> {
        let len = self.shape.tile_rows * self.shape.dim;
        let first = head * self.shape.keys() + tile * len;
        self.part(first..first + len)
    }

    /// Some rows of a panel of a head's values.
    pub(super) fn values(&self, head: usize, panel: usize, rows: &Range<usize>) -> Part<'_> {
        let first = self.shape.first_value() + head * self.shape.values();
        let at = |row| first + self.shape.value(row, panel);
        self.part(at(rows.start)..at(rows.end))
    }

    /// All values of a head as they are read, `[dim / 16][rows]`, if they are stored so.
    pub(super) fn lines(&self, head: usize) -> Option<&[Line]> {
        let first = (self.shape.first_value() + head * self.shape.values()) / LANES;
        match &self.numbers {
            Numbers::Floats(lines) => Some(&lines[first..first + self.shape.values() / LANES]),
            Numbers::Halves(_) => None,
        }
    }
}

pub(super) fn write_kv(
    team: &Team,
    kv: &Rows,
    from: &[u32],
    to: &[u32],
    stored: &mut KvRows,
) -> Result<()> {
    let shape = stored.shape;
    same(
        "width of stored rows",
        2 * shape.heads * shape.dim,
        kv.width,
    )?;
    same("slots of stored rows", from.len(), to.len())?;
    check_rows("rows to store", from, kv.rows)?;
    check_rows("slots of stored rows", to, shape.rows)?;
    match &mut stored.numbers {
        Numbers::Floats(lines) => shape.write(team, kv, from, to, floats_mut(lines)),
        Numbers::Halves(lines) => shape.write(team, kv, from, to, halves_mut(lines)),
    }
    Ok(())
}

pub(super) fn gather_kv(team: &Team, stored: &KvRows, rows: &[u32]) -> Result<KvRows> {
    check_rows("rows to gather", rows, stored.shape.rows)?;
    let shape = Shape {
        rows: rows.len(),
        ..stored.shape
    };
    let dtype = match stored.numbers {
        Numbers::Floats(_) => Dtype::F32,
        Numbers::Halves(_) => Dtype::Bf16,
    };
    let mut less = KvRows::of(shape, dtype, &stored.total)?;
    match (&stored.numbers, &mut less.numbers) {
        (Numbers::Floats(from), Numbers::Floats(to)) => {
            shape.copy(team, &stored.shape, floats(from), rows, floats_mut(to));
        }
        (Numbers::Halves(from), Numbers::Halves(to)) => {
            shape.copy(team, &stored.shape, halves(from), rows, halves_mut(to));
        }
        _ => unreachable!("made with the same dtype"),
    }
    Ok(less)
}

/// [`least_alike`] of values that are stored in panels.
pub(super) fn least_alike_values(
    kv: &Rows,
    rows: Range<usize>,
    stored: &KvRows,
    to: &[u32],
    count: usize,
) -> Result<Vec<u32>> {
    let shape = stored.shape;
    let width = shape.heads * shape.dim;
    same("width of compared rows", 2 * width, kv.width)?;
    check_rows("rows compared", to, shape.rows)?;
    let mut old = vec![0.0; to.len() * width];
    for (slots, &row) in old.chunks_exact_mut(width.max(1)).zip(to) {
        for (head, slots) in slots.chunks_mut(shape.dim).enumerate() {
            for (panel, slots) in slots.chunks_mut(LANES).enumerate() {
                let row = row as usize..row as usize + 1;
                stored.values(head, panel, &row).write(slots);
            }
        }
    }
    least_alike(kv, rows, old.chunks_exact(width.max(1)), count)
}

impl Part<'_> {
    /// Starts to bring all of them into the cache.
    pub(super) fn prefetch(self) {
        match self {
            Self::Floats(numbers) => prefetch(numbers),
            Self::Halves(numbers) => prefetch(numbers),
        }
    }

    /// The first of them, as floats.
    #[inline(always)]
    pub(super) fn write(self, out: &mut [f32]) {
        match self {
            Self::Floats(numbers) => out.copy_from_slice(&numbers[..out.len()]),
            Self::Halves(numbers) => {
                for (slot, x) in out.iter_mut().zip(numbers) {
                    *slot = widen(*x);
                }
            }
        }
    }
}

/// A number that is stored.
trait Number: Copy + Send + Sync {
    /// The nearest to `x`.
    fn narrow(x: f32) -> Self;

    /// Writes `source[r * stride + k]` to `out[k * step + r]`.
    fn transpose(
        source: &[f32],
        stride: usize,
        [rows, depth]: [usize; 2],
        out: &mut [Self],
        step: usize,
    ) {
        for r in 0..rows {
            let slots = out[r..].iter_mut().step_by(step);
            for (slot, x) in slots.zip(&source[r * stride..][..depth]) {
                *slot = Self::narrow(*x);
            }
        }
    }
}

impl Number for f32 {
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }

    fn transpose(
        source: &[f32],
        stride: usize,
        [rows, depth]: [usize; 2],
        out: &mut [f32],
        step: usize,
    ) {
        transpose(source, stride, rows, depth, out, step);
    }
}

impl Number for u16 {
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        narrow(x)
    }
}
