//! The matrix product: blocks of rows and panels that fit the caches, shared by threads.
//!
//! Inputs are packed into tiles of rows, weights lie in panels of sixteen outputs ([`panels`](super::panels)).
//! The product is cut three times, as in Goto and van de Geijn (2008): into *slices* of the depth, whose panels stay
//! in the first cache; into *blocks* of rows × panels, whose sums stay in the second and which one thread finishes;
//! and into *tiles*, whose sums stay in registers ([`micro`](super::micro)). Slices of an output follow one another
//! in ascending order whatever the blocking, so its bits depend on nothing but its row of inputs and its weights.

use std::ops::Range;

use super::context::{Context, Scratch};
use super::integer::{GroupTile, InputLayout};
use super::isa::DetectedIsa;
use super::lines::{LANES, Line};
use super::micro::{Prefetch, Tile};
use super::panels::Panels;
use super::shared_slice::SharedSlice;
use super::slices::SLICE_LINES;
use super::thread_pool::TaskQueue;
use crate::error::Result;
use crate::quant::Q4_GROUP;

/// Depth of a slice of panels that stays in the first cache: 16 KiB a panel of floats.
pub(super) const DEPTH: usize = 256;
/// Floats of packed inputs that stay in the second cache while panel after panel goes by.
const NEAR_INPUTS: usize = 96 << 10;
/// Rows of a block: its slice of inputs is 120 KiB.
const BLOCK_ROWS: usize = 120;
/// Tiles of panels of a block. A block's sums are 184 KiB for AVX2 and 368 KiB for AVX-512, whose
/// machines have at least 512 KiB and 1 MiB of second cache; the wider the block, the less often
/// the inputs are read from beyond it.
const BLOCK_TILES: usize = 24;
/// Up to so many tiles of rows, what comes next is fetched while weights are expanded.
const EARLY_TILES: usize = 2;
/// Rows packed at a time, which bounds the copy of the inputs.
const PASS_ROWS: usize = 960;
/// Multiplications that are done before another thread has woken.
const ALONE: usize = 1 << 17;
/// Why scratch memory cannot be too small where it is used.
const PREPARED: &str = "the scratch memory was prepared for a whole block and slice";

/// `x · panelsᵀ`, the part that linears and the head have in common.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// `[rows, inputs]`
    pub(super) x: &'a [f32],
    /// Rows of the input.
    pub(super) rows: usize,
    /// Inputs of a row.
    pub(super) inputs: usize,
    /// The weights.
    pub(super) panels: &'a Panels,
    /// How many panels; gate and up are counted separately.
    pub(super) panel_count: usize,
    /// Panels of a block, if the result depends on it.
    pub(super) block_panels: Option<usize>,
}

/// A block of finished sums, on its way through an epilogue.
pub(super) struct OutputBlock<'a> {
    /// Rows of the output.
    pub(super) rows: Range<usize>,
    /// Panels of the output.
    pub(super) panels: Range<usize>,
    /// `[panels][rows]`
    pub(super) sums: &'a mut [Line],
}

/// How a pass over some rows is cut into blocks, slices and tiles.
pub(super) struct Blocking {
    /// Rows of the pass.
    pub(super) rows: Range<usize>,
    /// Rows of a tile; the last one may have fewer.
    pub(super) tile_rows: usize,
    /// Panels of a tile.
    tile_panels: usize,
    /// Rows of a block, in whole tiles.
    block_rows: usize,
    /// Panels of a block, in whole tiles.
    block_panels: usize,
    /// Inputs of a slice of panels.
    pub(super) slice: usize,
    /// How many threads take blocks in turn.
    threads: usize,
}

