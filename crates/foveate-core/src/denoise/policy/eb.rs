//! Commit as many candidates as an entropy budget allows.

use super::{Number, Rule, View};

/// Entropy-bounded unmasking: what is committed together may depend on each other only a little.
///
/// *Commits* the longest run of candidates, lowest entropy first, whose entropies without the
/// largest sum to `bound` nats or less; at least one · *Source* EB-Sampler (arXiv 2505.24857).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntropyBound {
    /// In nats, from 0 on.
    pub bound: f64,
}

impl EntropyBound {
    pub(super) const NAME: &str = "eb";
    pub(super) const FORM: &str = "eb=GAMMA";
    /// The number that `SGLang` ships.
    pub const PUBLISHED: Self = Self { bound: 0.15 };
}

impl Rule for EntropyBound {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![Number::amount("eb", &mut self.bound)]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let entropy = |i: usize| view.candidates[i].guess.entropy;
        let mut order: Vec<usize> = (0..view.candidates.len()).collect();
        order.sort_by(|&a, &b| entropy(a).total_cmp(&entropy(b)).then(a.cmp(&b)));
        // Sorted, the largest of a run is its last.
        let mut sum = 0.0;
        let fits = |&i: &usize| {
            let before = sum;
            sum += entropy(i);
            before <= self.bound
        };
        let count = order.iter().copied().take_while(fits).count();
        order.truncate(count.max(1));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::EntropyBound;
    use crate::denoise::policy::{Policy, tests::Case};

    #[test]
    fn the_last_of_a_run_costs_nothing() {
        let at = |bound| Policy::EntropyBound(EntropyBound { bound });
        // Entropies 0.5, 0.125, 0.25, 0.75.
        let case = Case::of(&[0.5, 0.875, 0.75, 0.25]);
        assert_eq!(case.committed(at(0.0)), [1]);
        assert_eq!(case.committed(at(0.125)), [1, 2]);
        assert_eq!(case.committed(at(0.374)), [1, 2]);
        assert_eq!(case.committed(at(0.375)), [0, 1, 2]);
        assert_eq!(case.committed(at(9.0)), [0, 1, 2, 3]);
    }
}
