//! Commit as many of the surest candidates as the schedule says.

use super::{Number, Rule, View};

/// The schedule decides, whatever the candidates look like.
///
/// *Commits* the step's scheduled number · *Source* `LLaDA` (arXiv 2502.09992), `generate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed;

impl Fixed {
    pub(super) const NAME: &str = "fixed";
    pub(super) const FORM: &str = "fixed";
    pub(super) const PUBLISHED: Self = Self;
}

impl Rule for Fixed {
    fn numbers(&mut self) -> Vec<Number<'_>> {
        Vec::new()
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        view.order.iter().copied().take(view.scheduled).collect()
    }
}
