//! Candidates: the head's logits are looked at chunk by chunk and never stored whole.
//!
//! A vocabulary has some 126,000 ids, so that the logits of one answer would fill tens of megabytes. Instead every
//! block of the product is folded, while its sums are in the cache, into one [`PartialSoftmax`] a row; at the end a
//! row's partial results are combined in the order of the vocabulary, in f64.

use super::context::Context;
use super::exp::exp;
use super::gemm::{OutputBlock, Product};
use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line, grow};
use super::panels::PackedWeight;
use super::shared_slice::SharedSlice;
use crate::backend::{Guess, Layout, Pick, Rank};
use crate::error::{Result, same};
use crate::rows::Rows;

/// Panels of a chunk, 192 ids. Partial results are combined chunk by chunk, so the bits depend on it.
const CHUNK: usize = 12;

/// What one chunk contributes to one row's softmax and candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialSoftmax {
    /// The highest logit.
    max: f32,
    /// The second-highest logit, `max` in a tie.
    second: f32,
    /// `Σ exp(logit - max)`
    sum: f64,
    /// `Σ (logit - max) exp(logit - max)`
    weighted: f64,
    /// The best candidate's score, id and logit.
    score: f64,
    token: u32,
    logit: f32,
}

impl PartialSoftmax {
    /// Of no logits at all; what all others are combined with.
    const NONE: Self = Self {
        max: f32::NEG_INFINITY,
        second: f32::NEG_INFINITY,
        sum: 0.0,
        weighted: 0.0,
        score: f64::NEG_INFINITY,
        token: 0,
        logit: f32::NEG_INFINITY,
    };
}

/// [`Backend::rank`](crate::Backend::rank); `partials` is memory that is reused from call to call.
pub(super) fn rank(
    context: &mut Context,
    partials: &mut Vec<PartialSoftmax>,
    x: &Rows,
    head: &PackedWeight,
    rank: &Rank<'_>,
    out: &mut Vec<Guess>,
) -> Result<()> {
    same("inputs of the head", head.inputs, x.width)?;
    same("picks", x.rows, rank.picks.len())?;
    rank.check(head.outputs)?;
    same(
        "a head is a plain linear",
        1,
        usize::from(head.layout == Layout::Linear),
    )?;
    let mut forbidden = rank.forbidden.to_vec();
    forbidden.sort_unstable();
    let product = Product {
        x: &x.data,
        rows: x.rows,
        inputs: x.width,
        panels: &head.panels,
        panel_count: head.panel_count(),
        block_panels: Some(CHUNK),
    };
    let chunks = product.panel_count.div_ceil(CHUNK);
    grow(
        partials,
        chunks * x.rows,
        PartialSoftmax::NONE,
        "partial softmax",
    )?;
    let shared = SharedSlice::new(partials);
    let isa = context.isa;
    product.compute(context, &|block| {
        let at = block.panels.start / CHUNK * x.rows + block.rows.start;
        // SAFETY: every chunk of every row is finished once.
        let partials = unsafe { shared.part(at..at + block.rows.len()) };
        isa.run(FoldLogits {
            picks: &rank.picks[block.rows.clone()],
            block,
            head,
            forbidden: &forbidden,
            partials,
        });
    })?;
    out.extend((0..x.rows).map(|row| choose(partials[row..].iter().step_by(x.rows).take(chunks))));
    Ok(())
}

/// Combines the partial results in the order of the vocabulary.
fn choose<'a>(partials: impl Iterator<Item = &'a PartialSoftmax> + Clone) -> Guess {
    let mut best = PartialSoftmax::NONE;
    let (mut max, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for partial in partials.clone() {
        second = second.max(partial.second).max(partial.max.min(max));
        max = max.max(partial.max);
        if partial.score > best.score {
            best = *partial;
        }
    }
    let relative = |logit: f32| (f64::from(logit) - f64::from(max)).exp();
    let (mut sum, mut weighted) = (0.0, 0.0);
    for p in partials.filter(|p| p.max > f32::NEG_INFINITY) {
        let share = relative(p.max);
        sum += p.sum * share;
        weighted += share * (p.weighted + (f64::from(p.max) - f64::from(max)) * p.sum);
    }
    Guess {
        token: best.token,
        probability: relative(best.logit) / sum,
        top: relative(max) / sum,
        runner_up: relative(second) / sum,
        entropy: sum.ln() - weighted / sum,
    }
}

/// The kernel that folds a block of logits, one chunk of some rows, into partial results.
struct FoldLogits<'a> {
    /// Logits without their biases, `[panels][rows]`.
    block: OutputBlock<'a>,
    head: &'a PackedWeight,
    /// Ascending.
    forbidden: &'a [u32],
    /// One per row of the block.
    picks: &'a [Pick<'a>],
    /// One per row of the block, to be written.
    partials: &'a mut [PartialSoftmax],
}

/// What one look through a row's logits in a chunk finds.
struct Highest {
    max: f32,
    /// Where the maximum is, counted from the chunk's first id; the lowest among equals.
    at: usize,
    second: f32,
}

impl Kernel for FoldLogits<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let first = self.block.panels.start * LANES;
        self.forbid(first);
        for i in 0..self.block.rows.len() {
            let highest = self.highest(s, i);
            let [sum, weighted] = self.sums(s, i, highest.max);
            let partial = PartialSoftmax {
                max: highest.max,
                second: highest.second,
                sum,
                weighted,
                score: f64::from(highest.max),
                token: (first + highest.at.min(u32::MAX as usize)) as u32,
                logit: highest.max,
            };
            self.partials[i] = match &self.picks[i] {
                Pick::Greedy => partial,
                Pick::Given(id) => self.given(i, first, *id, partial),
                pick @ Pick::Gumbel { .. } => self.draw(i, first, pick, partial),
            };
        }
    }
}

