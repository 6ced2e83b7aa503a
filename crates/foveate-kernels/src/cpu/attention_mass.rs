//! The probe: what a block's queries looked at, taken from the scores while they are in the cache.
//!
//! Each block and head writes its share of every [`Ask`](crate::Ask) to a place of its own; `merge` adds these
//! up head after head and block after block, so that a probe has the same bits at any number of threads.

use super::attention_plan::{AttentionPlan, BlockMass, QueryBlock};
use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::{LANES, Line, floats, floats_mut};
use super::shared_slice::SharedSlice;
use super::softmax::QUERIES;
use super::transpose::transpose;
use crate::backend::Sum;

/// One head's exponentials of a block's scores, after softmax's first two passes.
pub(super) struct BlockScores<'a> {
    /// The instruction set to add with.
    pub(super) isa: DetectedIsa,
    /// Whose scores these are.
    pub(super) block: &'a QueryBlock,
    /// `[keys][panels]`, not yet divided by their sums.
    pub(super) scores: &'a [Line],
    /// One over the sum of each query's scores.
    pub(super) inverse: &'a [f32; QUERIES],
    /// One over the number of heads, since mass is averaged over them.
    pub(super) per_head: f32,
}

impl BlockScores<'_> {
    /// Writes this head's part of some wanted mass; `base` is where the head's mass begins in `mass`.
    pub(super) fn write_mass(&self, wanted: &BlockMass, mass: &SharedSlice<'_, f32>, base: usize) {
        let panels = self.block.queries.len().div_ceil(LANES);
        let first_key = wanted.keys.start - self.block.keys.start;
        let keys = wanted.keys.len();
        let scores = &self.scores[first_key * panels..(first_key + keys) * panels];
        let first = wanted.queries.start - self.block.queries.start;
        let lanes = first..first + wanted.queries.len();
        let len = match wanted.sum {
            Sum::PerRow => lanes.len() * keys,
            Sum::OverRows => keys,
        };
        let at = base + wanted.at;
        // SAFETY: every block and head has its own part of the mass.
        let out = unsafe { mass.part(at..at + len) };
        let mut weights = [0.0; QUERIES];
        for lane in lanes.clone() {
            weights[lane] = self.inverse[lane] * self.per_head;
        }
        match wanted.sum {
            Sum::PerRow => self.isa.run(PerRow {
                scores: &floats(scores)[lanes.start..],
                stride: panels * LANES,
                weights: &weights[lanes],
                out,
            }),
            Sum::OverRows => self.isa.run(OverRows {
                scores,
                panels,
                weights: &weights,
                out,
            }),
        }
    }
}

/// Adds the mass of all heads to the part of the probe that begins at `start`, head after head and block after
/// block.
pub(super) fn merge(plan: &AttentionPlan, mass: &[f32], start: usize, probe: &mut [f32]) {
    for head in mass.chunks_exact(plan.mass_len) {
        for merge in &plan.merges {
            let first = merge.to.max(start);
            let end = (merge.to + merge.len).min(start + probe.len());
            if first < end {
                let from = &head[merge.from + first - merge.to..];
                for (slot, x) in probe[first - start..end - start].iter_mut().zip(from) {
                    *slot += x;
                }
            }
        }
    }
}

/// The kernel behind [`Sum::PerRow`]: scores of some queries times their weights, row by row.
struct PerRow<'a> {
    /// From the first row's lane on; keys are `stride` apart.
    scores: &'a [f32],
    stride: usize,
    /// One per row.
    weights: &'a [f32],
    /// `[rows][keys]`
    out: &'a mut [f32],
}

impl Kernel for PerRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.weights.len();
        let keys = self.out.len() / rows.max(1);
        // Sixteen keys at a time, so that a line of the mass is written at once: the rows' lines
        // may all fall into the same few places of the first cache.
        let mut transposed = [Line::ZERO; QUERIES];
        for key in (0..keys).step_by(LANES) {
            let count = LANES.min(keys - key);
            let scores = &self.scores[key * self.stride..];
            let room = floats_mut(&mut transposed);
            transpose(scores, self.stride, count, rows, room, LANES);
            for (row, (line, weight)) in transposed.iter().zip(self.weights).enumerate() {
                let line = s.mul(s.load(line), s.splat(*weight));
                let out = &mut self.out[row * keys + key..][..count];
                match <&mut [f32; LANES]>::try_from(&mut *out) {
                    Ok(out) => s.store(line, out),
                    Err(_) => out.copy_from_slice(&s.array(line)[..count]),
                }
            }
        }
    }
}

/// The kernel behind [`Sum::OverRows`]: for each key, the weighted sum of its scores over all queries.
struct OverRows<'a> {
    /// `[keys][panels]`
    scores: &'a [Line],
    panels: usize,
    /// One per query of the block; 0 for those that are not asked about.
    weights: &'a [f32; QUERIES],
    /// `[keys]`
    out: &'a mut [f32],
}

impl Kernel for OverRows<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (weights, _) = self.weights.as_chunks::<LANES>();
        let keys = self.scores.chunks_exact(self.panels);
        for (out, key) in self.out.iter_mut().zip(keys) {
            let mut sum = s.zero();
            for (line, weights) in key.iter().zip(weights) {
                sum = s.fma(s.load(line), s.load(weights), sum);
            }
            *out = s.sum(sum);
        }
    }
}
