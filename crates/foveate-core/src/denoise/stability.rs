//! How long the distribution of each masked position has stood still.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The last distribution of every masked position of a block. Copies share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stability {
    positions: BTreeMap<u32, Last>,
}

#[derive(Clone, Debug)]
struct Last {
    /// `ln p` per id, negative infinity for ids that are never predicted.
    log_probabilities: Arc<[f32]>,
    /// Steps in a row whose divergence from the step before was below the bound.
    still: usize,
}

impl Stability {
    /// Takes this step's logits `[positions, vocabulary]` and forgets every other position; returns
    /// for how many steps in a row each distribution has stood still: `KL(now ‖ before) < bound`.
    pub(crate) fn update(
        &mut self,
        positions: &[u32],
        logits: &[f32],
        forbidden: &[u32],
        bound: f64,
    ) -> Vec<usize> {
        let vocabulary = logits.len() / positions.len().max(1);
        let mut now = BTreeMap::new();
        let mut still = Vec::with_capacity(positions.len());
        for (&position, row) in positions.iter().zip(logits.chunks(vocabulary.max(1))) {
            let log_probabilities = log_softmax(row, forbidden);
            let steps = match self.positions.get(&position) {
                Some(last) if divergence(&log_probabilities, &last.log_probabilities) < bound => {
                    last.still + 1
                }
                _ => 0,
            };
            still.push(steps);
            let last = Last {
                log_probabilities: log_probabilities.into(),
                still: steps,
            };
            now.insert(position, last);
        }
        self.positions = now;
        still
    }
}

/// `ln softmax` over the allowed ids, with sums in f64.
fn log_softmax(logits: &[f32], forbidden: &[u32]) -> Vec<f32> {
    let mut row = logits.to_vec();
    for &id in forbidden {
        if let Some(logit) = row.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|&l| (f64::from(l) - max).exp()).sum();
    let shift = max + sum.ln();
    for logit in &mut row {
        *logit = (f64::from(*logit) - shift) as f32;
    }
    row
}

/// `KL(p ‖ q)` in nats, from logarithms.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let pairs = p.iter().zip(q).filter(|(p, _)| **p > f32::NEG_INFINITY);
    pairs
        .map(|(&p, &q)| f64::from(p).exp() * (f64::from(p) - f64::from(q)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_allowed_ids() {
        let p = log_softmax(&[0.0, 100.0, 3f32.ln()], &[1]);
        let q = log_softmax(&[0.0, -7.0, 0.0], &[1]);
        assert!(p[1].is_infinite());
        let want = 0.25 * (0.25f64 / 0.5).ln() + 0.75 * (0.75f64 / 0.5).ln();
        assert!((divergence(&p, &q) - want).abs() < 1e-7);
        assert!(divergence(&p, &p).abs() < 1e-12);
    }

    #[test]
    fn steps_are_counted_while_a_distribution_stands_still() {
        let mut stability = Stability::default();
        let (a, b) = ([1.0, 2.0, 0.5], [3.0, 0.0, 0.0]);
        let both = |x: [f32; 3], y: [f32; 3]| [x, y].concat();
        assert_eq!(stability.update(&[4, 6], &both(a, a), &[], 0.01), [0, 0]);
        assert_eq!(stability.update(&[4, 6], &both(a, b), &[], 0.01), [1, 0]);
        assert_eq!(stability.update(&[4, 6], &both(a, b), &[], 0.01), [2, 1]);
        // Position 4 was committed and is forgotten.
        assert_eq!(stability.update(&[6], &b, &[], 0.01), [2]);
        assert_eq!(stability.update(&[4, 6], &both(a, b), &[], 0.01), [0, 3]);
    }
}
