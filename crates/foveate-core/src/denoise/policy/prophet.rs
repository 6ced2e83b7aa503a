//! Commit everything as soon as the answer is settled.

use super::{Number, Rule, View};

/// Early commit.
///
/// The gap of a candidate is the difference of its two highest logits. The answer region is the
/// block: its masked positions.
///
/// *Commits* the rest of the block once the mean gap reaches the bound of the stage (first third of
/// the block's steps, second, last); until then the scheduled number of the surest · *Source*
/// Prophet (arXiv 2508.19982).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prophet {
    /// While less than 33 % of the steps have run.
    pub early: f64,
    /// While less than 67 % have.
    pub middle: f64,
    /// From there on.
    pub late: f64,
}

impl Prophet {
    pub(super) const NAME: &str = "prophet";
    pub(super) const FORM: &str = "prophet=EARLY,MIDDLE,LATE";
    /// The bounds of the published code.
    pub const PUBLISHED: Self = Self {
        early: 7.5,
        middle: 5.0,
        late: 2.5,
    };
}

impl Rule for Prophet {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        vec![
            Number::amount("prophet, early", &mut self.early),
            Number::amount("prophet, middle", &mut self.middle),
            Number::amount("prophet, late", &mut self.late),
        ]
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        let bound = match view.progress {
            p if p < 0.33 => self.early,
            p if p < 0.67 => self.middle,
            _ => self.late,
        };
        let gaps = view.candidates.iter().map(|c| &c.guess);
        let sum: f64 = gaps.map(|g| g.top.ln() - g.runner_up.ln()).sum();
        if sum >= bound * view.candidates.len() as f64 {
            (0..view.candidates.len()).collect()
        } else {
            view.surest(view.scheduled)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prophet;
    use crate::denoise::policy::{Policy, tests::Case};

    #[test]
    fn the_bound_falls_from_stage_to_stage() {
        let prophet = Policy::Prophet(Prophet::PUBLISHED);
        // Gaps of ln(2 · 0.99 / 0.01) = 5.3.
        let mut case = Case::of(&[0.99, 0.99, 0.99]);
        for (progress, committed) in [(0.2, 1), (0.33, 3), (0.9, 3)] {
            case.progress = progress;
            assert_eq!(case.committed(prophet).len(), committed, "{progress}");
        }
        let mut unsure = Case::of(&[0.5, 0.4, 0.6]);
        unsure.progress = 1.0;
        assert_eq!(unsure.committed(prophet), [2]);
    }

    #[test]
    fn a_certain_candidate_has_an_endless_gap() {
        let case = Case::of(&[1.0, 0.5]);
        let prophet = Policy::Prophet(Prophet::PUBLISHED);
        assert_eq!(case.committed(prophet), [0, 1]);
    }
}
