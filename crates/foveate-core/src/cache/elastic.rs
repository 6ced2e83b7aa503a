//! Elastic-Cache: keys and values are refreshed when attention moves, and only in the layers behind.

use std::sync::Arc;

use super::{Cache, CacheSettings, CacheView, Keep, Row, Strategy, Work, positive, share};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "elastic",
    help: "All rows; layers are computed anew behind the one in which attention moved",
    has: &[
        "cache-refresh",
        "cache-similarity",
        "cache-visual-refresh",
        "cache-dtype",
    ],
    complete: |settings| {
        // gamma of the paper's LLaDA runs.
        settings.similarity.get_or_insert(0.9);
        settings.visual_refresh.get_or_insert(1);
    },
    build,
};

fn build(settings: &CacheSettings) -> Result<Strategy> {
    let refresh = positive("cache-refresh", settings.refresh)?;
    Ok(Some(Arc::new(Elastic {
        similarity: share("cache-similarity", settings.similarity)?,
        refresh: settings.refresh.map(|_| refresh),
    })))
}

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
    similarity: f64,
    /// All rows of all layers every so many steps, if at all.
    refresh: Option<usize>,
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
