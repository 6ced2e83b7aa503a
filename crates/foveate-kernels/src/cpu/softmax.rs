//! Exact softmax down the keys: sixteen queries side by side, each one summed in key order.
//!
//! Scores lie as `[keys][panels of sixteen queries]`, so that a lane is a query and no sum crosses lanes. The
//! maximum is taken off first, over all keys; the division by the sum waits until the values are weighted.

use super::exp::exp;
use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::{LANES, Line};
use super::shared_slice::SharedSlice;

/// Most queries of a block: four panels.
pub(super) const QUERIES: usize = 64;
/// Keys summed before the sum is added to the total, which keeps rounding small.
const RUN: usize = 128;

/// Turns `scores[key][panel]` into `exp(score - max)` and returns one over each query's sum.
pub(super) fn softmax(isa: DetectedIsa, panels: usize, scores: &mut [Line]) -> [f32; QUERIES] {
    match panels {
        1 => isa.run(Softmax::<1>(scores)),
        2 => isa.run(Softmax::<2>(scores)),
        3 => isa.run(Softmax::<3>(scores)),
        4 => isa.run(Softmax::<4>(scores)),
        _ => unreachable!("a block has 1 to {QUERIES} queries"),
    }
}

/// The kernel behind [`softmax`] for a known number of panels, so that maxima and sums stay in registers.
struct Softmax<'a, const PANELS: usize>(&'a mut [Line]);

impl<const PANELS: usize> Kernel for Softmax<'_, PANELS> {
    type Out = [f32; QUERIES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; QUERIES] {
        let (keys, _) = self.0.as_chunks_mut::<PANELS>();
        let mut max = [s.splat(f32::NEG_INFINITY); PANELS];
        for key in &*keys {
            for (max, line) in max.iter_mut().zip(key) {
                *max = s.max(*max, s.load(line));
            }
        }
        let mut totals = [s.zero(); PANELS];
        for run in keys.chunks_mut(RUN) {
            let mut sums = [s.zero(); PANELS];
            for key in run {
                for p in 0..PANELS {
                    let power = exp(s, s.sub(s.load(&key[p]), max[p]));
                    s.store(power, &mut key[p]);
                    sums[p] = s.add(sums[p], power);
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = s.add(*total, sum);
            }
        }
        let mut inverse = [0.0; QUERIES];
        for (slot, total) in inverse.as_chunks_mut::<LANES>().0.iter_mut().zip(totals) {
            // Without keys there is nothing to weigh, and the result is zero.
            let total = s.where_greater(total, s.zero(), total, s.splat(1.0));
            s.store(s.div(s.splat(1.0), total), slot);
        }
        inverse
    }
}

/// The kernel that divides each query's weighted values by the sum of its weights and stores them as rows.
pub(super) struct Weighted<'a> {
    /// `[panels][rows]`
    pub(super) sums: &'a [Line],
    /// Queries of the block.
    pub(super) rows: usize,
    /// One over the sum of each query's weights.
    pub(super) inverse: &'a [f32; QUERIES],
    /// `[rows, heads · dim]` of the whole attention.
    pub(super) out: &'a SharedSlice<'a, f32>,
    /// The first float of the first row's head in `out`.
    pub(super) at: usize,
    /// Width of a head.
    pub(super) width: usize,
    /// Floats from one row to the next in `out`.
    pub(super) stride: usize,
}

impl Kernel for Weighted<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in 0..self.rows {
            let inverse = s.splat(self.inverse[row]);
            let at = self.at + row * self.stride;
            // SAFETY: every head of every query is written by one task.
            let out = unsafe { self.out.part(at..at + self.width) };
            for (panel, out) in out.chunks_mut(LANES).enumerate() {
                let value = s.mul(s.load(&self.sums[panel * self.rows + row]), inverse);
                match <&mut [f32; LANES]>::try_from(&mut *out) {
                    Ok(out) => s.store(value, out),
                    Err(_) => out.copy_from_slice(&s.array(value)[..out.len()]),
                }
            }
        }
    }
}
