//! Prefix-DLM: the prompt is computed once and never sees the answer.

use std::sync::Arc;

use super::{AttentionMask, Cache, CacheView, Row, Work};

pub(super) const ROW: Row = Row {
    name: "prefix",
    help: "The prompt is computed once and never sees the answer",
    has: &["cache-dtype"],
    complete: |_| {},
    build: |_| Ok(Some(Arc::new(Prefix))),
};

/// The prompt's keys and values, computed in the first step, in which it attends to itself only.
///
/// *Computes* the response and what follows it · *Exact* for this attention mask: a step has the bits of
/// a full recompute under it · *Source* `LaViDa`, `generate` with `prefix_lm` (arXiv 2505.16839).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix;

impl Cache for Prefix {
    fn mask(&self) -> AttentionMask {
        AttentionMask::Prefix
    }

    fn work(&self, view: &CacheView<'_>) -> Work {
        Work::of(view.response.start..view.rows)
    }
}
