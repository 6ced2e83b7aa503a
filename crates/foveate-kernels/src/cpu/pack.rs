//! An attention's operands: keys and queries rotated by their positions and laid out for the kernels.

use std::ops::Range;

use super::isa::{Chosen, Kernel, Simd};
use super::lines::{LANES, Line, Scratch, floats_mut};
use super::plan::{Block, Turns};
use super::rows::Rows;
use super::share::Share;
use super::transpose::transpose;
use crate::backend::Heads;
use crate::error::Result;

/// Tiles of keys packed by one task.
const TASK_TILES: usize = 8;

/// Keys and values of some heads.
pub(super) struct Operands<'a> {
    isa: Chosen,
    kv: &'a Rows,
    heads: Heads,
    kv_heads: Range<usize>,
    turns: Option<&'a Turns>,
    tile_rows: usize,
    /// `[heads][tiles][dim][tile rows]`
    keys: Share<'a, f32>,
    /// `[heads][dim / 16][rows]`
    values: Share<'a, Line>,
}

impl<'a> Operands<'a> {
    pub(super) fn new(
        isa: Chosen,
        kv: &'a Rows,
        heads: Heads,
        kv_heads: Range<usize>,
        turns: Option<&'a Turns>,
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
            turns,
            tile_rows: isa.tile().0,
            keys: Share::new(keys),
            values: Share::new(values),
            kv_heads,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.kv.rows
    }

    fn tasks_per_head(&self) -> usize {
        self.kv.rows.div_ceil(TASK_TILES * self.tile_rows)
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks_per_head() * self.kv_heads.len()
    }

    /// Packs some rows of one head; `room` is for rotated rows.
    pub(super) fn pack(&self, task: usize, room: &mut Scratch) {
        let rows = self.kv.rows;
        let width = self.heads.dim;
        let head = task / self.tasks_per_head();
        let step = TASK_TILES * self.tile_rows;
        let first = task % self.tasks_per_head() * step;
        let range = first..(first + step).min(rows);
        let room = room
            .floats(LANES * (width + LANES))
            .expect("the desk was prepared for sixteen rows");

        let column = (self.kv_heads.start + head) * width;
        for tile in range.clone().step_by(self.tile_rows) {
            let tile = tile..(tile + self.tile_rows).min(range.end);
            let at = (head * rows + tile.start) * width;
            // SAFETY: every tile of every head is packed by one task.
            let out = unsafe { self.keys.part(at..at + tile.len() * width) };
            for (row, out) in tile.clone().zip(room.chunks_exact_mut(width + LANES)) {
                self.isa.run(Turn {
                    x: &self.kv.row(row)[column..column + width],
                    by: self.turns.map(|turns| turns.key(row)),
                    scale: 1.0,
                    out: &mut out[..width],
                });
            }
            transpose(room, width + LANES, tile.len(), width, out, tile.len());
        }

        let column = column + self.heads.kv_count * width;
        let panels = width.div_ceil(LANES);
        for panel in 0..panels {
            let at = (head * panels + panel) * rows;
            // SAFETY: as above.
            let out = unsafe { self.values.part(at + range.start..at + range.end) };
            let from = column + panel * LANES;
            let count = LANES.min(width - panel * LANES);
            for (row, line) in range.clone().zip(out) {
                line[..count].copy_from_slice(&self.kv.row(row)[from..from + count]);
                line[count..].fill(0.0);
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

/// A head of a block's queries, scaled by `1/√dim`, as panels of sixteen queries: `[dim][16]`.
pub(super) fn pack_queries(
    isa: Chosen,
    q: &Rows,
    block: &Block,
    head: usize,
    width: usize,
    turns: Option<&Turns>,
    room: &mut [f32],
    out: &mut [Line],
) {
    let scale = 1.0 / (width as f32).sqrt();
    let column = head * width;
    let panels = block.queries.clone().step_by(LANES);
    for (first, panel) in panels.zip(out.chunks_exact_mut(width)) {
        let rows = first..(first + LANES).min(block.queries.end);
        for (row, out) in rows.clone().zip(room.chunks_exact_mut(width + LANES)) {
            isa.run(Turn {
                x: &q.row(row)[column..column + width],
                by: turns.map(|turns| turns.query(row)),
                scale,
                out: &mut out[..width],
            });
        }
        let panel = floats_mut(panel);
        if rows.len() < LANES {
            panel.fill(0.0);
        }
        transpose(room, width + LANES, rows.len(), width, panel, LANES);
    }
}

/// Rotates pairs `(j, j + half)` by their angles and scales.
struct Turn<'a> {
    x: &'a [f32],
    by: Option<(&'a [f32], &'a [f32])>,
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let half = self.by.map_or(0, |(cosines, _)| cosines.len());
        if let Some((cosines, sines)) = self.by {
            let (a, b) = self.x[..2 * half].split_at(half);
            let (out_a, out_b) = self.out[..2 * half].split_at_mut(half);
            let outs = out_a.iter_mut().zip(out_b);
            let turns = cosines.iter().zip(sines);
            for ((out_a, out_b), ((a, b), (cos, sin))) in outs.zip(a.iter().zip(b).zip(turns)) {
                *out_a = (a * cos - b * sin) * self.scale;
                *out_b = (b * cos + a * sin) * self.scale;
            }
        }
        let rest = self.x[2 * half..].iter();
        for (out, x) in self.out[2 * half..].iter_mut().zip(rest) {
            *out = x * self.scale;
        }
    }
}