impl Blocking {
    /// Chooses sizes that fit the caches and give every thread some blocks of equal work.
    fn new(product: &Product<'_>, rows: Range<usize>, isa: DetectedIsa, threads: usize) -> Self {
        let (most_rows, tile_panels) = isa.tile();
        let blocks = rows.len().div_ceil(BLOCK_ROWS);
        // Tiles of equal height: a low one waits for its own sums.
        let tiles = rows.len().div_ceil(blocks).div_ceil(most_rows);
        let tile_rows = rows.len().div_ceil(blocks).div_ceil(tiles);
        let block_rows = tiles * tile_rows;
        let blocks = rows.len().div_ceil(block_rows);
        // Four tasks a thread even out what one thread loses to other work on its core.
        let wanted = (4 * threads).div_ceil(blocks);
        let columns = product
            .panel_count
            .div_ceil(BLOCK_TILES * tile_panels)
            .max(wanted);
        let block_panels = product.panel_count.div_ceil(columns).next_multiple_of(2);
        Self {
            rows,
            tile_rows,
            tile_panels,
            block_rows,
            block_panels: product.block_panels.unwrap_or(block_panels),
            slice: product.slice_depth(isa),
            threads,
        }
    }

    /// Tiles of rows of the pass.
    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(self.tile_rows)
    }

    /// Blocks one above the other.
    fn blocks(&self) -> usize {
        self.rows.len().div_ceil(self.block_rows)
    }

    /// The first panel of a task: all blocks of some panels come before the next panels.
    fn first_panel(&self, task: usize) -> usize {
        task / self.blocks() * self.block_panels
    }
}

/// The order in which a block meets its slices of the depth and its tiles of panels.
struct TileOrder {
    slices: usize,
    tiles: usize,
    /// All slices of one tile of panels before the next: weights are read as they lie in memory. Else the
    /// inputs' slice stays near while all panels go by.
    panel_by_panel: bool,
}

