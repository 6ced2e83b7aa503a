//! Flags of the cache.

use std::num::NonZeroUsize;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use foveate_core::{CACHES, CacheDtype, CacheMethod, CacheSettings};

/// What is kept between denoising steps; absent values are the cache's published ones.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cache")]
pub(crate) struct CacheArgs {
    /// What is kept between denoising steps; only none and, for models trained for it, prefix are exact
    #[arg(long, env = "FOVEATE_CACHE", default_value = "none", value_parser = methods())]
    pub(crate) cache: CacheMethod,
    /// Steps from one refresh of all rows to the next; of the prompt for dllm-cache
    #[arg(long, env = "FOVEATE_CACHE_REFRESH", value_name = "N")]
    pub(crate) cache_refresh: Option<NonZeroUsize>,
    /// Steps from one refresh of the response to the next, for dllm-cache
    #[arg(long, env = "FOVEATE_CACHE_RESPONSE_REFRESH", value_name = "N")]
    pub(crate) cache_response_refresh: Option<NonZeroUsize>,
    /// Share of the response that dllm-cache computes between refreshes, from 0 to 1
    #[arg(long, env = "FOVEATE_CACHE_SHARE", value_name = "R")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) cache_share: Option<f64>,
    /// How alike the watched attention must stay, for elastic; below it the layers behind are refreshed
    #[arg(long, env = "FOVEATE_CACHE_SIMILARITY", value_name = "R")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) cache_similarity: Option<f64>,
    /// Refresh visual tokens only every so many refreshes
    #[arg(long, env = "FOVEATE_CACHE_VISUAL_REFRESH", value_name = "N")]
    pub(crate) cache_visual_refresh: Option<NonZeroUsize>,
    /// How keys and values are kept; bf16 rounds them and takes half the memory [default: f32]
    #[arg(long, env = "FOVEATE_CACHE_DTYPE", value_name = "DTYPE", value_parser = dtypes())]
    pub(crate) cache_dtype: Option<CacheDtype>,
}

impl CacheArgs {
    pub(crate) fn settings(&self) -> CacheSettings {
        CacheSettings {
            method: self.cache,
            refresh: self.cache_refresh.map(usize::from),
            response_refresh: self.cache_response_refresh.map(usize::from),
            share: self.cache_share,
            similarity: self.cache_similarity,
            visual_refresh: self.cache_visual_refresh.map(usize::from),
            dtype: self.cache_dtype,
        }
    }
}

/// A parser of the dtypes of a cache.
fn dtypes() -> impl TypedValueParser<Value = CacheDtype> {
    let names = CacheDtype::ALL.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|name| {
        let known = CacheDtype::ALL.iter().find(|(known, _)| *known == name);
        known.map_or_else(CacheDtype::default, |(_, dtype)| *dtype)
    })
}

/// A parser of cache names that lists them all.
pub(crate) fn methods() -> impl TypedValueParser<Value = CacheMethod> {
    PossibleValuesParser::new(CACHES.map(|(name, _)| name)).map(|name| {
        let known = CACHES.iter().find(|(known, _)| *known == name);
        known.map_or(CacheMethod::None, |(_, method)| *method)
    })
}
