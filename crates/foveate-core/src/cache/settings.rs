//! What a request says about its cache, and its validation into one ready strategy.

use std::sync::Arc;

use foveate_kernels::Dtype;

use super::{Cache, dkv, dllm, elastic, fast_dllm, prefix};
use crate::error::{Error, Result as CoreResult};
use crate::prune::{Moment, Pruning};
use crate::settings::{Form, Group, Setting, names, rows, strategies};

strategies! {
    /// Every cache with the name users type.
    CACHES;
    /// The caches by name.
    #[derive(Default)]
    CacheMethod: Row {
        /// Every step computes every row.
        #[default]
        None = NONE,
        /// The prompt is computed once and never sees the answer.
        Prefix = prefix::ROW,
        /// Between refreshes, what is before the block is kept.
        FastDllm = fast_dllm::ROW,
        /// Between refreshes, what is around the block is kept.
        FastDllmDual = fast_dllm::DUAL,
        /// The prompt is refreshed rarely, the response often, in between only where it changed.
        DllmCache = dllm::ROW,
        /// A token is kept one step after it was committed.
        Dkv = dkv::ROW,
        /// Layers are refreshed when their attention moves.
        Elastic = elastic::ROW,
    }
}

/// A strategy; none where nothing is kept.
pub(super) type Strategy = Option<Arc<dyn Cache>>;

/// What the table knows of a strategy.
pub(crate) struct Row {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Names of the settings that mean something to it.
    pub(super) has: &'static [&'static str],
    /// Fills in its published values.
    pub(super) complete: fn(&mut CacheSettings),
    /// Makes the strategy from completed settings.
    pub(super) build: fn(&CacheSettings) -> CoreResult<Strategy>,
}

const NONE: Row = Row {
    name: "none",
    help: "Every step computes every row",
    has: &[],
    complete: |_| {},
    build: |_| Ok(None),
};

/// How keys and values are kept. The residual stream that some caches keep too stays f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheDtype {
    /// As they were computed.
    #[default]
    F32,
    /// Rounded to the nearest bfloat16: half the memory, and every step attends to rounded ones.
    Bf16,
}

names! { CacheDtype;
    /// As they were computed
    Self::F32 => Self::F32, "f32";
    /// Rounded to bfloat16: half the memory
    Self::Bf16 => Self::Bf16, "bf16";
}

impl CacheDtype {
    pub(crate) fn stored(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::Bf16,
        }
    }
}

/// A cache as a request states it; absent values take the published default.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CacheSettings {
    /// The strategy.
    pub method: CacheMethod,
    /// Steps from one refresh of all rows to the next (`dllm-cache`: of the prompt).
    pub refresh: Option<usize>,
    /// `dllm-cache`: steps from one refresh of the response to the next.
    pub response_refresh: Option<usize>,
    /// `dllm-cache`: share of the response that is computed between refreshes.
    pub share: Option<f64>,
    /// `elastic`: how alike a watched row's attention must stay from step to step, from 0 to 1.
    pub similarity: Option<f64>,
    /// Visual tokens take part in every so many refreshes only.
    pub visual_refresh: Option<usize>,
    /// How keys and values are kept; f32 unless said otherwise.
    pub dtype: Option<CacheDtype>,
}

/// The settings of the cache.
pub(crate) const ROWS: &[Setting] = rows! { Group::Cache;
    /// What is kept between denoising steps; only none and, for models trained for it, prefix are exact
    "cache" "cache.method" "CACHE" Form::OneOf(CacheMethod::choices) => (cache.method), default: Some("none");
    /// Steps from one refresh of all rows to the next; of the prompt for dllm-cache
    "cache-refresh" "cache.refresh" "N" Form::Count(1) => (cache.refresh);
    /// Steps from one refresh of the response to the next, for dllm-cache
    "cache-response-refresh" "cache.response_refresh" "N" Form::Count(1) => (cache.response_refresh);
    /// Share of the response that dllm-cache computes between refreshes, from 0 to 1
    "cache-share" "cache.share" "R" Form::Number => (cache.share);
    /// How alike the watched attention must stay, for elastic; below it the layers behind are refreshed
    "cache-similarity" "cache.similarity" "R" Form::Number => (cache.similarity);
    /// Refresh visual tokens only every so many refreshes
    "cache-visual-refresh" "cache.visual_refresh" "N" Form::Count(1) => (cache.visual_refresh);
    /// How keys and values are kept; bf16 rounds them and takes half the memory [default: f32]
    "cache-dtype" "cache.dtype" "DTYPE" Form::OneOf(CacheDtype::choices) => (cache.dtype);
};