impl TileOrder {
    /// Number of products of a slice and a tile of panels.
    fn len(&self) -> usize {
        self.slices * self.tiles
    }

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
    /// Multiplies, and hands every block of sums to `epilogue` on the thread that made it.
    ///
    /// Fails only where memory for the packed inputs is missing; shapes are the caller's to check.
    pub(super) fn compute(
        &self,
        context: &mut Context,
        epilogue: &(impl Fn(OutputBlock<'_>) + Sync),
    ) -> Result<()> {
        if self.rows == 0 || self.panel_count == 0 {
            return Ok(());
        }
        let passes = self.rows.div_ceil(PASS_ROWS);
        let pass_rows = self.rows.div_ceil(passes);
        for first in (0..self.rows).step_by(pass_rows) {
            let rows = first..(first + pass_rows).min(self.rows);
            self.pass(context, rows, epilogue)?;
        }
        Ok(())
    }

    /// Packs some rows, then multiplies them with all panels.
    fn pass(
        &self,
        context: &mut Context,
        rows: Range<usize>,
        epilogue: &(impl Fn(OutputBlock<'_>) + Sync),
    ) -> Result<()> {
        let isa = context.isa;
        let blocking = Blocking::new(self, rows, isa, context.pool.threads());
        let mut inputs = std::mem::take(&mut context.shared.inputs);
        let layout = self.input_layout(isa);
        let packed = inputs.floats(blocking.rows.len() * layout.width(self.depth()))?;
        context.prepare(|scratch| {
            let sums = blocking.block_rows * blocking.block_panels;
            scratch.sums.lines(sums)?;
            scratch.wide.lines(DEPTH * blocking.tile_panels).map(|_| ())
        })?;

        let packing = TaskQueue::new(blocking.tiles());
        let columns = self.panel_count.div_ceil(blocking.block_panels);
        let multiplying = TaskQueue::new(blocking.blocks() * columns);
        {
            let shared = SharedSlice::new(&mut *packed);
            let work = |thread| {
                let scratch = || context.scratch(thread);
                packing.drain(|tile| match self.panels {
                    Panels::Quant(_) => self.round(isa, &blocking, tile, &mut scratch(), &shared),
                    _ => self.pack(&blocking, tile, &shared),
                });
                packing.wait();
                let pass = Pass {
                    product: self,
                    isa,
                    blocking: &blocking,
                    layout,
                    // SAFETY: all packing is done, so from here on everybody only reads.
                    packed: unsafe { shared.all() },
                };
                multiplying.drain(|task| pass.block(task, &mut scratch(), epilogue));
            };
            if blocking.rows.len() * self.inputs * self.panel_count * LANES <= ALONE {
                work(0);
            } else {
                context.pool.broadcast(work);
            }
        }
        context.shared.inputs = inputs;
        Ok(())
    }
}

/// A pass whose inputs are packed: what all its blocks have in common.
struct Pass<'a> {
    product: &'a Product<'a>,
    isa: DetectedIsa,
    blocking: &'a Blocking,
    layout: InputLayout,
    /// `[slices][tiles][words of a slice][tile rows]`
    packed: &'a [f32],
}

/// Where a step of a block begins: an input and a panel.
#[derive(Clone, Copy)]
struct Place {
    input: usize,
    panel: usize,
}

impl Pass<'_> {
    /// Computes one block of outputs and hands it to `epilogue`.
    fn block(&self, task: usize, scratch: &mut Scratch, epilogue: &impl Fn(OutputBlock<'_>)) {
        let blocking = self.blocking;
        let first = task % blocking.blocks() * blocking.block_rows;
        let rows = first..(first + blocking.block_rows).min(blocking.rows.len());
        let panel = blocking.first_panel(task);
        let panels = panel..(panel + blocking.block_panels).min(self.product.panel_count);
        let sums = scratch.sums.lines(rows.len() * panels.len());
        let sums = sums.expect(PREPARED);
        let wide = scratch.wide.lines(DEPTH * blocking.tile_panels);
        let wide = wide.expect(PREPARED);
        let depth = self.product.depth();
        let order = TileOrder {
            slices: depth.div_ceil(blocking.slice),
            tiles: panels.len().div_ceil(blocking.tile_panels),
            panel_by_panel: rows.len() * self.layout.width(depth) <= NEAR_INPUTS,
        };
        let place = |step: usize| {
            let (slice, tile) = order.at(step);
            Place {
                input: slice * blocking.slice,
                panel: panels.start + tile * blocking.tile_panels,
            }
        };
        // The tasks between this one and its thread's likely next one are the other threads'.
        let after = Place {
            input: 0,
            panel: blocking.first_panel(task + blocking.threads),
        };
        for step in 0..order.len() {
            let last = step + 1 == order.len();
            let next = if last { after } else { place(step + 1) };
            let here = place(step);
            let count = blocking.tile_panels.min(panels.end - here.panel);
            let weights = self.weights(here, count, next, rows.len(), &mut *wide);
            let sums = &mut sums[(here.panel - panels.start) * rows.len()..];
            self.step(&weights, rows.clone(), sums);
        }
        epilogue(OutputBlock {
            rows: blocking.rows.start + rows.start..blocking.rows.start + rows.end,
            panels,
            sums,
        });
    }

    /// The slice of `count` panels at `here`; fetches what comes `next` while it is expanded, or leaves that to
    /// the tiles.
    #[inline(always)]
    fn weights<'s>(
        &'s self,
        here: Place,
        count: usize,
        next: Place,
        rows: usize,
        wide: &'s mut [Line],
    ) -> Weights<'s> {
        let (product, slice) = (self.product, self.blocking.slice);
        let depth = slice.min(product.depth() - here.input);
        // A few rows are done before memory has answered.
        let few = rows <= EARLY_TILES * self.blocking.tile_rows;
        let (early, prefetch) = match product.panels {
            Panels::Quant(_) if few => (Some((next.panel, next.input)), Prefetch::NONE),
            _ => (None, product.prefetch(next.panel, next.input, slice)),
        };
        let panels = here.panel..here.panel + count;
        let inputs = here.input..here.input + depth;
        let (lines, stride) = product.slice(self.isa, panels, inputs.clone(), wide, early);
        Weights {
            inputs,
            count,
            lines,
            stride,
            prefetch,
        }
    }

    /// Multiplies the block's rows with one slice of a tile of panels, tile of rows by tile of rows.
    #[inline(always)]
    fn step(&self, weights: &Weights<'_>, rows: Range<usize>, sums: &mut [Line]) {
        let (blocking, layout) = (self.blocking, self.layout);
        let width = layout.width(weights.inputs.len());
        let before = layout.width(weights.inputs.start) * blocking.rows.len();
        let slice = &self.packed[before..][..width * blocking.rows.len()];
        let tiles = rows.len().div_ceil(blocking.tile_rows);
        for (i, r) in (0..rows.len()).step_by(blocking.tile_rows).enumerate() {
            let height = blocking.tile_rows.min(rows.len() - r);
            let a = &slice[(rows.start + r) * width..][..height * width];
            let c = &mut sums[r..];
            let prefetch = weights.prefetch.part(i, tiles);
            // SAFETY: `a` is the packed tile, `lines` reach the slice's depth in the last panel, with scales
            // and offsets behind the words of quantized ones, and `c` is this thread's own, with as many
            // lines a panel as the block has rows.
            unsafe {
                if let Panels::Quant(_) = self.product.panels {
                    let tile = weights.group_tile(a, height, c, rows.len(), layout);
                    let tile = GroupTile { prefetch, ..tile };
                    tile.compute(self.isa, height, weights.count);
                } else {
                    let tile = weights.tile(a, height, c, rows.len());
                    let tile = Tile { prefetch, ..tile };
                    tile.compute(self.isa, height, weights.count);
                }
            }
        }
    }
}

/// A slice of a tile of panels, as the kernels read it.
struct Weights<'a> {
    /// Inputs of the slice.
    inputs: Range<usize>,
    /// Panels of the tile.
    count: usize,
    /// `[panels][stride]`, as [`Product::slice`] makes them.
    lines: &'a [Line],
    stride: usize,
    /// What the tiles fetch meanwhile.
    prefetch: Prefetch,
}

