//! dLLM-Cache: the prompt is refreshed rarely, the response often, and in between only where it changed.

use std::sync::Arc;

use super::{Cache, CacheSettings, CacheView, Keep, Partial, Row, Strategy, Work, positive, share};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "dllm-cache",
    help: "All rows; of the answer, those that changed most are computed between refreshes",
    has: &[
        "cache-refresh",
        "cache-response-refresh",
        "cache-share",
        "cache-visual-refresh",
        "cache-dtype",
    ],
    complete: |settings| {
        // LLaDA-V's demo: 25, 7, 0.25.
        settings.refresh.get_or_insert(25);
        settings.response_refresh.get_or_insert(7);
        settings.share.get_or_insert(0.25);
        settings.visual_refresh.get_or_insert(1);
    },
    build,
};

fn build(settings: &CacheSettings) -> Result<Strategy> {
    Ok(Some(Arc::new(DllmCache {
        prompt_refresh: positive("cache-refresh", settings.refresh)?,
        response_refresh: positive("cache-response-refresh", settings.response_refresh)?,
        share: share("cache-share", settings.share)?,
    })))
}

/// Adaptive caching of keys, values, attention outputs and MLP outputs.
///
/// *Computes* the prompt every `prompt_refresh` steps, the response every `response_refresh` steps; in the
/// other steps, in each layer, the share of the response whose new value is least like the kept one ·
/// *Source* arXiv 2506.06295; LLaDA-V, `cache_hook_LLaDA_V.py`. A suffix counts as response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DllmCache {
    prompt_refresh: usize,
    response_refresh: usize,
    share: f64,
}

impl Cache for DllmCache {
    fn keep(&self) -> Keep {
        Keep::Outputs
    }

    fn work(&self, view: &CacheView<'_>) -> Work {
        let prompt = view.step.is_multiple_of(self.prompt_refresh);
        let response = view.step.is_multiple_of(self.response_refresh);
        let start = if prompt { 0 } else { view.response.start };
        let rows = view.response.start..view.rows;
        let partial = Partial {
            count: (rows.len() as f64 * self.share) as usize,
            rows,
        };
        Work {
            partial: (!response).then_some(partial),
            ..Work::of(start..view.rows)
        }
    }
}
