//! Fast-dLLM: everything outside the active block is computed every few steps.

use std::sync::Arc;

use super::{Cache, CacheSettings, CacheView, Row, Strategy, Work, positive};
use crate::error::Result;

pub(super) const ROW: Row = Row {
    name: "fast-dllm",
    help: "What is before the active block",
    has: &["cache-refresh", "cache-visual-refresh", "cache-dtype"],
    complete,
    build: |settings| build(Reach::ToTheEnd, settings),
};

pub(super) const DUAL: Row = Row {
    name: "fast-dllm-dual",
    help: "What is before and behind the active block",
    build: |settings| build(Reach::Block, settings),
    ..ROW
};

fn complete(settings: &mut CacheSettings) {
    // `prefix_refresh_interval` of LLaDA-V.
    settings.refresh.get_or_insert(32);
    settings.visual_refresh.get_or_insert(1);
}

fn build(reach: Reach, settings: &CacheSettings) -> Result<Strategy> {
    let refresh = positive("cache-refresh", settings.refresh)?;
    Ok(Some(Arc::new(FastDllm { reach, refresh })))
}

/// Which rows are computed between two refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From the block's first row to the end (prefix cache).
    ToTheEnd,
    /// The block's rows only (dual cache).
    Block,
}

/// Keys and values of the other rows are kept within a block.
///
/// *Computes* all rows at the block's start and every `refresh` steps, else those within reach ·
/// *Source* arXiv 2505.22618; LLaDA-V, `fast_dllm_hook.py` (prefix cache, refresh 32).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastDllm {
    reach: Reach,
    refresh: usize,
}

impl Cache for FastDllm {
    fn work(&self, view: &CacheView<'_>) -> Work {
        if view.step_in_block.is_multiple_of(self.refresh) {
            return view.all();
        }
        match self.reach {
            Reach::ToTheEnd => Work::of(view.block.start..view.rows),
            Reach::Block => Work::of(view.block.clone()),
        }
    }
}
