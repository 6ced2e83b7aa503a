//! Inputs on their way into the kernels: tiles of rows side by side, for quantized weights as whole numbers.
//!
//! The micro-kernel broadcasts one number of each row at every step of the depth, so a tile's rows lie side by side:
//! `[rows, inputs]` becomes `[slices][tiles][inputs of a slice][tile rows]`.

use super::context::Scratch;
use super::gemm::{Blocking, DEPTH, Product};
use super::integer::{InputLayout, RoundInputs};
use super::isa::DetectedIsa;
use super::panels::Panels;
use super::shared_slice::SharedSlice;
use super::slices::SLICE_LINES;
use super::transpose::transpose;

impl Product<'_> {
    /// Inputs of a packed row: whole groups where there are groups.
    pub(super) fn depth(&self) -> usize {
        match self.panels {
            Panels::Quant(groups) => groups.count * groups.group,
            _ => self.inputs,
        }
    }

    /// How the inputs lie: beside quantized weights in words of several, beside floats one a word.
    pub(super) fn input_layout(&self, isa: DetectedIsa) -> InputLayout {
        match self.panels {
            Panels::Quant(groups) => InputLayout::new(groups.group, isa),
            _ => InputLayout::FLOATS,
        }
    }

    /// Inputs of a slice of panels, which stays in the first cache.
    pub(super) fn slice_depth(&self, isa: DetectedIsa) -> usize {
        match self.panels {
            Panels::Quant(_) => SLICE_LINES * self.input_layout(isa).inputs,
            _ => DEPTH,
        }
    }

    /// Packs one tile of rows: for each slice of the depth, `[depth][tile rows]`.
    pub(super) fn pack(&self, blocking: &Blocking, tile: usize, packed: &SharedSlice<'_, f32>) {
        let first = tile * blocking.tile_rows;
        let rows = blocking.tile_rows.min(blocking.rows.len() - first);
        for k in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - k);
            let at = k * blocking.rows.len() + first * depth;
            // SAFETY: every tile has its own part of every slice.
            let out = unsafe { packed.part(at..at + rows * depth) };
            let source = &self.x[(blocking.rows.start + first) * self.inputs + k..];
            transpose(source, self.inputs, rows, depth, out, rows);
        }
    }

    /// Rounds and packs one tile of rows: for each slice of the depth, words `[words][tile rows]`, scales
    /// and offsets `[groups][tile rows]`.
    pub(super) fn round(
        &self,
        isa: DetectedIsa,
        blocking: &Blocking,
        tile: usize,
        scratch: &mut Scratch,
        packed: &SharedSlice<'_, f32>,
    ) {
        let layout = self.input_layout(isa);
        let first = tile * blocking.tile_rows;
        let rows = blocking.tile_rows.min(blocking.rows.len() - first);
        for k in (0..self.depth()).step_by(blocking.slice) {
            let depth = blocking.slice.min(self.depth() - k);
            let (words, groups) = (depth / layout.inputs, depth / layout.group);
            let width = layout.width(depth);
            let room = scratch
                .wide
                .floats(rows * width)
                .expect("the scratch memory was prepared for a slice of weights");
            for (r, room) in room.chunks_exact_mut(width).enumerate() {
                let row = &self.x[(blocking.rows.start + first + r) * self.inputs..][..self.inputs];
                let (words, rest) = room.split_at_mut(words);
                let (scales, offsets) = rest.split_at_mut(groups);
                isa.run(RoundInputs {
                    x: &row[k..(k + depth).min(self.inputs)],
                    layout,
                    words,
                    scales,
                    offsets,
                });
            }
            let at = layout.width(k) * blocking.rows.len() + first * width;
            // SAFETY: every tile has its own part of every slice.
            let out = unsafe { packed.part(at..at + rows * width) };
            transpose(room, width, rows, width, out, rows);
        }
    }
}
