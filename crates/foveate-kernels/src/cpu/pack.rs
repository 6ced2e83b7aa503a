//! An attention's operands: keys and queries rotated by their positions and laid out for the kernels.

use std::ops::Range;

use super::isa::{Chosen, Kernel, Simd};
use super::lines::{LANES, Line, Scratch, floats_mut};
use super::panels::widen;
use super::plan::{Schedule, Turns};
use super::rows::Rows;
use super::share::Share;
use super::transpose::transpose;
use crate::backend::Heads;
use crate::error::Result;

/// Tiles of keys packed by one task.
const TASK_TILES: usize = 2;
/// Rows of values that are on their way while one is packed.
const VALUES_AHEAD: usize = 4;

/// Rows of keys and values in several buffers, counted through.
pub(super) struct Sources<'a> {
    /// Each with the number of its first row.
    parts: Vec<(usize, &'a Rows)>,
    rows: usize,
}

impl<'a> Sources<'a> {
    pub(super) fn new(buffers: &[&'a Rows]) -> Self {
        let mut rows = 0;
        let parts = buffers.iter().map(|buffer| {
            let first = rows;
            rows += buffer.rows;
            (first, *buffer)
        });
        Self {
            parts: parts.collect(),
            rows,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The buffer that holds row `row`, and which of its rows that is.
    fn find(&self, row: usize) -> (&'a Rows, usize) {
        let part = self.parts.partition_point(|(first, _)| *first <= row) - 1;
        let (first, buffer) = self.parts[part];
        (buffer, row - first)
    }

    fn prefetch(&self, row: usize, columns: Range<usize>) {
        let (buffer, row) = self.find(row);
        buffer.prefetch(row, columns);
    }
}

/// Keys and values of some heads.
pub(super) struct Operands<'a> {
    isa: Chosen,
    kv: &'a Sources<'a>,
    heads: Heads,
    kv_heads: Range<usize>,
    schedule: &'a Schedule,
    tile_rows: usize,
    /// `[heads][tiles][dim][tile rows]`
    keys: Share<'a, f32>,
    /// `[heads][dim / 16][rows]`
    values: Share<'a, Line>,
}

impl<'a> Operands<'a> {
    pub(super) fn new(
        isa: Chosen,
        kv: &'a Sources<'a>,
        heads: Heads,
        kv_heads: Range<usize>,
        schedule: &'a Schedule,
        keys: &'a mut Scratch,
        values: &'a mut Scratch,
    ) -> Result<Self> {
        let panels = heads.dim.div_ceil(LANES);
        let keys = keys.floats(kv_heads.len() * kv.rows * heads.dim)?;
        let values = values.lines(kv_heads.len() * kv.rows * panels)?;
        Ok(Self {
            isa,
            kv,
            heads,
            schedule,
            tile_rows: isa.tile().0,
            keys: Share::new(keys),
            values: Share::new(values),
            kv_heads,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.kv.rows
    }

    pub(super) fn tasks(&self) -> usize {
        self.kv.rows.div_ceil(TASK_TILES * self.tile_rows)
    }

    /// Packs some rows of all heads; `room` is for rotated rows, and for widened ones.
    pub(super) fn pack(&self, task: usize, room: &mut Scratch) {
        let step = TASK_TILES * self.tile_rows;
        let first = task * step;
        let rows = first..(first + step).min(self.kv.rows);
        if !self.schedule.reads(&rows) {
            return;
        }
        let room = room
            .floats(2 * LANES * (self.heads.dim + LANES))
            .expect("the desk was prepared for sixteen rows twice");
        for tile in rows.clone().step_by(self.tile_rows) {
            self.pack_keys(tile..(tile + self.tile_rows).min(rows.end), room);
        }
        let columns = (self.heads.kv_count + self.kv_heads.start) * self.heads.dim
            ..(self.heads.kv_count + self.kv_heads.end) * self.heads.dim;
        for row in rows {
            let ahead = row + VALUES_AHEAD;
            if ahead < self.kv.rows && self.schedule.reads(&(ahead..ahead + 1)) {
                self.kv.prefetch(ahead, columns.clone());
            }
            self.pack_values(row);
        }
    }

    fn pack_keys(&self, tile: Range<usize>, room: &mut [f32]) {
        let width = self.heads.dim;
        let (room, wide) = room.split_at_mut(LANES * (width + LANES));
        for head in self.kv_heads.clone() {
            // Heads of one row are far from those of the next, where hardware does not look ahead.
            for row in tile.end..(tile.end + tile.len()).min(self.kv.rows) {
                self.kv.prefetch(row, head * width..(head + 1) * width);
            }
            let mut row = tile.start;
            while row < tile.end {
                let (buffer, from) = self.kv.find(row);
                let rows = (buffer.rows - from).min(tile.end - row);
                let turns = self.schedule.turns.as_ref();
                let columns = head * width..(head + 1) * width;
                let (x, stride) = if buffer.half_row(from).is_some() {
                    for (r, wide) in wide.chunks_exact_mut(width).take(rows).enumerate() {
                        let halves = buffer.half_row(from + r).unwrap_or_default();
                        widen_all(&halves[columns.clone()], wide);
                    }
                    (&*wide, width)
                } else {
                    let at = from * buffer.width + columns.start;
                    (&buffer.data[at..], buffer.width)
                };
                self.isa.run(Turn {
                    x,
                    stride,
                    rows,
                    width,
                    by: turns.map(|turns| turns.keys(row..row + rows)),
                    scale: 1.0,
                    out: &mut room[(row - tile.start) * (width + LANES)..],
                });
                row += rows;
            }
            let at = ((head - self.kv_heads.start) * self.kv.rows + tile.start) * width;
            // SAFETY: every tile of every head is packed by one task.
            let out = unsafe { self.keys.part(at..at + tile.len() * width) };
            transpose(room, width + LANES, tile.len(), width, out, tile.len());
        }
    }

    fn pack_values(&self, row: usize) {
        let width = self.heads.dim;
        let panels = width.div_ceil(LANES);
        let (buffer, from) = self.kv.find(row);
        let first = (self.heads.kv_count + self.kv_heads.start) * width;
        for head in 0..self.kv_heads.len() {
            for panel in 0..panels {
                let start = panel * LANES;
                let count = LANES.min(width - start);
                let columns = first + head * width + start..first + head * width + start + count;
                let at = (head * panels + panel) * self.kv.rows + row;
                // SAFETY: every row of every head is packed by one task.
                let line = unsafe { &mut self.values.part(at..at + 1)[0] };
                if count < LANES {
                    line.fill(0.0);
                }
                match buffer.half_row(from) {
                    Some(halves) => widen_all(&halves[columns], &mut line[..count]),
                    None => line[..count].copy_from_slice(&buffer.row(from)[columns]),
                }
            }
        }
    }

    /// Packed keys and values of the `head`th of these heads.
    ///
    /// # Safety
    /// All tasks must have been packed, and nobody may pack any more.
    pub(super) unsafe fn head(&self, head: usize) -> (&[f32], &[Line]) {
        let keys = self.kv.rows * self.heads.dim;
        let values = self.kv.rows * self.heads.dim.div_ceil(LANES);
        // SAFETY: nobody writes, by the caller's promise.
        unsafe {
            (
                &self.keys.all()[head * keys..(head + 1) * keys],
                &self.values.all()[head * values..(head + 1) * values],
            )
        }
    }
}

#[inline(always)]
fn widen_all(halves: &[u16], out: &mut [f32]) {
    for (slot, half) in out.iter_mut().zip(halves) {
        *slot = widen(*half);
    }
}

/// Queries on their way into panels.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) isa: Chosen,
    pub(super) q: &'a Rows,
    /// Of one head.
    pub(super) width: usize,
    pub(super) turns: Option<&'a Turns>,
}

impl Queries<'_> {
    /// Rows `rows` of one head, scaled by `1/√width`, as panels of sixteen queries: `[width][16]`.
    /// `room` is for sixteen rotated rows.
    pub(super) fn pack(&self, rows: Range<usize>, head: usize, room: &mut [f32], out: &mut [Line]) {
        let width = self.width;
        let panels = rows.clone().step_by(LANES);
        for (first, panel) in panels.zip(out.chunks_exact_mut(width)) {
            let rows = first..(first + LANES).min(rows.end);
            self.isa.run(Turn {
                x: &self.q.data[first * self.q.width + head * width..],
                stride: self.q.width,
                rows: rows.len(),
                width,
                by: self.turns.map(|turns| turns.queries(rows.clone())),
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

/// Rotates the pairs `(j, j + half)` of some rows by their angles, and scales.
struct Turn<'a> {
    /// From the first row's head on; rows are `stride` apart.
    x: &'a [f32],
    stride: usize,
    rows: usize,
    width: usize,
    /// Cosines and sines, row after row.
    by: Option<(&'a [f32], usize)>,
    scale: f32,
    /// Rows are `width + 16` apart.
    out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.by.map_or(0, |(_, half)| half);
        for r in 0..self.rows {
            let x = &self.x[r * self.stride..][..self.width];
            let out = &mut self.out[r * (self.width + LANES)..][..self.width];
            if let Some((table, half)) = self.by {
                let (cosines, sines) = table[r * 2 * half..][..2 * half].split_at(half);
                rotate(s, x, cosines, sines, self.scale, out);
            }
            for (out, x) in out[2 * half..].iter_mut().zip(&x[2 * half..]) {
                *out = x * self.scale;
            }
        }
    }
}

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
        let turned_a = s.sub(s.mul(a, cos), s.mul(b, sin));
        let turned_b = s.add(s.mul(b, cos), s.mul(a, sin));
        let line = |out| <&mut [f32; LANES]>::try_from(out).expect("a whole line");
        s.store(
            s.mul(turned_a, s.splat(scale)),
            line(&mut out_a[j..j + LANES]),
        );
        s.store(
            s.mul(turned_b, s.splat(scale)),
            line(&mut out_b[j..j + LANES]),
        );
    }
    for j in whole..half {
        out_a[j] = (a[j] * cosines[j] - b[j] * sines[j]) * scale;
        out_b[j] = (b[j] * cosines[j] + a[j] * sines[j]) * scale;
    }
}
