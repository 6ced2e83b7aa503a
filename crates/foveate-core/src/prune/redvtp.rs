//! `RedVTP`: keep what the still-masked response tokens look at after the first denoising step.

use std::sync::Arc;

use super::{Moment, Positions, Pruner, Queries, Row, Wanted, Watch};
use crate::error::{Error, Result};

pub(super) const ROW: Row = Row {
    name: "redvtp",
    help: "What the still-masked answer looks at after the first step",
    positions: Positions::Compact,
    build,
};

/// Response-driven visual token pruning.
///
/// *Keeps* the tokens with the highest attention, averaged over all layers, heads and response rows
/// that are still masked · *When* after step 1, from here on · *Cost* one probe of the response rows ·
/// *Source* arXiv 2511.12428; RedVTP-LLaDA-V, `generate_with_embeds`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedVtp {
    step: usize,
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

fn build(wanted: &Wanted<'_>) -> Result<Arc<dyn Pruner>> {
    wanted.refuse_layer_options(Some(Queries::Masked))?;
    match wanted.moment().unwrap_or(Moment::AfterStep(1)) {
        Moment::AfterStep(step) if step >= 1 => Ok(Arc::new(RedVtp { step })),
        _ => Err(Error::request(
            "prune-at",
            "redvtp reads the attention of a finished step; use step=N",
        )),
    }
}
