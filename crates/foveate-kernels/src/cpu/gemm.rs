//! The matrix product: blocks of rows and groups of panels that fit the caches, shared by threads.

use std::ops::Range;

use super::integer::GroupTile;
use super::isa::Chosen;
use super::lines::{LANES, Line};
use super::micro::{Ahead, Tile};
use super::panels::Panels;
use super::share::Share;
use super::slices::SLICE_LINES;
use super::team::Queue;
use super::workshop::{Desk, Workshop};
use crate::error::Result;
use crate::quant::Q4_GROUP;

/// Depth of a slice of panels that stays in the first cache: 16 KiB a panel of floats.
pub(super) const DEPTH: usize = 256;
/// Floats of packed inputs that stay in the second cache while panel after panel goes by.
const NEAR_INPUTS: usize = 96 << 10;
/// Rows of a block: its slice of inputs is 120 KiB.
const BLOCK_ROWS: usize = 120;
/// Tiles of panels of a group. A block's sums are 184 KiB for AVX2 and 368 KiB for AVX-512, whose
/// machines have at least 512 KiB and 1 MiB of second cache; the wider the group, the less often
/// the inputs are read from beyond it.
const GROUP_TILES: usize = 24;
/// Up to so many tiles of rows, what comes next is fetched while weights are expanded.
const EARLY_TILES: usize = 2;
/// Rows packed at a time, which bounds the copy of the inputs.
const PASS_ROWS: usize = 960;
/// Multiplications that are done before another thread has woken.
const ALONE: usize = 1 << 17;

/// `x · panelsᵀ`.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// `[rows, inputs]`
    pub(super) x: &'a [f32],
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) panels: &'a Panels,
    pub(super) panel_count: usize,
    /// Panels finished together, if that matters to the result.
    pub(super) group: Option<usize>,
}

/// A block of finished sums.
pub(super) struct Done<'a> {
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    /// `[panels][rows]`
    pub(super) sums: &'a mut [Line],
}

/// How a product is cut.
pub(super) struct Cut {
    pub(super) rows: Range<usize>,
    pub(super) tile_rows: usize,
    tile_panels: usize,
    block_rows: usize,
    group: usize,
    /// Inputs of a slice of panels.
    pub(super) slice: usize,
    threads: usize,
}

impl Cut {
    fn new(product: &Product<'_>, rows: Range<usize>, isa: Chosen, threads: usize) -> Self {
        let (most_rows, tile_panels) = isa.tile();
        let blocks = rows.len().div_ceil(BLOCK_ROWS);
        // Tiles of equal height: a low one waits for its own sums.
        let tiles = rows.len().div_ceil(blocks).div_ceil(most_rows);
        let tile_rows = rows.len().div_ceil(blocks).div_ceil(tiles);
        let block_rows = tiles * tile_rows;
        let blocks = rows.len().div_ceil(block_rows);
        // Four tasks a thread even out what one thread loses to other work on its core.
        let wanted = (4 * threads).div_ceil(blocks);
        let groups = product
            .panel_count
            .div_ceil(GROUP_TILES * tile_panels)
            .max(wanted);
        let group = product.panel_count.div_ceil(groups).next_multiple_of(2);
        Self {
            rows,
            tile_rows,
            tile_panels,
            block_rows,
            group: product.group.unwrap_or(group),
            slice: product.slice_depth(isa),
            threads,
        }
    }

    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(self.tile_rows)
    }

    fn blocks(&self) -> usize {
        self.rows.len().div_ceil(self.block_rows)
    }

    /// The first panel of a task.
    fn panel(&self, task: usize) -> usize {
        task / self.blocks() * self.group
    }
}

/// The order in which a block of rows meets the panels of a group.
struct Walk {
    slices: usize,
    tiles: usize,
    /// All slices of one tile of panels before the next: weights are read as they lie in memory. Else the
    /// inputs' slice stays near while all panels go by.
    panel_by_panel: bool,
}

impl Walk {
    /// Slice and tile of panels of the `step`th product.
    fn at(&self, step: usize) -> (usize, usize) {
        if self.panel_by_panel {
            (step % self.slices, step / self.slices)
        } else {
            (step / self.tiles, step % self.tiles)
        }
    }
}

