//! LLaDA-FastV: drop visual tokens in the middle of the first denoising step, and for good.

use super::{Moment, Pruner, Queries, Watch};

/// Structured pruning inside the first step.
///
/// At the end of a step instead (`step=N`), the same attention chooses at the moment of other strategies.
///
/// *Keeps* the tokens with the highest attention at one middle-to-late layer · *When* after that layer
/// of step 1, from here on; every later step runs all layers on the survivors · *Cost* one probe at one
/// layer, and it shortens the first step too · *Source* arXiv 2601.20168.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LladaFastV {
    pub(super) layer: usize,
    pub(super) queries: Queries,
    pub(super) moment: Moment,
}

impl Pruner for LladaFastV {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch {
            queries: self.queries,
            layer: Some(self.layer),
        })
    }
}
