//! `RedVTP`: keep what the still-masked response tokens look at after the first denoising step.

use super::{Moment, Pruner, Queries, Watch};

/// Response-driven visual token pruning.
///
/// *Keeps* the tokens with the highest attention, averaged over all layers, heads and response rows
/// that are still masked · *When* after step 1, from here on · *Cost* one probe of the response rows ·
/// *Source* arXiv 2511.12428; RedVTP-LLaDA-V, `generate_with_embeds`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedVtp {
    pub(super) step: usize,
}

impl Pruner for RedVtp {
    fn moment(&self) -> Moment {
        Moment::AfterStep(self.step)
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch {
            queries: Queries::Masked,
            layer: None,
        })
    }
}