impl Product<'_> {
    /// Multiplies, and hands every block of sums to `finish` on the thread that made it.
    pub(super) fn compute(
        &self,
        shop: &mut Workshop,
        finish: &(impl Fn(Done<'_>) + Sync),
    ) -> Result<()> {
        if self.rows == 0 || self.panel_count == 0 {
            return Ok(());
        }
        let passes = self.rows.div_ceil(PASS_ROWS);
        let pass_rows = self.rows.div_ceil(passes);
        for first in (0..self.rows).step_by(pass_rows) {
            let rows = first..(first + pass_rows).min(self.rows);
            self.pass(shop, rows, finish)?;
        }
        Ok(())
    }

    fn pass(
        &self,
        shop: &mut Workshop,
        rows: Range<usize>,
        finish: &(impl Fn(Done<'_>) + Sync),
    ) -> Result<()> {
        let cut = Cut::new(self, rows, shop.isa, shop.team.size());
        let mut inputs = std::mem::take(&mut shop.shared.inputs);
        let width = self.packing(shop.isa).width(self.depth());
        let packed = inputs.floats(cut.rows.len() * width)?;
        shop.prepare(|desk| {
            desk.sums.lines(cut.block_rows * cut.group)?;
            desk.wide.lines(DEPTH * cut.tile_panels).map(|_| ())
        })?;

        let packing = Queue::new(cut.tiles());
        let multiplying = Queue::new(cut.blocks() * self.panel_count.div_ceil(cut.group));
        {
            let share = Share::new(&mut *packed);
            let work = |thread| {
                packing.drain(|tile| match self.panels {
                    Panels::Groups(_) => {
                        self.round(shop.isa, &cut, tile, &mut shop.desk(thread), &share);
                    }
                    _ => self.pack(&cut, tile, &share),
                });
                packing.wait();
                // SAFETY: all packing is done, so from here on everybody only reads.
                let packed = unsafe { share.all() };
                multiplying.drain(|task| {
                    let desk = &mut shop.desk(thread);
                    self.multiply(shop.isa, &cut, task, packed, desk, finish);
                });
            };
            if cut.rows.len() * self.inputs * self.panel_count * LANES <= ALONE {
                work(0);
            } else {
                shop.team.all(work);
            }
        }
        shop.shared.inputs = inputs;
        Ok(())
    }

    fn multiply(
        &self,
        isa: Chosen,
        cut: &Cut,
        task: usize,
        packed: &[f32],
        desk: &mut Desk,
        finish: &(impl Fn(Done<'_>) + Sync),
    ) {
        let Desk { sums, wide, .. } = desk;
        let first = task % cut.blocks() * cut.block_rows;
        let rows = cut.block_rows.min(cut.rows.len() - first);
        let panel = cut.panel(task);
        let panels = panel..(panel + cut.group).min(self.panel_count);
        let sums = sums
            .lines(rows * panels.len())
            .expect("the desk was prepared for a whole block");
        let wide = wide
            .lines(DEPTH * cut.tile_panels)
            .expect("the desk was prepared for a slice");

        let packing = self.packing(isa);
        let walk = Walk {
            slices: self.depth().div_ceil(cut.slice),
            tiles: panels.len().div_ceil(cut.tile_panels),
            panel_by_panel: rows * packing.width(self.depth()) <= NEAR_INPUTS,
        };
        for step in 0..walk.slices * walk.tiles {
            let at = |step| {
                let (slice, tile) = walk.at(step);
                (slice * cut.slice, panels.start + tile * cut.tile_panels)
            };
            let (k, p) = at(step);
            let depth = cut.slice.min(self.depth() - k);
            let count = cut.tile_panels.min(panels.end - p);
            let width = packing.width(depth);
            let slice = &packed[packing.width(k) * cut.rows.len()..][..width * cut.rows.len()];
            let (next_k, next_p) = if step + 1 < walk.slices * walk.tiles {
                at(step + 1)
            } else {
                // The tasks before it are the other threads'.
                (0, cut.panel(task + cut.threads))
            };
            // A few rows are done before memory has answered.
            let few = rows <= EARLY_TILES * cut.tile_rows;
            let (early, next) = match self.panels {
                Panels::Groups(_) if few => (Some((next_p, next_k)), Ahead::NOTHING),
                _ => (None, self.ahead(next_p, next_k, cut.slice)),
            };
            let (b, b_panel) = self.slice(isa, p..p + count, k..k + depth, wide, early);
            for r in (0..rows).step_by(cut.tile_rows) {
                let height = cut.tile_rows.min(rows - r);
                let a = &slice[(first + r) * width..][..height * width];
                let c = &mut sums[(p - panels.start) * rows + r..];
                let ahead = next.part(r / cut.tile_rows, rows.div_ceil(cut.tile_rows));
                if let Panels::Groups(_) = self.panels {
                    let scales = height * depth / packing.inputs;
                    let offsets = scales + height * depth / packing.group;
                    let tile = GroupTile {
                        groups: depth / packing.group,
                        bytes: packing.group == Q4_GROUP,
                        words: packing.words(),
                        a: a.as_ptr(),
                        a_scales: a[scales..].as_ptr(),
                        a_offsets: a[offsets..].as_ptr(),
                        a_step: height,
                        b: b.as_ptr(),
                        b_scales: b[SLICE_LINES..].as_ptr(),
                        b_panel,
                        c: c.as_mut_ptr(),
                        c_panel: rows,
                        resume: k > 0,
                        ahead,
                    };
                    // SAFETY: as below, with scales and offsets behind the words in both.
                    unsafe { tile.compute(isa, height, count) };
                    continue;
                }
                let tile = Tile {
                    depth,
                    a: a.as_ptr(),
                    a_step: height,
                    b: b.as_ptr(),
                    b_panel,
                    c: c.as_mut_ptr(),
                    c_row: 1,
                    c_panel: rows,
                    resume: k > 0,
                    ahead,
                };
                // SAFETY: `a` is the packed tile, `b` reaches `depth` lines of the last panel,
                // and `c` is this thread's own, with `rows` lines a panel.
                unsafe { tile.compute(isa, height, count) };
            }
        }
        finish(Done {
            rows: cut.rows.start + first..cut.rows.start + first + rows,
            panels,
            sums,
        });
    }
}
