//! Measuring one answer, and the median of several.

use std::time::Instant;

use anyhow::Result;
use foveate_core::{Options, PhaseTimes};
use foveate_kernels::{Ledger, Spent};

use super::flops::{Flops, Rows};
use super::subject::Subject;
use crate::report::step;

/// One run of the first steps of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Seconds of each step, from outside.
    pub(crate) steps: Vec<f64>,
    /// Seconds per phase.
    pub(crate) times: PhaseTimes,
    pub(crate) rows_computed: usize,
    pub(crate) committed: usize,
    pub(crate) visual_tokens_kept: usize,
    pub(crate) forwards: usize,
    pub(crate) flops: Flops,
    /// What the operations cost, if the subject keeps accounts.
    pub(crate) spent: Vec<Spent>,
}

/// Runs at most `limit` steps.
pub(crate) fn sample(subject: &Subject, options: &Options, limit: usize) -> Result<Sample> {
    let engine = &subject.engine;
    let shape = &engine.card().decoder;
    let sequences = 1 + usize::from(options.cfg_scale > 0.0);
    let mut answers = [engine.start_from(&subject.prompt, &subject.images, options)?];
    let mut sample = Sample {
        steps: Vec::with_capacity(limit),
        times: PhaseTimes::default(),
        rows_computed: 0,
        committed: 0,
        visual_tokens_kept: 0,
        forwards: 0,
        flops: Flops::default(),
        spent: Vec::new(),
    };
    let ledger = subject.accounts.as_ref().map(|accounts| &accounts.ledger);
    // What came before belongs to others.
    ledger.map(Ledger::take);
    for _ in 0..limit {
        let mask = answers[0].mask();
        let masked = answers[0].ids().iter().filter(|id| **id == mask).count();
        let clock = Instant::now();
        let steps = step(engine, &mut answers)?;
        let elapsed = clock.elapsed().as_secs_f64();
        let Some(step) = steps.into_iter().flatten().next() else {
            break;
        };
        sample.steps.push(elapsed);
        sample.times.decoder += step.times.decoder;
        sample.times.head += step.times.head;
        sample.times.prune += step.times.prune;
        sample.rows_computed += step.rows_computed;
        sample.committed += step.commits.len();
        sample.forwards += sequences;
        sample.flops += Flops::of(shape, &Rows::of(&step, sequences, shape.layers, masked));
    }
    sample.spent = ledger.map(Ledger::take).unwrap_or_default();
    sample.visual_tokens_kept = answers[0].outcome().visual_tokens_kept;
    Ok(sample)
}

/// Per quantity the median over the rounds, in milliseconds.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct MedianMs {
    pub(crate) decoder: f64,
    pub(crate) head: f64,
    pub(crate) prune: f64,
    /// Of the measured steps.
    pub(crate) total: f64,
    pub(crate) first_step: f64,
    pub(crate) last_step: f64,
}

impl MedianMs {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let over =
            |quantity: fn(&Sample) -> f64| 1e3 * median(samples.iter().map(quantity).collect());
        Self {
            decoder: over(|s| s.times.decoder),
            head: over(|s| s.times.head),
            prune: over(|s| s.times.prune),
            total: over(|s| s.steps.iter().sum()),
            first_step: over(|s| s.steps.first().copied().unwrap_or_default()),
            last_step: over(|s| s.steps.last().copied().unwrap_or_default()),
        }
    }
}

/// The middle value; the mean of the two middle ones if they are even in number.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        for (values, expected) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![9.0, 1.0, 2.0], 2.0),
            (vec![4.0, 1.0, 2.0, 9.0], 3.0),
        ] {
            assert!((median(values) - expected).abs() < 1e-12);
        }
    }
}
