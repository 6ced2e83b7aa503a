//! Candidates: the head's logits are looked at chunk by chunk and never stored whole.

use super::exp::exp;
use super::gemm::{Done, Product};
use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line, grow};
use super::panels::Packed;
use super::share::Share;
use super::workshop::Workshop;
use crate::backend::{Guess, Layout, Pick, Rank};
use crate::error::{Result, same};
use crate::rows::Rows;

/// Panels of a chunk. Partial results are combined chunk by chunk, so the bits depend on it.
const CHUNK: usize = 12;

/// What is kept of one row's logits in one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
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

impl Partial {
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

pub(super) fn rank(
    shop: &mut Workshop,
    partials: &mut Vec<Partial>,
    x: &Rows,
    head: &Packed,
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
        group: Some(CHUNK),
    };
    let chunks = product.panel_count.div_ceil(CHUNK);
    grow(partials, chunks * x.rows, Partial::NONE, "partial softmax")?;
    let share = Share::new(partials);
    let isa = shop.isa;
    product.compute(shop, &|done| {
        let at = done.panels.start / CHUNK * x.rows + done.rows.start;
        // SAFETY: every chunk of every row is finished once.
        let partials = unsafe { share.part(at..at + done.rows.len()) };
        isa.run(Fold {
            picks: &rank.picks[done.rows.clone()],
            done,
            head,
            forbidden: &forbidden,
            partials,
        });
    })?;
    out.extend((0..x.rows).map(|row| choose(partials[row..].iter().step_by(x.rows).take(chunks))));
    Ok(())
}

/// Combines the partial results in the order of the vocabulary.
fn choose<'a>(partials: impl Iterator<Item = &'a Partial> + Clone) -> Guess {
    let mut best = Partial::NONE;
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

struct Fold<'a> {
    done: Done<'a>,
    head: &'a Packed,
    forbidden: &'a [u32],
    picks: &'a [Pick<'a>],
    partials: &'a mut [Partial],
}

impl Kernel for Fold<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.done.rows.len();
        let first = self.done.panels.start * LANES;
        self.forbid(first);
        for i in 0..rows {
            // Sixteen columns are followed at once; `ahead` holds the panel of each one's maximum.
            let nothing = s.splat(f32::NEG_INFINITY);
            let (mut max, mut second, mut ahead) = (nothing, nothing, s.zero());
            for (p, panel) in self.done.panels.clone().enumerate() {
                let slot = &mut self.done.sums[p * rows + i];
                let mut logits = s.load(slot);
                if let Some(bias) = self.head.bias.get(panel) {
                    logits = s.add(logits, s.load(bias));
                    s.store(logits, slot);
                }
                second = s.max(second, s.min(logits, max));
                ahead = s.where_greater(logits, max, s.splat(p as f32), ahead);
                max = s.where_greater(logits, max, logits, max);
            }
            let (lanes, ahead, seconds) = (s.array(max), s.array(ahead), s.array(second));
            let (mut first_of_all, mut second_of_all) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            for (lane, second) in lanes.into_iter().zip(seconds) {
                second_of_all = second_of_all.max(second).max(lane.min(first_of_all));
                first_of_all = first_of_all.max(lane);
            }
            let mut best = (f32::NEG_INFINITY, usize::MAX);
            for lane in 0..LANES {
                let token = ahead[lane] as usize * LANES + lane;
                if lanes[lane] > best.0 || (lanes[lane] >= best.0 && token < best.1) {
                    best = (lanes[lane], token);
                }
            }
            let max = s.splat(best.0);
            let (mut sums, mut weighted) = ([0.0f64; LANES], [0.0f64; LANES]);
            for p in 0..self.done.panels.len() {
                let logits = s.load(&self.done.sums[p * rows + i]);
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
            let partial = Partial {
                max: best.0,
                second: second_of_all,
                sum: sums.iter().sum(),
                weighted: weighted.iter().sum(),
                score: f64::from(best.0),
                token: (first + best.1.min(u32::MAX as usize)) as u32,
                logit: best.0,
            };
            self.partials[i] = match &self.picks[i] {
                Pick::Greedy => partial,
                Pick::Given(id) => self.given(i, first, *id, partial),
                pick @ Pick::Gumbel { .. } => self.draw(i, first, pick, partial),
            };
        }
    }
}

impl Fold<'_> {
    /// Takes forbidden ids and the padding of the last panel out of the running.
    fn forbid(&mut self, first: usize) {
        let rows = self.done.rows.len();
        let end = first + self.done.panels.len() * LANES;
        let from = self.forbidden.partition_point(|id| (*id as usize) < first);
        let ids = self.forbidden[from..].iter().map(|id| *id as usize);
        for id in ids.take_while(|id| *id < end).chain(self.head.outputs..end) {
            let (panel, lane) = ((id - first) / LANES, (id - first) % LANES);
            for line in &mut self.done.sums[panel * rows..(panel + 1) * rows] {
                line[lane] = f32::NEG_INFINITY;
            }
        }
    }

    /// The given id if it is one of this chunk's, else no candidate.
    fn given(&self, i: usize, first: usize, id: u32, partial: Partial) -> Partial {
        let at = (id as usize).checked_sub(first);
        match at.filter(|at| *at < self.done.panels.len() * LANES) {
            Some(at) => Partial {
                score: 0.0,
                token: id,
                logit: self.done.sums[at / LANES * self.done.rows.len() + i][at % LANES],
                ..partial
            },
            None => Partial {
                score: f64::NEG_INFINITY,
                ..partial
            },
        }
    }

    /// Row `i`'s candidate by `exp(l) / (-ln u)^T`, which ranks as `l - T ln(-ln u)`.
    #[inline(never)]
    fn draw(&self, i: usize, first: usize, pick: &Pick<'_>, partial: Partial) -> Partial {
        let Pick::Gumbel { temperature, noise } = pick else {
            return partial;
        };
        let rows = self.done.rows.len();
        let mut best = Partial {
            score: f64::NEG_INFINITY,
            token: 0,
            logit: f32::NEG_INFINITY,
            ..partial
        };
        let lines: &[Line] = self.done.sums;
        for p in 0..self.done.panels.len() {
            for (lane, &logit) in lines[p * rows + i].iter().enumerate() {
                let token = (first + p * LANES + lane) as u32;
                if logit > f32::NEG_INFINITY {
                    let score = f64::from(logit) - temperature * (-noise.draw(token).ln()).ln();
                    if score > best.score {
                        best = Partial {
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
