//! dLLM-Cache: the prompt is refreshed rarely, the response often, and in between only where it changed.

use super::{Cache, CacheView, Keep, Partial, Work};

/// Adaptive caching of keys, values, attention outputs and MLP outputs.
///
/// *Computes* the prompt every `prompt_refresh` steps, the response every `response_refresh` steps; in the
/// other steps, in each layer, the share of the response whose new value is least like the kept one ·
/// *Source* arXiv 2506.06295; LLaDA-V, `cache_hook_LLaDA_V.py`. A suffix counts as response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DllmCache {
    pub(super) prompt_refresh: usize,
    pub(super) response_refresh: usize,
    pub(super) share: f64,
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
