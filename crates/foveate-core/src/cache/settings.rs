//! What a request says about its cache, and its validation into one ready strategy.

use std::sync::Arc;

use foveate_kernels::Dtype;

use super::{Cache, DelayedKv, DllmCache, Elastic, FastDllm, Prefix, Reach};
use crate::error::{Error, Result};
use crate::prune::{Moment, Pruning};

/// The caches by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMethod {
    /// Every step computes every row.
    #[default]
    None,
    /// The prompt is computed once and never sees the answer.
    Prefix,
    /// Between refreshes, what is before the block is kept.
    FastDllm,
    /// Between refreshes, what is around the block is kept.
    FastDllmDual,
    /// The prompt is refreshed rarely, the response often, in between only where it changed.
    DllmCache,
    /// A token is kept one step after it was committed.
    Dkv,
    /// Layers are refreshed when their attention moves.
    Elastic,
}

/// Every cache with the name users type.
pub const CACHES: [(&str, CacheMethod); 7] = [
    ("none", CacheMethod::None),
    ("prefix", CacheMethod::Prefix),
    ("fast-dllm", CacheMethod::FastDllm),
    ("fast-dllm-dual", CacheMethod::FastDllmDual),
    ("dllm-cache", CacheMethod::DllmCache),
    ("dkv", CacheMethod::Dkv),
    ("elastic", CacheMethod::Elastic),
];

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

impl CacheDtype {
    /// Every dtype with the name users type.
    pub const ALL: [(&'static str, Self); 2] = [("f32", Self::F32), ("bf16", Self::Bf16)];

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
        let named = CACHES.iter().find(|(_, method)| *method == self.method);
        named.map_or("none", |(name, _)| name)
    }

    /// The same with every default of its strategy filled in.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let or = |value: Option<usize>, published| Some(value.unwrap_or(published));
        let dtype = Some(self.dtype.unwrap_or_default());
        let refresh = match self.method {
            CacheMethod::None => return self.clone(),
            CacheMethod::Prefix => {
                return Self {
                    dtype,
                    ..self.clone()
                };
            }
            // `prefix_refresh_interval` of LLaDA-V.
            CacheMethod::FastDllm | CacheMethod::FastDllmDual => 32,
            // LLaDA-V's demo: 25, 7, 0.25.
            CacheMethod::DllmCache => 25,
            // `cache_reloading_step` of the paper's evaluation on LLaDA.
            CacheMethod::Dkv => 8,
            CacheMethod::Elastic => {
                return Self {
                    // gamma of the paper's LLaDA runs.
                    similarity: Some(self.similarity.unwrap_or(0.9)),
                    visual_refresh: or(self.visual_refresh, 1),
                    dtype,
                    ..self.clone()
                };
            }
        };
        let adaptive = self.method == CacheMethod::DllmCache;
        Self {
            method: self.method,
            refresh: or(self.refresh, refresh),
            response_refresh: self.response_refresh.or(adaptive.then_some(7)),
            share: self.share.or(adaptive.then_some(0.25)),
            similarity: self.similarity,
            visual_refresh: or(self.visual_refresh, 1),
            dtype,
        }
    }

    /// Checks the settings and whether they go with `pruning`; nothing for [`CacheMethod::None`].
    pub fn build(&self, pruning: Option<&Pruning>) -> Result<Option<Caching>> {
        self.refuse_strays()?;
        let all = self.resolved();
        let refresh = positive("cache-refresh", all.refresh)?;
        let strategy: Arc<dyn Cache> = match self.method {
            CacheMethod::None => return Ok(None),
            CacheMethod::Prefix => Arc::new(Prefix),
            CacheMethod::FastDllm => Arc::new(FastDllm {
                reach: Reach::ToTheEnd,
                refresh,
            }),
            CacheMethod::FastDllmDual => Arc::new(FastDllm {
                reach: Reach::Block,
                refresh,
            }),
            CacheMethod::DllmCache => Arc::new(DllmCache {
                prompt_refresh: refresh,
                response_refresh: positive("cache-response-refresh", all.response_refresh)?,
                share: share("cache-share", all.share)?,
            }),
            CacheMethod::Dkv => Arc::new(DelayedKv { refresh }),
            CacheMethod::Elastic => Arc::new(Elastic {
                similarity: share("cache-similarity", all.similarity)?,
                refresh: self.refresh.map(|_| refresh),
            }),
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
    fn refuse_strays(&self) -> Result<()> {
        let refreshes = !matches!(self.method, CacheMethod::None | CacheMethod::Prefix);
        let adaptive = self.method == CacheMethod::DllmCache;
        let elastic = self.method == CacheMethod::Elastic;
        let (some, one) = ("all caches but none and prefix have", "dllm-cache has");
        let kept = self.method != CacheMethod::None;
        let given = [
            (
                "cache-dtype",
                self.dtype.is_some(),
                kept,
                "all caches but none have",
            ),
            ("cache-refresh", self.refresh.is_some(), refreshes, some),
            (
                "cache-visual-refresh",
                self.visual_refresh.is_some(),
                refreshes,
                some,
            ),
            (
                "cache-response-refresh",
                self.response_refresh.is_some(),
                adaptive,
                one,
            ),
            ("cache-share", self.share.is_some(), adaptive, one),
            (
                "cache-similarity",
                self.similarity.is_some(),
                elastic,
                "elastic has",
            ),
        ];
        for (field, given, fits, owners) in given {
            if given && !fits {
                let name = self.name();
                let reason = format!("the cache {name} has no such parameter; {owners}");
                return Err(Error::request(field, reason));
            }
        }
        Ok(())
    }
}

fn positive(field: &'static str, value: Option<usize>) -> Result<usize> {
    match value {
        Some(0) => Err(Error::request(field, "expected at least 1, got 0")),
        value => Ok(value.unwrap_or(1)),
    }
}

fn share(field: &'static str, value: Option<f64>) -> Result<f64> {
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
