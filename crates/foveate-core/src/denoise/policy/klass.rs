//! Commit candidates whose distribution stands still and that are sure.

use super::{Number, Rule, View};

/// KL-adaptive stability sampling.
///
/// A distribution stands still for a step when `KL(p_t ‖ p_{t-1}) < divergence`. Distributions are
/// compared inside a block only, over the ids that may be predicted, before any noise.
///
/// *Commits* every candidate that stood still for the last `steps` steps and has a probability above
/// `confidence`; where there is none, the scheduled number of the surest · *Cost* the head runs
/// twice for the block's masked rows, and their distributions are kept · *Source* KLASS
/// (arXiv 2511.05664).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Klass {
    /// In nats, above 0.
    pub divergence: f64,
    /// Steps in a row, at least 1.
    pub steps: usize,
    /// From 0 to 1.
    pub confidence: f64,
}

impl Klass {
    pub(super) const NAME: &str = "klass";
    pub(super) const FORM: &str = "klass=EPSILON,STEPS,TAU";
    /// The defaults of the published code.
    pub const PUBLISHED: Self = Self {
        divergence: 0.01,
        steps: 2,
        confidence: 0.9,
    };
}

impl Rule for Klass {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![
            Number::amount("klass, divergence", &mut self.divergence),
            Number::count("klass, steps", &mut self.steps),
            Number::share("klass, confidence", &mut self.confidence),
        ]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let ready: Vec<usize> = (0..view.candidates.len())
            .filter(|&i| view.still.get(i).is_some_and(|&steps| steps >= self.steps))
            .filter(|&i| view.candidates[i].confidence > self.confidence)
            .collect();
        if ready.is_empty() {
            view.surest(view.scheduled)
        } else {
            ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Klass;
    use crate::denoise::policy::{Policy, tests::Case};

    #[test]
    fn a_candidate_must_be_sure_and_stand_still() {
        let klass = Policy::Klass(Klass::PUBLISHED);
        let mut case = Case::of(&[0.99, 0.95, 0.5, 0.91]);
        case.still = vec![1, 2, 9, 3];
        assert_eq!(case.committed(klass), [1, 3]);
        case.still = vec![1; 4];
        case.scheduled = 3;
        assert_eq!(case.committed(klass), [0, 1, 3], "the schedule stands in");
        case.scheduled = 0;
        assert_eq!(case.committed(klass), [0], "and never commits nothing");
    }
}
