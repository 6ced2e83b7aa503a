//! dKV-Cache: a token is cached one step after it was decoded.

use std::sync::Arc;

use super::{Cache, CacheSettings, CacheView, Row, Strategy, Work, positive};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "dkv",
    help: "Rows of committed tokens, a step after they were committed",
    has: &["cache-refresh", "cache-visual-refresh", "cache-dtype"],
    complete: |settings| {
        // `cache_reloading_step` of the paper's evaluation on LLaDA.
        settings.refresh.get_or_insert(8);
        settings.visual_refresh.get_or_insert(1);
    },
    build,
};

fn build(settings: &CacheSettings) -> Result<Strategy> {
    let refresh = positive("cache-refresh", settings.refresh)?;
    Ok(Some(Arc::new(DelayedKv { refresh })))
}

/// Delayed caching: rows of committed tokens are kept, but not before they were computed with their token.
///
/// *Computes* all rows in the first two steps of a block and every `refresh` steps, else the masked rows
/// and those committed in the last step · *Source* arXiv 2505.15781, dKV-Cache-Decode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelayedKv {
    refresh: usize,
}

impl Cache for DelayedKv {
    fn work(&self, view: &CacheView<'_>) -> Work {
        if view.step_in_block < 2 || view.step_in_block.is_multiple_of(self.refresh) {
            return view.all();
        }
        let open = |r: &usize| !view.settled[r - view.response.start];
        Work {
            rows: view
                .response
                .clone()
                .filter(open)
                .map(|r| r as u32)
                .collect(),
            partial: None,
        }
    }
}