impl Weights<'_> {
    /// The product with `height` packed rows, added to or stored in `c`, whose panels are `c_panel` lines apart.
    #[inline(always)]
    fn tile(&self, a: &[f32], height: usize, c: &mut [Line], c_panel: usize) -> Tile {
        Tile {
            depth: self.inputs.len(),
            a: a.as_ptr(),
            a_step: height,
            b: self.lines.as_ptr(),
            b_panel: self.stride,
            c: c.as_mut_ptr(),
            c_row: 1,
            c_panel,
            resume: self.inputs.start > 0,
            prefetch: Prefetch::NONE,
        }
    }

    /// Like [`Weights::tile`], of rounded inputs and quantized weights.
    #[inline(always)]
    fn group_tile(
        &self,
        a: &[f32],
        height: usize,
        c: &mut [Line],
        c_panel: usize,
        layout: InputLayout,
    ) -> GroupTile {
        let depth = self.inputs.len();
        let scales = height * depth / layout.inputs;
        let offsets = scales + height * depth / layout.group;
        GroupTile {
            groups: depth / layout.group,
            bytes: layout.group == Q4_GROUP,
            words: layout.words(),
            a: a.as_ptr(),
            a_scales: a[scales..].as_ptr(),
            a_offsets: a[offsets..].as_ptr(),
            a_step: height,
            b: self.lines.as_ptr(),
            b_scales: self.lines[SLICE_LINES..].as_ptr(),
            b_panel: self.stride,
            c: c.as_mut_ptr(),
            c_panel,
            resume: self.inputs.start > 0,
            prefetch: Prefetch::NONE,
        }
    }
}
