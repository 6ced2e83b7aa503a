//! Keys and values that are stored between steps, laid out for attention: only the keys' rotation, which
//! depends on where a row stands now, is left to be done.
//!
//! Keys lie in the tiles of the micro-kernel and values in panels, head by head, so that f32 values are read where
//! they are and a step pays for the rows it writes and not for those it finds. Keys are stored before rotation,
//! because positions may change when visual tokens are pruned.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::lines::{LANES, Line, floats, floats_mut, prefetch};
use super::panels::{Bf16Line, bf16_to_f32, bf16s, bf16s_mut, to_bf16};
use super::shared_slice::SharedSlice;
use super::thread_pool::ThreadPool;
use super::transpose::transpose;
use super::zeroed::Zeroed;
use crate::backend::Heads;
use crate::error::{Error, Result, same};
use crate::memory::Held;
use crate::reference::least_alike;
use crate::rows::{Rows, check_rows};
use crate::tensor::Dtype;

/// Numbers that one thread copies before another has woken.
const ALONE: usize = 1 << 17;

/// Stored keys and values of [`Cpu`](super::Cpu), made by [`Backend::kv_rows`](crate::Backend::kv_rows).
///
/// Keys `[heads][tiles][dim][tile rows]`, then values `[heads][dim / 16][rows][16]`. A store belongs to the tile
/// height of the instruction set that made it; others are refused.
#[derive(Debug)]
pub struct KvRows {
    /// How many rows there are, and how they lie.
    pub(super) shape: KvShape,
    numbers: KvNumbers,
    /// Counts the bytes of copies too.
    total: Arc<AtomicUsize>,
    #[expect(dead_code, reason = "counts the bytes until it is dropped")]
    held: Held,
}

/// The layout of some stored rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KvShape {
    /// Rows that can be written.
    pub(super) rows: usize,
    /// Key and value heads.
    pub(super) heads: usize,
    /// Width of one head.
    pub(super) dim: usize,
    /// Tile height of the instruction set it was laid out for.
    pub(super) tile_rows: usize,
}

/// All numbers of a store, in the format in which it was asked for.
#[derive(Debug)]
enum KvNumbers {
    /// Sixteen floats a line.
    F32(Zeroed<Line>),
    /// Sixteen bfloat16 numbers a line, half as many bytes.
    Bf16(Zeroed<Bf16Line>),
}

/// Some numbers of a store.
#[derive(Clone, Copy, Debug)]
pub(super) enum KvSlice<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

impl KvShape {
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

