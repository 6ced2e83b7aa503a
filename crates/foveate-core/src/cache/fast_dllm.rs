//! Fast-dLLM: everything outside the active block is computed every few steps.

use super::{Cache, CacheView, Work};

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
    pub(super) reach: Reach,
    pub(super) refresh: usize,
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
