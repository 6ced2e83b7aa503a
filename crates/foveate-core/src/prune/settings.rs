//! What a request says about pruning, and its validation into one ready strategy.

use std::sync::Arc;

use super::{Moment, Pruner, Watch, fastv, llada_fastv, random, redvtp, uniform};
use crate::error::{Error, Result as CoreResult};
use crate::settings::{Form, Group, Options, Possible, Setting, Value, names, rows, strategies};

strategies! {
    /// Every method with the name users type.
    METHODS;
    /// The strategies by name.
    Method: Row {
        /// What masked answer tokens look at after the first step.
        Redvtp = redvtp::ROW,
        /// What a middle layer of the first step attends to.
        LladaFastv = llada_fastv::ROW,
        /// What an early layer attends to, in every pass anew.
        Fastv = fastv::ROW,
        /// A seeded random subset.
        Random = random::ROW,
        /// Evenly spaced tokens.
        Uniform = uniform::ROW,
    }
}

/// What the table knows of a strategy.
pub(crate) struct Row {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// What positions do unless a request says otherwise.
    pub(super) positions: Positions,
    /// Makes the strategy, or refuses what it cannot do.
    pub(super) build: fn(&Wanted<'_>) -> CoreResult<Arc<dyn Pruner>>,
}

/// What surviving rows do with their rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// Renumbered without gaps.
    Compact,
    /// Unchanged.
    Original,
}

names! { Positions;
    /// Renumbered without gaps
    Self::Compact => Self::Compact, "compact";
    /// Unchanged
    Self::Original => Self::Original, "original";
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

names! { Queries;
    /// The answer's rows
    Self::Response => Self::Response, "response";
    /// Every row
    Self::All => Self::All, "all";
    /// The answer's rows that are still masked, as redvtp always has it
    Self::Masked => Self::Masked, "masked";
}

/// Share of the visual tokens that survives when only a method is given.
pub const DEFAULT_KEEP: f64 = 0.5;

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

/// The name that stands for no pruning.
const NONE: &str = "none";

/// The settings of pruning. Without a method they mean nothing, see [`crate::Settings::resolve`].
pub(crate) const ROWS: &[Setting] = rows! { Group::Pruning;
    /// How the surviving visual tokens are chosen
    "prune" "prune.method" "METHOD" Form::OneOf(methods) => [method, set_method];
    /// Share of each image's visual tokens that survives, above 0 and at most 1
    "keep" "prune.keep" "R" Form::Number => {keep};
    /// Positions of the survivors; the method's own when absent
    "positions" "prune.positions" "POSITIONS" Form::OneOf(Positions::choices) => {positions};
    /// Layer of fastv and llada-fastv, from 1
    "prune-layer" "prune.layer" "K" Form::Count(0) => {layer};
    /// Whose attention fastv and llada-fastv average
    "prune-queries" "prune.queries" "QUERIES" Form::OneOf(Queries::choices) => {queries};
    /// When tokens leave: decoder, step=N or layer=K, both from 1
    "prune-at" "prune.at" "WHEN" Form::Written(|text| {
        text.parse().map(|moment: Moment| moment.to_string())
    }) => {moment};
};

fn methods() -> Vec<Possible> {
    let none = Possible {
        name: NONE,
        help: "Every visual token stays",
        alias: "",
    };
    [none].into_iter().chain(Method::choices()).collect()
}

fn method(options: &Options) -> Value {
    let method = options.prune.as_ref().map(|prune| prune.method);
    method.map_or(NONE, Method::name).into()
}

#[expect(clippy::unnecessary_wraps, reason = "other rows can refuse a value")]
fn set_method(options: &mut Options, value: &Value) -> CoreResult<()> {
    let method = Method::named(value.text());
    options.prune = method.map(|method| PruneSettings::new(method, DEFAULT_KEEP));
    Ok(())
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
    pub fn build(&self, layers: usize) -> CoreResult<Pruning> {
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return Err(Error::request(
                "keep",
                format!("expected a share above 0 and at most 1, got {}", self.keep),
            ));
        }
        let (row, settings) = (self.method.row(), self);
        Ok(Pruning {
            pruner: (row.build)(&Wanted { settings, layers })?,
            keep: self.keep,
            positions: self.positions.unwrap_or(row.positions),
        })
    }

    /// These settings with every default of their strategy written out, as runs report them.
    pub fn completed(&self, layers: usize) -> CoreResult<Self> {
        let pruning = self.build(layers)?;
        let watch = pruning.watch();
        Ok(Self {
            positions: Some(pruning.positions),
            layer: watch.and_then(|watch| watch.layer),
            queries: watch.map(|watch| watch.queries),
            moment: Some(pruning.moment()),
            ..self.clone()
        })
    }
}

/// What a strategy is made from.
pub(crate) struct Wanted<'a> {
    settings: &'a PruneSettings,
    layers: usize,
}

impl Wanted<'_> {
    /// Layers of the decoder.
    pub(super) fn layers(&self) -> usize {
        self.layers
    }

    /// When tokens are to leave, if the request says so.
    pub(super) fn moment(&self) -> Option<Moment> {
        self.settings.moment
    }

    /// Refuses a layer, and queries other than the strategy's `own`.
    pub(super) fn refuse_layer_options(&self, own: Option<Queries>) -> CoreResult<()> {
        if self.settings.layer.is_some() {
            return Err(Error::request(
                "prune-layer",
                "only llada-fastv and fastv have a layer",
            ));
        }
        if self.settings.queries.is_some() && self.settings.queries != own {
            return Err(Error::request(
                "prune-queries",
                "only llada-fastv and fastv have queries",
            ));
        }
        Ok(())
    }

    /// The layer, checked.
    pub(super) fn layer(&self, default: usize) -> CoreResult<usize> {
        let (layer, layers) = (self.settings.layer.unwrap_or(default), self.layers);
        if layer == 0 || layer > layers {
            return Err(Error::request(
                "prune-layer",
                format!("expected 1 to {layers} (the decoder's layers), got {layer}"),
            ));
        }
        Ok(layer)
    }

    /// The queries of a strategy that reads attention inside a step.
    pub(super) fn queries(&self) -> CoreResult<Queries> {
        match self.settings.queries {
            // FastV's definition: the average attention a token receives from all others.
            None => Ok(Queries::All),
            Some(Queries::Masked) => Err(Error::request(
                "prune-queries",
                "which tokens stay masked is known only after the step; use response or all",
            )),
            Some(queries) => Ok(queries),
        }
    }

    /// The moment of a strategy that can prune at any.
    pub(super) fn free_moment(&self) -> CoreResult<Moment> {
        self.refuse_layer_options(None)?;
        let moment = self.settings.moment.unwrap_or(Moment::BeforeDecoder);
        match moment {
            Moment::AfterStep(0) => Err(Error::request("prune-at", "steps count from 1")),
            Moment::AfterLayerOnce(layer) | Moment::AfterLayerEveryPass(layer)
                if layer == 0 || layer > self.layers =>
            {
                Err(Error::request(
                    "prune-at",
                    format!("layers count from 1 to {}", self.layers),
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