impl FoldLogits<'_> {
    /// Adds the bias to the logits of row `i`, and finds the two highest.
    #[inline(always)]
    fn highest<S: Simd>(&mut self, s: S, i: usize) -> Highest {
        let rows = self.block.rows.len();
        // Sixteen columns are followed at once; `argmax` holds the panel of each one's maximum.
        let nothing = s.splat(f32::NEG_INFINITY);
        let (mut max, mut second, mut argmax) = (nothing, nothing, s.zero());
        for (p, panel) in self.block.panels.clone().enumerate() {
            let slot = &mut self.block.sums[p * rows + i];
            let mut logits = s.load(slot);
            if let Some(bias) = self.head.bias.get(panel) {
                logits = s.add(logits, s.load(bias));
                s.store(logits, slot);
            }
            second = s.max(second, s.min(logits, max));
            argmax = s.where_greater(logits, max, s.splat(p as f32), argmax);
            max = s.where_greater(logits, max, logits, max);
        }
        let (lanes, argmax, seconds) = (s.array(max), s.array(argmax), s.array(second));
        let (mut first_of_all, mut second_of_all) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for (lane, second) in lanes.into_iter().zip(seconds) {
            second_of_all = second_of_all.max(second).max(lane.min(first_of_all));
            first_of_all = first_of_all.max(lane);
        }
        let mut best = (f32::NEG_INFINITY, usize::MAX);
        for lane in 0..LANES {
            let token = argmax[lane] as usize * LANES + lane;
            if lanes[lane] > best.0 || (lanes[lane] >= best.0 && token < best.1) {
                best = (lanes[lane], token);
            }
        }
        Highest {
            max: best.0,
            at: best.1,
            second: second_of_all,
        }
    }

    /// `Σ exp(logit - max)` and `Σ (logit - max) exp(logit - max)` of row `i`.
    #[inline(always)]
    fn sums<S: Simd>(&self, s: S, i: usize, max: f32) -> [f64; 2] {
        let rows = self.block.rows.len();
        let max = s.splat(max);
        let (mut sums, mut weighted) = ([0.0f64; LANES], [0.0f64; LANES]);
        for p in 0..self.block.panels.len() {
            let logits = s.load(&self.block.sums[p * rows + i]);
            // Limited as in `exp`: a forbidden id counts 1e-38 · 87 and not 0 · ∞.
            let below = s.max(s.sub(logits, max), s.splat(-87.3));
            let powers = exp(s, below);
            let products = s.array(s.mul(powers, below));
            for (sum, power) in sums.iter_mut().zip(s.array(powers)) {
                *sum += f64::from(power);
            }
            for (sum, product) in weighted.iter_mut().zip(products) {
                *sum += f64::from(product);
            }
        }
        [sums.iter().sum(), weighted.iter().sum()]
    }

    /// Takes forbidden ids and the padding of the last panel out of the running.
    fn forbid(&mut self, first: usize) {
        let rows = self.block.rows.len();
        let end = first + self.block.panels.len() * LANES;
        let from = self.forbidden.partition_point(|id| (*id as usize) < first);
        let ids = self.forbidden[from..].iter().map(|id| *id as usize);
        for id in ids.take_while(|id| *id < end).chain(self.head.outputs..end) {
            let (panel, lane) = ((id - first) / LANES, (id - first) % LANES);
            for line in &mut self.block.sums[panel * rows..(panel + 1) * rows] {
                line[lane] = f32::NEG_INFINITY;
            }
        }
    }

    /// The given id if it is one of this chunk's, else no candidate.
    fn given(&self, i: usize, first: usize, id: u32, partial: PartialSoftmax) -> PartialSoftmax {
        let at = (id as usize).checked_sub(first);
        match at.filter(|at| *at < self.block.panels.len() * LANES) {
            Some(at) => PartialSoftmax {
                score: 0.0,
                token: id,
                logit: self.block.sums[at / LANES * self.block.rows.len() + i][at % LANES],
                ..partial
            },
            None => PartialSoftmax {
                score: f64::NEG_INFINITY,
                ..partial
            },
        }
    }

    /// Row `i`'s candidate by `exp(l) / (-ln u)^T`, which ranks as `l - T ln(-ln u)`.
    #[inline(never)]
    fn draw(
        &self,
        i: usize,
        first: usize,
        pick: &Pick<'_>,
        partial: PartialSoftmax,
    ) -> PartialSoftmax {
        let Pick::Gumbel { temperature, noise } = pick else {
            return partial;
        };
        let rows = self.block.rows.len();
        let mut best = PartialSoftmax {
            score: f64::NEG_INFINITY,
            token: 0,
            logit: f32::NEG_INFINITY,
            ..partial
        };
        let lines: &[Line] = self.block.sums;
        for p in 0..self.block.panels.len() {
            for (lane, &logit) in lines[p * rows + i].iter().enumerate() {
                let token = (first + p * LANES + lane) as u32;
                if logit > f32::NEG_INFINITY {
                    let score = f64::from(logit) - temperature * (-noise.draw(token).ln()).ln();
                    if score > best.score {
                        best = PartialSoftmax {
                            score,
                            token,
                            logit,
                            ..best
                        };
                    }
                }
            }
        }
        best
    }
}
