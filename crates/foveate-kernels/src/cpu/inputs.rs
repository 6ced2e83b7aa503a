//! Inputs on their way into the kernels: tiles of rows side by side, for quantized weights as whole numbers.

use super::gemm::{Cut, DEPTH, Product};
use super::integer::{Packing, Round};
use super::isa::Chosen;
use super::panels::Panels;
use super::share::Share;
use super::slices::SLICE_LINES;
use super::transpose::transpose;
use super::workshop::Desk;

impl Product<'_> {
    /// Inputs of a packed row: whole groups where there are groups.
    pub(super) fn depth(&self) -> usize {
        match self.panels {
            Panels::Groups(groups) => groups.count * groups.group,
            _ => self.inputs,
        }
    }

    /// How the inputs lie beside quantized weights; beside floats one a word.
    pub(super) fn packing(&self, isa: Chosen) -> Packing {
        match self.panels {
            Panels::Groups(groups) => Packing::new(groups.group, isa),
            _ => Packing::FLOATS,
        }
    }

    /// Inputs of a slice of panels, which stays in the first cache.
    pub(super) fn slice_depth(&self, isa: Chosen) -> usize {
        match self.panels {
            Panels::Groups(_) => SLICE_LINES * self.packing(isa).inputs,
            _ => DEPTH,
        }
    }

    /// Packs one tile of rows: for each slice of the depth, `[depth][tile rows]`.
    pub(super) fn pack(&self, cut: &Cut, tile: usize, packed: &Share<'_, f32>) {
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

    /// Rounds and packs one tile of rows: for each slice of the depth, words `[words][tile rows]`, scales
    /// and offsets `[groups][tile rows]`.
    pub(super) fn round(
        &self,
        isa: Chosen,
        cut: &Cut,
        tile: usize,
        desk: &mut Desk,
        packed: &Share<'_, f32>,
    ) {
        let packing = self.packing(isa);
        let first = tile * cut.tile_rows;
        let rows = cut.tile_rows.min(cut.rows.len() - first);
        for k in (0..self.depth()).step_by(cut.slice) {
            let depth = cut.slice.min(self.depth() - k);
            let (words, groups) = (depth / packing.inputs, depth / packing.group);
            let width = packing.width(depth);
            let room = desk
                .wide
                .floats(rows * width)
                .expect("the desk was prepared for a slice of weights");
            for (r, room) in room.chunks_exact_mut(width).enumerate() {
                let row = &self.x[(cut.rows.start + first + r) * self.inputs..][..self.inputs];
                let (words, rest) = room.split_at_mut(words);
                let (scales, offsets) = rest.split_at_mut(groups);
                isa.run(Round {
                    x: &row[k..(k + depth).min(self.inputs)],
                    packing,
                    words,
                    scales,
                    offsets,
                });
            }
            let at = packing.width(k) * cut.rows.len() + first * width;
            // SAFETY: every tile has its own part of every slice.
            let out = unsafe { packed.part(at..at + rows * width) };
            transpose(room, width, rows, width, out, rows);
        }
    }
}
