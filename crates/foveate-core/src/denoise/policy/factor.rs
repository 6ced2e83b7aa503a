//! Commit more candidates at once, the surer they are together.

use super::{Number, Rule, View};

/// Factor-based parallel decoding as in LLaDA-V's Fast-dLLM hook, quirks included.
///
/// With the candidates sorted, the `j`-th (from 0) passes while its probability is at least
/// `1 - factor / (j + 2)`; the first always passes. Positions of later blocks count as candidates
/// of no probability. Where all but one pass, the last is committed with them.
///
/// *Commits* those that pass · *Source* Fast-dLLM (arXiv 2505.22618), `factor`, as in LLaDA-V's
/// `fast_dllm_hook`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// Larger commits more; from 0 on.
    pub factor: f64,
}

impl Factor {
    pub(super) const NAME: &str = "factor";
    pub(super) const FORM: &str = "factor=F";
    /// The number of LLaDA-V's evaluation.
    pub const PUBLISHED: Self = Self { factor: 1.0 };
}

impl Rule for Factor {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![Number::amount("factor", &mut self.factor)]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let last = view.masked.saturating_sub(1);
        let fails = |&j: &usize| {
            let index = view.order.get(j);
            let confidence = index.map_or(f64::NEG_INFINITY, |&i| view.candidates[i].confidence);
            confidence < 1.0 - self.factor / (j + 2) as f64
        };
        let passed = (1..view.masked).find(fails).unwrap_or(last);
        view.surest(passed + usize::from(passed == 0 || passed == last))
    }
}

#[cfg(test)]
mod tests {
    use super::Factor;
    use crate::denoise::policy::{Policy, tests::Case};

    #[test]
    fn the_published_examples_hold() {
        let one = Policy::Factor(Factor { factor: 1.0 });
        let count = |probabilities: &[f64]| Case::of(probabilities).committed(one).len();
        assert_eq!(count(&[0.7, 0.99, 0.3, 0.9, 0.8]), 3);
        assert_eq!(count(&[0.99, 0.1]), 2, "the last one comes along");
        assert_eq!(count(&[0.2]), 1);
        assert_eq!(count(&[0.999, 0.999, 0.999]), 3);
    }

    #[test]
    fn masks_of_later_blocks_count_but_are_not_committed() {
        let mut case = Case::of(&[0.99, 0.1]);
        case.masked = 4;
        assert_eq!(case.committed(Policy::Factor(Factor::PUBLISHED)), [0]);
        let all = Policy::Factor(Factor { factor: 100.0 });
        assert_eq!(case.committed(all), [0, 1]);
    }
}
