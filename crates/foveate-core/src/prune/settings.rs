//! What a request says about pruning, and its validation into one ready strategy.

use std::sync::Arc;

use super::{FastV, LladaFastV, Moment, Pruner, Random, RedVtp, Uniform, Watch};
use crate::error::{Error, Result};

/// The strategies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// What masked answer tokens look at after the first step.
    Redvtp,
    /// What a middle layer of the first step attends to.
    LladaFastv,
    /// What an early layer attends to, in every pass anew.
    Fastv,
    /// A seeded random subset.
    Random,
    /// Evenly spaced tokens.
    Uniform,
}

/// Every method with the name users type.
pub const METHODS: [(&str, Method); 5] = [
    ("redvtp", Method::Redvtp),
    ("llada-fastv", Method::LladaFastv),
    ("fastv", Method::Fastv),
    ("random", Method::Random),
    ("uniform", Method::Uniform),
];

/// What surviving rows do with their rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// Renumbered without gaps.
    Compact,
    /// Unchanged.
    Original,
}

/// Whose attention is averaged into a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queries {
    /// Response rows that are still masked after the step.
    Masked,
    /// All response rows, later blocks included.
    Response,
    /// Every row of the sequence.
    All,
}

/// Pruning as a request states it; absent values take the strategy's published default.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneSettings {
    /// The strategy.
    pub method: Method,
    /// Share of each image's visual tokens that survives, in `(0, 1]`.
    pub keep: f64,
    /// What positions do.
    pub positions: Option<Positions>,
    /// The layer of `llada-fastv` and `fastv`, from 1.
    pub layer: Option<usize>,
    /// The queries of `llada-fastv` and `fastv`.
    pub queries: Option<Queries>,
    /// When, for the strategies that need no attention; the step of `redvtp` and, where it is to prune
    /// after one, of `llada-fastv`.
    pub moment: Option<Moment>,
}

impl PruneSettings {
    /// A strategy at a keep ratio, with its published defaults.
    pub fn new(method: Method, keep: f64) -> Self {
        Self {
            method,
            keep,
            positions: None,
            layer: None,
            queries: None,
            moment: None,
        }
    }

    /// Checks the settings against a decoder of `layers` layers.
    pub fn build(&self, layers: usize) -> Result<Pruning> {
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return Err(Error::request(
                "keep",
                format!("expected a share above 0 and at most 1, got {}", self.keep),
            ));
        }
        let positions = |published| self.positions.unwrap_or(published);
        let (pruner, positions): (Arc<dyn Pruner>, _) = match self.method {
            Method::Redvtp => {
                self.refuse_layer_options()?;
                let step = match self.moment {
                    None => 1,
                    Some(Moment::AfterStep(step)) if step >= 1 => step,
                    Some(_) => {
                        return Err(Error::request(
                            "prune-at",
                            "redvtp reads the attention of a finished step; use step=N",
                        ));
                    }
                };
                (Arc::new(RedVtp { step }), positions(Positions::Compact))
            }
            Method::LladaFastv => {
                // The paper places K middle-to-late and gives no number (arXiv 2601.20168).
                let layer = self.checked_layer(layers, layers.div_ceil(2))?;
                let queries = self.checked_queries()?;
                let moment = match self.moment {
                    None => Moment::AfterLayerOnce(layer),
                    Some(Moment::AfterStep(step)) if step >= 1 => Moment::AfterStep(step),
                    Some(_) => {
                        return Err(Error::request(
                            "prune-at",
                            "llada-fastv prunes at its prune-layer, or after a step: use step=N",
                        ));
                    }
                };
                let pruner = LladaFastV {
                    layer,
                    queries,
                    moment,
                };
                (Arc::new(pruner), positions(Positions::Original))
            }
            Method::Fastv => {
                // K = 2 in the paper (arXiv 2403.06764, section 4).
                if self.moment.is_some() {
                    return Err(Error::request(
                        "prune-at",
                        "fastv prunes at its prune-layer in every pass",
                    ));
                }
                let layer = self.checked_layer(layers, layers.min(2))?;
                let queries = self.checked_queries()?;
                (
                    Arc::new(FastV { layer, queries }),
                    positions(Positions::Original),
                )
            }
            Method::Random => {
                let moment = self.free_moment(layers)?;
                (Arc::new(Random { moment }), positions(Positions::Original))
            }
            Method::Uniform => {
                let moment = self.free_moment(layers)?;
                (Arc::new(Uniform { moment }), positions(Positions::Original))
            }
        };
        Ok(Pruning {
            pruner,
            keep: self.keep,
            positions,
        })
    }

    fn refuse_layer_options(&self) -> Result<()> {
        if self.layer.is_some() {
            return Err(Error::request(
                "prune-layer",
                "only llada-fastv and fastv have a layer",
            ));
        }
        if self.queries.is_some() {
            return Err(Error::request(
                "prune-queries",
                "only llada-fastv and fastv have queries",
            ));
        }
        Ok(())
    }

    fn checked_layer(&self, layers: usize, default: usize) -> Result<usize> {
        let layer = self.layer.unwrap_or(default);
        if layer == 0 || layer > layers {
            return Err(Error::request(
                "prune-layer",
                format!("expected 1 to {layers} (the decoder's layers), got {layer}"),
            ));
        }
        Ok(layer)
    }

    fn checked_queries(&self) -> Result<Queries> {
        match self.queries {
            // FastV's definition: the average attention a token receives from all others.
            None => Ok(Queries::All),
            Some(Queries::Masked) => Err(Error::request(
                "prune-queries",
                "which tokens stay masked is known only after the step; use response or all",
            )),
            Some(queries) => Ok(queries),
        }
    }

    fn free_moment(&self, layers: usize) -> Result<Moment> {
        self.refuse_layer_options()?;
        let moment = self.moment.unwrap_or(Moment::BeforeDecoder);
        match moment {
            Moment::AfterStep(0) => Err(Error::request("prune-at", "steps count from 1")),
            Moment::AfterLayerOnce(layer) | Moment::AfterLayerEveryPass(layer)
                if layer == 0 || layer > layers =>
            {
                Err(Error::request(
                    "prune-at",
                    format!("layers count from 1 to {layers}"),
                ))
            }
            _ => Ok(moment),
        }
    }
}

/// A validated strategy with its ratio and position rule.
#[derive(Clone, Debug)]
pub struct Pruning {
    /// Chooses.
    pub(crate) pruner: Arc<dyn Pruner>,
    /// Share that survives.
    pub(crate) keep: f64,
    /// What positions do.
    pub(crate) positions: Positions,
}

impl Pruning {
    /// When tokens leave.
    pub fn moment(&self) -> Moment {
        self.pruner.moment()
    }

    /// Which attention is read; none for strategies that need none.
    pub fn watch(&self) -> Option<Watch> {
        self.pruner.watch()
    }

    /// What the positions of the survivors do.
    pub fn positions(&self) -> Positions {
        self.positions
    }
}
