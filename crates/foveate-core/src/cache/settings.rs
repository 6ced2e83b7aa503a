//! What a request says about its cache, and its validation into one ready strategy.

use std::sync::Arc;

use super::{Cache, DelayedKv, DllmCache, FastDllm, Prefix, Reach};
use crate::error::{Error, Result};
use crate::prune::{Moment, Pruning};

/// The caches by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMethod {
    /// Every step computes every row.
    #[default]
    None,
    /// [`Prefix`].
    Prefix,
    /// [`FastDllm`] that keeps what is before the block.
    FastDllm,
    /// [`FastDllm`] that keeps what is around the block.
    FastDllmDual,
    /// [`DllmCache`].
    DllmCache,
    /// [`DelayedKv`].
    Dkv,
}

/// Every cache with the name users type.
pub const CACHES: [(&str, CacheMethod); 6] = [
    ("none", CacheMethod::None),
    ("prefix", CacheMethod::Prefix),
    ("fast-dllm", CacheMethod::FastDllm),
    ("fast-dllm-dual", CacheMethod::FastDllmDual),
    ("dllm-cache", CacheMethod::DllmCache),
    ("dkv", CacheMethod::Dkv),
];

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
    /// Visual tokens take part in every so many refreshes only.
    pub visual_refresh: Option<usize>,
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

    /// Checks the settings and whether they go with `pruning`; nothing for [`CacheMethod::None`].
    pub fn build(&self, pruning: Option<&Pruning>) -> Result<Option<Caching>> {
        let name = self.name();
        let refresh = |default| positive("cache-refresh", self.refresh, default);
        let only = |given: bool, field, owner: &str| match given {
            true => Err(Error::request(
                field,
                format!("the cache {name} has no such parameter; {owner} has"),
            )),
            false => Ok(()),
        };
        if self.method != CacheMethod::DllmCache {
            only(
                self.response_refresh.is_some(),
                "cache-response-refresh",
                "dllm-cache",
            )?;
            only(self.share.is_some(), "cache-share", "dllm-cache")?;
        }
        let strategy: Arc<dyn Cache> = match self.method {
            CacheMethod::None | CacheMethod::Prefix => {
                let others = "fast-dllm, fast-dllm-dual, dllm-cache and dkv have it; each of these";
                only(self.refresh.is_some(), "cache-refresh", others)?;
                only(
                    self.visual_refresh.is_some(),
                    "cache-visual-refresh",
                    others,
                )?;
                if self.method == CacheMethod::None {
                    return Ok(None);
                }
                Arc::new(Prefix)
            }
            CacheMethod::FastDllm | CacheMethod::FastDllmDual => Arc::new(FastDllm {
                reach: match self.method {
                    CacheMethod::FastDllm => Reach::ToTheEnd,
                    _ => Reach::Block,
                },
                // `prefix_refresh_interval` of LLaDA-V.
                refresh: refresh(32)?,
            }),
            CacheMethod::DllmCache => Arc::new(DllmCache {
                // LLaDA-V's demo: 25, 7, 0.25.
                prompt_refresh: refresh(25)?,
                response_refresh: positive("cache-response-refresh", self.response_refresh, 7)?,
                share: share(self.share.unwrap_or(0.25))?,
            }),
            // `cache_reloading_step` of the paper's evaluation on LLaDA.
            CacheMethod::Dkv => Arc::new(DelayedKv {
                refresh: refresh(8)?,
            }),
        };
        if let Some(Moment::AfterLayerEveryPass(_)) = pruning.map(|p| p.pruner.moment()) {
            return Err(Error::request(
                "cache",
                format!(
                    "{name} cannot be combined with pruning that lasts for one pass (fastv): every pass \
                     would need all visual tokens again; use llada-fastv, or cache none"
                ),
            ));
        }
        Ok(Some(Caching {
            strategy,
            visual_refresh: positive("cache-visual-refresh", self.visual_refresh, 1)?,
        }))
    }
}

fn positive(field: &'static str, value: Option<usize>, default: usize) -> Result<usize> {
    match value.unwrap_or(default) {
        0 => Err(Error::request(field, "expected at least 1, got 0")),
        value => Ok(value),
    }
}

fn share(value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(Error::request(
            "cache-share",
            format!("expected a share from 0 to 1, got {value}"),
        ))
    }
}

/// A validated cache.
#[derive(Clone, Debug)]
pub struct Caching {
    /// Chooses.
    pub(crate) strategy: Arc<dyn Cache>,
    /// Visual tokens take part in every so many refreshes.
    pub(crate) visual_refresh: usize,
}
