//! Commit every candidate that is sure enough, and always the surest.

use super::{Number, Rule, View};

/// Confidence threshold.
///
/// *Commits* every candidate of probability `confidence` or more, at least one · *Source* Fast-dLLM
/// (arXiv 2505.22618), `threshold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// From 0 to 1.
    pub confidence: f64,
}

impl Threshold {
    pub(super) const NAME: &str = "threshold";
    pub(super) const FORM: &str = "threshold=TAU";
    /// The number of the paper's scripts.
    pub const PUBLISHED: Self = Self { confidence: 0.9 };
}

impl Rule for Threshold {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![Number::share("threshold", &mut self.confidence)]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let sure = |i: &&usize| view.candidates[**i].confidence >= self.confidence;
        view.surest(view.order.iter().take_while(sure).count())
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold;
    use crate::denoise::policy::{Policy, tests::Case};

    #[test]
    fn every_sure_candidate_is_committed_and_always_the_surest() {
        let at = |confidence| Policy::Threshold(Threshold { confidence });
        let case = Case::of(&[0.5, 0.95, 0.9, 0.2]);
        assert_eq!(case.committed(at(0.9)), [1, 2]);
        assert_eq!(case.committed(at(0.99)), [1]);
        assert_eq!(case.committed(at(0.0)), [0, 1, 2, 3]);
    }
}
