//! The matrix product: blocks of rows and groups of panels that fit the caches, shared by threads.

use std::ops::Range;

use super::groups::Expand;
use super::integer::{GroupTile, Round};
use super::isa::{Chosen, Kernel, Simd};
use super::lines::{LANES, Line};
use super::micro::{Ahead, Tile};
use super::panels::{Half, Panels};
use super::share::Share;
use super::team::Queue;
use super::transpose::transpose;
use super::workshop::{Desk, Workshop};
use crate::error::Result;
use crate::quant::Q8_GROUP;

/// Depth of a slice of panels that stays in the first cache: 16 KiB a panel of floats.
const DEPTH: usize = 256;
/// Most groups of a slice.
const SLICE_GROUPS: usize = DEPTH / Q8_GROUP;
/// Rows of a block: its slice of inputs is 120 KiB.
const BLOCK_ROWS: usize = 120;
/// Tiles of panels of a group. A block's sums are 184 KiB for AVX2 and 368 KiB for AVX-512, whose
/// machines have at least 512 KiB and 1 MiB of second cache; the wider the group, the less often
/// the inputs are read from beyond it.
const GROUP_TILES: usize = 24;
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
struct Cut {
    rows: Range<usize>,
    tile_rows: usize,
    tile_panels: usize,
    block_rows: usize,
    group: usize,
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
        }
    }

    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(self.tile_rows)
    }

    fn blocks(&self) -> usize {
        self.rows.len().div_ceil(self.block_rows)
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

    /// Inputs of a packed row: whole groups where there are groups.
    fn depth(&self) -> usize {
        match self.panels {
            Panels::Groups(groups) => groups.count * groups.group,
            _ => self.inputs,
        }
    }

    /// Floats that `depth` inputs of a packed row take: one each, or pairs and a scale for each group.
    fn width(&self, depth: usize) -> usize {
        match self.panels {
            Panels::Groups(groups) => depth / 2 + depth / groups.group,
            _ => depth,
        }
    }

    fn pass(
        &self,
        shop: &mut Workshop,
        rows: Range<usize>,
        finish: &(impl Fn(Done<'_>) + Sync),
    ) -> Result<()> {
        let cut = Cut::new(self, rows, shop.isa, shop.team.size());
        let mut inputs = std::mem::take(&mut shop.shared.inputs);
        let packed = inputs.floats(cut.rows.len() * self.width(self.depth()))?;
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
                    Panels::Groups(groups) => {
                        let desk = &mut shop.desk(thread);
                        self.round(shop.isa, &cut, groups.group, tile, desk, &share);
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

    /// Packs one tile of rows: for each slice of the depth, `[depth][tile rows]`.
    fn pack(&self, cut: &Cut, tile: usize, packed: &Share<'_, f32>) {
        let first = tile * cut.tile_rows;
        let rows = cut.tile_rows.min(cut.rows.len() - first);
        for k in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - k);
            let at = k * cut.rows.len() + first * depth;
            // SAFETY: every tile has its own part of every slice.
            let out = unsafe { packed.part(at..at + rows * depth) };
            let source = &self.x[(cut.rows.start + first) * self.inputs + k..];
            transpose(source, self.inputs, rows, depth, out, rows);
        }
    }

    /// Rounds and packs one tile of rows: for each slice of the depth, pairs `[depth / 2][tile rows]` and
    /// scales `[groups][tile rows]`.
    fn round(
        &self,
        isa: Chosen,
        cut: &Cut,
        group: usize,
        tile: usize,
        desk: &mut Desk,
        packed: &Share<'_, f32>,
    ) {
        let first = tile * cut.tile_rows;
        let rows = cut.tile_rows.min(cut.rows.len() - first);
        for k in (0..self.depth()).step_by(DEPTH) {
            let depth = DEPTH.min(self.depth() - k);
            let (pairs, groups) = (depth / 2, depth / group);
            let room = desk
                .wide
                .floats(rows * (pairs + groups))
                .expect("the desk was prepared for a slice of weights");
            for (r, room) in room.chunks_exact_mut(pairs + groups).enumerate() {
                let row = &self.x[(cut.rows.start + first + r) * self.inputs..][..self.inputs];
                let (pairs, scales) = room.split_at_mut(pairs);
                isa.run(Round {
                    x: &row[k..(k + depth).min(self.inputs)],
                    group,
                    pairs,
                    scales,
                });
            }
            let at = self.width(k) * cut.rows.len() + first * self.width(depth);
            // SAFETY: every tile has its own part of every slice.
            let out = unsafe { packed.part(at..at + rows * self.width(depth)) };
            transpose(room, pairs + groups, rows, pairs + groups, out, rows);
        }
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
        let panel = task / cut.blocks() * cut.group;
        let panels = panel..(panel + cut.group).min(self.panel_count);
        let sums = sums
            .lines(rows * panels.len())
            .expect("the desk was prepared for a whole block");
        let wide = wide
            .lines(DEPTH * cut.tile_panels)
            .expect("the desk was prepared for a slice");

        for k in (0..self.depth()).step_by(DEPTH) {
            let depth = DEPTH.min(self.depth() - k);
            let width = self.width(depth);
            let slice = &packed[self.width(k) * cut.rows.len()..][..width * cut.rows.len()];
            for p in panels.clone().step_by(cut.tile_panels) {
                let count = cut.tile_panels.min(panels.end - p);
                let (b, b_panel) = self.slice(isa, p..p + count, k..k + depth, wide);
                let next = self.next(&panels, p + count, k, depth);
                for r in (0..rows).step_by(cut.tile_rows) {
                    let height = cut.tile_rows.min(rows - r);
                    let a = &slice[(first + r) * width..][..height * width];
                    let c = &mut sums[(p - panels.start) * rows + r..];
                    let ahead = next.part(r / cut.tile_rows, rows.div_ceil(cut.tile_rows));
                    if let Panels::Groups(groups) = self.panels {
                        let tile = GroupTile {
                            groups: depth / groups.group,
                            pairs: groups.group / 2,
                            a: a.as_ptr(),
                            a_scales: a[height * depth / 2..].as_ptr(),
                            a_step: height,
                            b: b.as_ptr(),
                            b_scales: b[DEPTH / 2..].as_ptr(),
                            b_panel,
                            c: c.as_mut_ptr(),
                            c_panel: rows,
                            resume: k > 0,
                            ahead,
                        };
                        // SAFETY: as below, with the scales behind the pairs in both.
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
        }
        finish(Done {
            rows: cut.rows.start + first..cut.rows.start + first + rows,
            panels,
            sums,
        });
    }

    /// The slice after the one that ends before panel `p`: beside it, or the first one below.
    fn next(&self, panels: &Range<usize>, p: usize, k: usize, depth: usize) -> Ahead {
        let (p, k) = if p < panels.end {
            (p, k)
        } else if k + depth < self.depth() {
            (panels.start, k + depth)
        } else {
            (p, 0)
        };
        if p >= self.panel_count {
            return Ahead::NOTHING;
        }
        let (start, line) = match self.panels {
            Panels::F32(lines) => (lines[p * self.inputs + k..].as_ptr().cast(), 64),
            Panels::Bf16(halves) => (halves[p * self.inputs + k..].as_ptr().cast(), 32),
            Panels::Groups(groups) => {
                let (start, bytes) = groups.place(p * groups.count + k / groups.group);
                let count = (DEPTH / groups.group).min(groups.count - k / groups.group);
                return Ahead {
                    start,
                    panel: groups.count * bytes,
                    lines: (count * bytes).div_ceil(64),
                };
            }
            _ => return Ahead::NOTHING,
        };
        Ahead {
            start,
            panel: self.inputs * line,
            lines: (DEPTH.min(self.inputs - k) * line).div_ceil(64),
        }
    }

    /// Lines `depth` of the panels, as f32, and how far apart the panels are; of quantised ones, lines of
    /// pairs and, after those of a whole slice, lines of scales.
    fn slice<'s>(
        &'s self,
        isa: Chosen,
        panels: Range<usize>,
        depth: Range<usize>,
        wide: &'s mut [Line],
    ) -> (&'s [Line], usize) {
        let at = |panel: usize| panel * self.inputs + depth.start;
        match self.panels {
            Panels::F32(lines) => (
                &lines[at(panels.start)..at(panels.end - 1) + depth.len()],
                self.inputs,
            ),
            Panels::Bf16(halves) => {
                for (panel, wide) in panels.zip(wide.chunks_exact_mut(DEPTH)) {
                    let from = &halves[at(panel)..][..depth.len()];
                    isa.run(Widen { from, to: wide });
                }
                (wide, DEPTH)
            }
            Panels::Groups(groups) => {
                let stride = DEPTH / 2 + SLICE_GROUPS;
                for (panel, wide) in panels.zip(wide.chunks_exact_mut(stride)) {
                    let (pairs, scales) = wide.split_at_mut(DEPTH / 2);
                    isa.run(Expand {
                        groups,
                        first: panel * groups.count + depth.start / groups.group,
                        pairs: &mut pairs[..depth.len() / 2],
                        scales: &mut scales[..depth.len() / groups.group],
                    });
                }
                (wide, stride)
            }
            _ => unreachable!("a table has no panels"),
        }
    }
}

struct Widen<'a> {
    from: &'a [Half],
    to: &'a mut [Line],
}

impl Kernel for Widen<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (line, half) in self.to.iter_mut().zip(self.from) {
            s.store(s.load_half(&half.0), line);
        }
    }
}
