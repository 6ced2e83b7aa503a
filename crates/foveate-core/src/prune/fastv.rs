//! `FastV`: in every pass, late layers read only the visual tokens that an early layer attended to.

use super::{Moment, Pruner, Queries, Watch};

/// Pruning inside each pass.
///
/// *Keeps* the tokens with the highest attention at an early layer · *When* after that layer, for the
/// rest of the pass; the next step's early layers read every token again · *Cost* one probe at one layer
/// per step · *Source* arXiv 2403.06764. The paper reads the row of the last prompt token of a causal
/// model; a bidirectional decoder has no such row, so the queries are a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastV {
    pub(super) layer: usize,
    pub(super) queries: Queries,
}

impl Pruner for FastV {
    fn moment(&self) -> Moment {
        Moment::AfterLayerEveryPass(self.layer)
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch {
            queries: self.queries,
            layer: Some(self.layer),
        })
    }
}
