//! Weights on their way into the kernels: slices of the depth of some panels, widened or expanded.

use std::ops::Range;

use super::gemm::{DEPTH, Product};
use super::groups::Expand;
use super::isa::{Chosen, Kernel, Simd};
use super::lines::Line;
use super::micro::Ahead;
use super::panels::{Half, Panels};
use crate::quant::Q8_GROUP;

/// Lines of whole numbers in a slice of quantized panels.
pub(super) const SLICE_LINES: usize = DEPTH / 2;
/// Most groups of a slice.
const SLICE_GROUPS: usize = DEPTH / Q8_GROUP;

impl Product<'_> {
    /// Brings inputs `k..k + depth` of the panels from `panel` on nearer.
    pub(super) fn ahead(&self, panel: usize, k: usize, depth: usize) -> Ahead {
        if panel >= self.panel_count {
            return Ahead::NOTHING;
        }
        let (start, line) = match self.panels {
            Panels::F32(lines) => (lines[panel * self.inputs + k..].as_ptr().cast(), 64),
            Panels::Bf16(halves) => (halves[panel * self.inputs + k..].as_ptr().cast(), 32),
            Panels::Groups(groups) => {
                let (start, bytes) = groups.place(panel * groups.count + k / groups.group);
                let count = (depth / groups.group).min(groups.count - k / groups.group);
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
            lines: (depth.min(self.inputs - k) * line).div_ceil(64),
        }
    }

    /// Lines `depth` of the panels, as f32, and how far apart the panels are; of quantized ones, lines of
    /// whole numbers and, after those of a whole slice, lines of scales. Brings the slice `next`, a panel and an input, nearer
    /// while they are expanded.
    pub(super) fn slice<'s>(
        &'s self,
        isa: Chosen,
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
            Panels::Groups(groups) => {
                let stride = SLICE_LINES + SLICE_GROUPS;
                let lines = depth.len() / self.packing(isa).inputs;
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