    /// Runs `work` on every head's keys and values, on all threads if more than [`ALONE`] numbers are touched.
    fn for_each_head<T: Send>(
        &self,
        pool: &ThreadPool,
        numbers: &mut [T],
        cost: usize,
        work: impl Fn(usize, &mut [T], &mut [T]) + Sync,
    ) {
        let (keys, values) = numbers.split_at_mut(self.first_value());
        let (keys, values) = (SharedSlice::new(keys), SharedSlice::new(values));
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
            pool.for_each(self.heads, |_, head| one(head));
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

    /// Stores rows `from[i]` of `kv` as rows `to[i]`, rounded to `T`, run by run of neighbours.
    fn write<T: KvNumber>(
        &self,
        pool: &ThreadPool,
        kv: &Rows,
        from: &[u32],
        to: &[u32],
        numbers: &mut [T],
    ) {
        let cost = from.len() * kv.width;
        self.for_each_head(pool, numbers, cost, |head, keys, values| {
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
                            *slot = T::nearest(*x);
                        }
                    }
                }
                i += run;
            }
        });
    }

    /// Copies `rows` of `source`, which has the shape `of`.
    fn copy<T: KvNumber>(
        &self,
        pool: &ThreadPool,
        of: &Self,
        source: &[T],
        rows: &[u32],
        out: &mut [T],
    ) {
        let (keys, values) = source.split_at(of.first_value());
        let cost = 2 * rows.len() * self.heads * self.dim;
        self.for_each_head(pool, out, cost, |head, to_keys, to_values| {
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
    /// Zeros; refuses other formats than f32 and bf16, and more rows than there is memory for.
    pub(super) fn new(
        rows: usize,
        heads: &Heads,
        dtype: Dtype,
        tile_rows: usize,
        total: &Arc<AtomicUsize>,
    ) -> Result<Self> {
        let shape = KvShape {
            rows,
            heads: heads.kv_count,
            dim: heads.dim,
            tile_rows,
        };
        Self::of(shape, dtype, total)
    }

    /// Zeros of this shape.
    fn of(shape: KvShape, dtype: Dtype, total: &Arc<AtomicUsize>) -> Result<Self> {
        const WHAT: &str = "stored keys and values";
        let numbers = shape.numbers().ok_or(Error::Memory {
            what: WHAT,
            bytes: usize::MAX,
        })?;
        let lines = numbers / LANES;
        let (numbers, line) = match dtype {
            Dtype::F32 => (KvNumbers::F32(Zeroed::new(lines, WHAT)?), size_of::<Line>()),
            Dtype::Bf16 => (
                KvNumbers::Bf16(Zeroed::new(lines, WHAT)?),
                size_of::<Bf16Line>(),
            ),
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
    fn part(&self, range: Range<usize>) -> KvSlice<'_> {
        match &self.numbers {
            KvNumbers::F32(lines) => KvSlice::F32(&floats(lines)[range]),
            KvNumbers::Bf16(lines) => KvSlice::Bf16(&bf16s(lines)[range]),
        }
    }

    /// A tile of a head's keys, `[dim][tile rows]`; in the last tile some rows may be zeros.
    pub(super) fn keys(&self, head: usize, tile: usize) -> KvSlice<'_> {
        let len = self.shape.tile_rows * self.shape.dim;
        let first = head * self.shape.keys() + tile * len;
        self.part(first..first + len)
    }

    /// Some rows of a panel of a head's values.
    pub(super) fn values(&self, head: usize, panel: usize, rows: &Range<usize>) -> KvSlice<'_> {
        let first = self.shape.first_value() + head * self.shape.values();
        let at = |row| first + self.shape.value(row, panel);
        self.part(at(rows.start)..at(rows.end))
    }

    /// All values of a head as they are read, `[dim / 16][rows]`, if they are stored so.
    pub(super) fn lines(&self, head: usize) -> Option<&[Line]> {
        let first = (self.shape.first_value() + head * self.shape.values()) / LANES;
        match &self.numbers {
            KvNumbers::F32(lines) => Some(&lines[first..first + self.shape.values() / LANES]),
            KvNumbers::Bf16(_) => None,
        }
    }
}

/// [`Backend::write_kv`](crate::Backend::write_kv).
pub(super) fn write_kv(
    pool: &ThreadPool,
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
        KvNumbers::F32(lines) => shape.write(pool, kv, from, to, floats_mut(lines)),
        KvNumbers::Bf16(lines) => shape.write(pool, kv, from, to, bf16s_mut(lines)),
    }
    Ok(())
}

/// [`Backend::gather_kv`](crate::Backend::gather_kv), number by number without rounding again.
pub(super) fn gather_kv(pool: &ThreadPool, stored: &KvRows, rows: &[u32]) -> Result<KvRows> {
    check_rows("rows to gather", rows, stored.shape.rows)?;
    let shape = KvShape {
        rows: rows.len(),
        ..stored.shape
    };
    let dtype = match stored.numbers {
        KvNumbers::F32(_) => Dtype::F32,
        KvNumbers::Bf16(_) => Dtype::Bf16,
    };
    let mut less = KvRows::of(shape, dtype, &stored.total)?;
    match (&stored.numbers, &mut less.numbers) {
        (KvNumbers::F32(from), KvNumbers::F32(to)) => {
            shape.copy(pool, &stored.shape, floats(from), rows, floats_mut(to));
        }
        (KvNumbers::Bf16(from), KvNumbers::Bf16(to)) => {
            shape.copy(pool, &stored.shape, bf16s(from), rows, bf16s_mut(to));
        }
        _ => unreachable!("made with the same dtype"),
    }
    Ok(less)
}

/// [`Backend::least_alike`](crate::Backend::least_alike): unpacks the stored values into rows, and compares them as the
/// reference does.
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

impl KvSlice<'_> {
    /// Starts to bring all of them into the cache.
    pub(super) fn prefetch(self) {
        match self {
            Self::F32(numbers) => prefetch(numbers),
            Self::Bf16(numbers) => prefetch(numbers),
        }
    }

    /// As many of the first numbers as `out` is long, as floats.
    #[inline(always)]
    pub(super) fn write(self, out: &mut [f32]) {
        match self {
            Self::F32(numbers) => out.copy_from_slice(&numbers[..out.len()]),
            Self::Bf16(numbers) => {
                for (slot, x) in out.iter_mut().zip(numbers) {
                    *slot = bf16_to_f32(*x);
                }
            }
        }
    }
}

/// A format of stored numbers: f32, or bf16 as its bits.
trait KvNumber: Copy + Send + Sync {
    /// The number of this format that is nearest to `x`.
    fn nearest(x: f32) -> Self;

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
                *slot = Self::nearest(*x);
            }
        }
    }
}

impl KvNumber for f32 {
    #[inline(always)]
    fn nearest(x: f32) -> Self {
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

impl KvNumber for u16 {
    #[inline(always)]
    fn nearest(x: f32) -> Self {
        to_bf16(x)
    }
}