impl CacheSettings {
    /// A cache with its published defaults.
    pub fn new(method: CacheMethod) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }

    /// The name users type.
    pub fn name(&self) -> &'static str {
        self.method.name()
    }

    /// These settings with every default of their strategy filled in, as runs report them.
    #[must_use]
    pub fn completed(&self) -> Self {
        let mut all = self.clone();
        let row = self.method.row();
        (row.complete)(&mut all);
        if row.has.contains(&"cache-dtype") {
            all.dtype.get_or_insert_default();
        }
        all
    }

    /// Checks the settings and whether they go with `pruning`; nothing for [`CacheMethod::None`].
    pub fn build(&self, pruning: Option<&Pruning>) -> CoreResult<Option<Caching>> {
        self.refuse_strays()?;
        let all = self.completed();
        let Some(strategy) = (self.method.row().build)(&all)? else {
            return Ok(None);
        };
        if let Some(Moment::AfterLayerEveryPass(_)) = pruning.map(|p| p.pruner.moment()) {
            return Err(Error::request(
                "cache",
                format!(
                    "{} cannot be combined with pruning that lasts for one pass (fastv): every pass would \
                     need all visual tokens again; use llada-fastv, or cache none",
                    self.name()
                ),
            ));
        }
        Ok(Some(Caching {
            strategy,
            visual_refresh: positive("cache-visual-refresh", all.visual_refresh)?,
            dtype: all.dtype.unwrap_or_default(),
        }))
    }

    /// A parameter that the strategy does not have is an error, never ignored.
    fn refuse_strays(&self) -> CoreResult<()> {
        let given = [
            ("cache-dtype", self.dtype.is_some()),
            ("cache-refresh", self.refresh.is_some()),
            ("cache-visual-refresh", self.visual_refresh.is_some()),
            ("cache-response-refresh", self.response_refresh.is_some()),
            ("cache-share", self.share.is_some()),
            ("cache-similarity", self.similarity.is_some()),
        ];
        let has = self.method.row().has;
        let stray = given
            .iter()
            .find(|(field, given)| *given && !has.contains(field));
        let Some((field, _)) = stray else {
            return Ok(());
        };
        let owners = CACHES.into_iter();
        let owners = owners.filter(|(_, method)| method.row().has.contains(field));
        let owners: Vec<&str> = owners.map(|(name, _)| name).collect();
        let (name, owners) = (self.name(), owners.join(", "));
        Err(Error::request(
            field,
            format!("the cache {name} has no such parameter; use it with {owners}"),
        ))
    }
}

/// A count that is at least 1, and 1 where nothing is said.
pub(super) fn positive(field: &'static str, value: Option<usize>) -> CoreResult<usize> {
    match value {
        Some(0) => Err(Error::request(field, "expected at least 1, got 0")),
        value => Ok(value.unwrap_or(1)),
    }
}

/// A share from 0 to 1, and 0 where nothing is said.
pub(super) fn share(field: &'static str, value: Option<f64>) -> CoreResult<f64> {
    let value = value.unwrap_or(0.0);
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        let reason = format!("expected a share from 0 to 1, got {value}");
        Err(Error::request(field, reason))
    }
}

/// A validated cache.
#[derive(Clone, Debug)]
pub struct Caching {
    /// Chooses.
    pub(crate) strategy: Arc<dyn Cache>,
    /// Visual tokens take part in every so many refreshes.
    pub(crate) visual_refresh: usize,
    /// How keys and values are kept.
    pub(crate) dtype: CacheDtype,
}
