//! `FastV`: in every pass, late layers read only the visual tokens that an early layer attended to.

use std::sync::Arc;

use super::{Moment, Positions, Pruner, Queries, Row, Wanted, Watch};
use crate::error::{Error, Result};

pub(super) const ROW: Row = Row {
    name: "fastv",
    help: "What is looked at in an early layer, in every pass",
    positions: Positions::Original,
    build,
};

/// Pruning inside each pass.
///
/// *Keeps* the tokens with the highest attention at an early layer · *When* after that layer, for the
/// rest of the pass; the next step's early layers read every token again · *Cost* one probe at one layer
/// per step · *Source* arXiv 2403.06764. The paper reads the row of the last prompt token of a causal
/// model; a bidirectional decoder has no such row, so the queries are a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastV {
    layer: usize,
    queries: Queries,
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

fn build(wanted: &Wanted<'_>) -> Result<Arc<dyn Pruner>> {
    // K = 2 in the paper (arXiv 2403.06764, section 4).
    let layer = wanted.layer(wanted.layers().min(2))?;
    let queries = wanted.queries()?;
    match wanted.moment() {
        None => {}
        Some(Moment::AfterLayerOnce(at) | Moment::AfterLayerEveryPass(at)) if at == layer => {}
        Some(_) => {
            return Err(Error::request(
                "prune-at",
                "fastv prunes at its prune-layer in every pass",
            ));
        }
    }
    Ok(Arc::new(FastV { layer, queries }))
}
