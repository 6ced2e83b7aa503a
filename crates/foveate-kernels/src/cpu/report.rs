//! The probe: what a block's queries looked at, taken from the scores while they are in the cache.

use super::isa::{Chosen, Kernel, Simd};
use super::lines::{LANES, Line, floats, floats_mut};
use super::plan::{Block, Report};
use super::share::Share;
use super::softmax::QUERIES;
use super::transpose::transpose;
use crate::backend::Sum;

/// One head's finished scores of a block.
pub(super) struct Seen<'a> {
    pub(super) isa: Chosen,
    pub(super) block: &'a Block,
    /// `[keys][panels]`, not yet divided by their sums.
    pub(super) scores: &'a [Line],
    /// One over the sum of each query's scores.
    pub(super) inverse: &'a [f32; QUERIES],
    /// One over the number of heads.
    pub(super) share: f32,
}

impl Seen<'_> {
    /// Writes this head's share of a report; `base` is where its reports begin.
    pub(super) fn write(&self, report: &Report, reports: &Share<'_, f32>, base: usize) {
        let panels = self.block.queries.len().div_ceil(LANES);
        let first_key = report.keys.start - self.block.keys.start;
        let keys = report.keys.len();
        let scores = &self.scores[first_key * panels..(first_key + keys) * panels];
        let first = report.queries.start - self.block.queries.start;
        let lanes = first..first + report.queries.len();
        let len = match report.sum {
            Sum::PerRow => lanes.len() * keys,
            Sum::OverRows => keys,
        };
        let at = base + report.at;
        // SAFETY: every block and head has its own part of the reports.
        let out = unsafe { reports.part(at..at + len) };
        let mut weights = [0.0; QUERIES];
        for lane in lanes.clone() {
            weights[lane] = self.inverse[lane] * self.share;
        }
        match report.sum {
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
        // Sixteen keys at a time, so that a line of the report is written at once: the rows' lines
        // may all fall into the same few places of the first cache.
        let mut turned = [Line::ZERO; QUERIES];
        for key in (0..keys).step_by(LANES) {
            let count = LANES.min(keys - key);
            let scores = &self.scores[key * self.stride..];
            let room = floats_mut(&mut turned);
            transpose(scores, self.stride, count, rows, room, LANES);
            for (row, (line, weight)) in turned.iter().zip(self.weights).enumerate() {
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

struct OverRows<'a> {
    scores: &'a [Line],
    panels: usize,
    weights: &'a [f32; QUERIES],
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
