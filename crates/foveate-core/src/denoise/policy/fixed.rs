//! Commit as many of the surest candidates as the schedule says.

use super::{Rule, View};
use crate::error::Result;

/// The schedule decides, whatever the candidates look like.
///
/// *Commits* the step's scheduled number · *Source* `LLaDA` (arXiv 2502.09992), `generate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed;

impl Rule for Fixed {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn choose(&self, view: &View<'_>) -> Vec<usize> {
        view.order.iter().copied().take(view.scheduled).collect()
    }
}
