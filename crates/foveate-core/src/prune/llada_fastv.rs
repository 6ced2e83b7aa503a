//! LLaDA-FastV: drop visual tokens in the middle of the first denoising step, and for good.

use std::sync::Arc;

use super::{Moment, Positions, Pruner, Queries, Row, Wanted, Watch};
use crate::error::{Error, Result};

pub(super) const ROW: Row = Row {
    name: "llada-fastv",
    help: "What the answer looks at in a middle layer of the first step",
    positions: Positions::Original,
    build,
};

/// Structured pruning inside the first step.
///
/// At the end of a step instead (`step=N`), the same attention chooses at the moment of other strategies.
///
/// *Keeps* the tokens with the highest attention at one middle-to-late layer · *When* after that layer
/// of step 1, from here on; every later step runs all layers on the survivors · *Cost* one probe at one
/// layer, and it shortens the first step too · *Source* arXiv 2601.20168.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LladaFastV {
    layer: usize,
    queries: Queries,
    moment: Moment,
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

fn build(wanted: &Wanted<'_>) -> Result<Arc<dyn Pruner>> {
    // The paper places K middle-to-late and gives no number (arXiv 2601.20168).
    let layer = wanted.layer(wanted.layers().div_ceil(2))?;
    let queries = wanted.queries()?;
    let moment = match wanted.moment() {
        None => Moment::AfterLayerOnce(layer),
        Some(Moment::AfterLayerOnce(at)) if at == layer => Moment::AfterLayerOnce(layer),
        Some(Moment::AfterStep(step)) if step >= 1 => Moment::AfterStep(step),
        Some(_) => {
            return Err(Error::request(
                "prune-at",
                "llada-fastv prunes at its prune-layer, or after a step: use step=N",
            ));
        }
    };
    Ok(Arc::new(LladaFastV {
        layer,
        queries,
        moment,
    }))
}
