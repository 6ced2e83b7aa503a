//! Elastic-Cache: keys and values are refreshed when attention moves, and only in the layers behind.

use super::{Cache, CacheView, Keep, Work};

/// Watches, in every layer, the row of the prompt that the answer attends to most. As long as that row's own
/// attention stays alike from step to step, the layer's cache is good; from the layer after the first one
/// in which it moved, every row is computed again.
///
/// *Computes* the rows that can be committed, those committed in the last step and the watched ones ·
/// *Refreshes* where the cosine similarity of the watched row's attention falls below `similarity` ·
/// *Source* arXiv 2510.14973. The paper's sliding window is the block here: every masked row of it is
/// computed, later ones are kept; and the paper also watches committed tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elastic {
    pub(super) similarity: f64,
    /// All rows of all layers every so many steps, if at all.
    pub(super) refresh: Option<usize>,
}

impl Cache for Elastic {
    fn keep(&self) -> Keep {
        Keep::Inputs
    }

    fn similarity(&self) -> Option<f64> {
        Some(self.similarity)
    }

    fn work(&self, view: &CacheView<'_>) -> Work {
        match self.refresh {
            Some(refresh) if view.step.is_multiple_of(refresh) => view.all(),
            _ => Work::of(0..0),
        }
    }
}
