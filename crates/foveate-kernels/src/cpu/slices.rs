//! Weights on their way into the kernels: slices of the depth of some panels, widened or expanded.
//!
//! 32-bit floats are read where they are. Others become lines of floats or of whole numbers in a thread's scratch
//! memory, 256 inputs at a time, which then serve all rows of a block from the first cache.

use std::ops::Range;

use super::gemm::{DEPTH, Product};
use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::Line;
use super::micro::Prefetch;
use super::panels::{Bf16Line, Panels};
use super::quant_panels::Expand;
use crate::quant::Q8_GROUP;

/// Lines of whole numbers in a slice of quantized panels.
pub(super) const SLICE_LINES: usize = DEPTH / 2;
/// Most groups of a slice.
const SLICE_GROUPS: usize = DEPTH / Q8_GROUP;

impl Product<'_> {
    /// What brings inputs `k..k + depth` of the panels from `panel` on into the second cache.
    pub(super) fn prefetch(&self, panel: usize, k: usize, depth: usize) -> Prefetch {
        if panel >= self.panel_count {
            return Prefetch::NONE;
        }
        let (start, line) = match self.panels {
            Panels::F32(lines) => (lines[panel * self.inputs + k..].as_ptr().cast(), 64),
            Panels::Bf16(halves) => (halves[panel * self.inputs + k..].as_ptr().cast(), 32),
            Panels::Quant(groups) => {
                let (start, bytes) = groups.place(panel * groups.count + k / groups.group);
                let count = (depth / groups.group).min(groups.count - k / groups.group);
                return Prefetch {
                    start,
                    panel: groups.count * bytes,
                    lines: (count * bytes).div_ceil(64),
                };
            }
            _ => return Prefetch::NONE,
        };
        Prefetch {
            start,
            panel: self.inputs * line,
            lines: (depth.min(self.inputs - k) * line).div_ceil(64),
        }
    }

    /// Inputs `depth` of the panels as lines of f32, and how many lines the panels are apart.
    ///
    /// Of quantized panels they are lines of whole numbers and, after those of a whole slice, lines of scales. The
    /// slice `next`, a panel and an input, is prefetched while these are expanded.
    pub(super) fn slice<'s>(
        &'s self,
        isa: DetectedIsa,
        panels: Range<usize>,
        depth: Range<usize>,
        wide: &'s mut [Line],
        next: Option<(usize, usize)>,
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
            Panels::Quant(groups) => {
                let stride = SLICE_LINES + SLICE_GROUPS;
                let lines = depth.len() / self.input_layout(isa).inputs;
                for (i, (panel, wide)) in panels.zip(wide.chunks_exact_mut(stride)).enumerate() {
                    let (whole, scales) = wide.split_at_mut(SLICE_LINES);
                    isa.run(Expand {
                        groups,
                        first: panel * groups.count + depth.start / groups.group,
                        lines: &mut whole[..lines],
                        scales: &mut scales[..depth.len() / groups.group],
                        next: next.map(|(panel, k)| (panel + i) * groups.count + k / groups.group),
                    });
                }
                (wide, stride)
            }
            _ => unreachable!("a table has no panels"),
        }
    }
}

/// The kernel that widens bfloat16 lines to f32.
struct Widen<'a> {
    from: &'a [Bf16Line],
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
