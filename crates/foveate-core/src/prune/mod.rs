//! Pruning: a strategy chooses visual tokens; the base owns quotas, guards, compaction and reporting.

mod fastv;
mod llada_fastv;
mod random;
mod redvtp;
mod settings;
mod survivors;
mod uniform;

use std::fmt;
use std::fmt::Debug;
use std::str::FromStr;

pub(crate) use settings::ROWS;
pub use settings::{DEFAULT_KEEP, METHODS, Method, Positions, PruneSettings, Pruning, Queries};
use settings::{Row, Wanted};
pub use survivors::Survivors;

/// When visual tokens leave. Layers and denoising steps count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before the first layer of the first step ever sees them; from here on.
    BeforeDecoder,
    /// At the output of `layer` in denoising step 1; from here on.
    AfterLayerOnce(usize),
    /// At the output of `layer` in every pass; early layers read every token again at the next step.
    AfterLayerEveryPass(usize),
    /// After the commits of this denoising step; from here on.
    AfterStep(usize),
}

impl fmt::Display for Moment {
    /// As `--prune-at` spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeDecoder => f.write_str("decoder"),
            Self::AfterStep(step) => write!(f, "step={step}"),
            Self::AfterLayerOnce(layer) | Self::AfterLayerEveryPass(layer) => {
                write!(f, "layer={layer}")
            }
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            digits
                .parse()
                .map_err(|_| format!("{digits:?} is no count"))
        };
        match text.split_once('=') {
            None if text == "decoder" => Ok(Self::BeforeDecoder),
            Some(("step", step)) => Ok(Self::AfterStep(number(step)?)),
            Some(("layer", layer)) => Ok(Self::AfterLayerOnce(number(layer)?)),
            _ => Err("expected decoder, step=N or layer=K".into()),
        }
    }
}

/// The attention that a strategy needs: post-softmax mass on visual tokens, averaged over heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose attention counts.
    pub queries: Queries,
    /// One layer, or the mean over all.
    pub layer: Option<usize>,
}

/// What a strategy sees of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visual<'a> {
    /// Index of the image in the request.
    pub(crate) image: usize,
    /// Visual tokens of this image still in the sequence (newline tokens included).
    pub(crate) tokens: usize,
    /// Mean attention each token received from the watched queries, if the strategy asked for it.
    pub(crate) attention: Option<&'a [f32]>,
    /// The request's seed.
    pub(crate) seed: u64,
}

/// A choice of visual tokens. Strategies choose; [`Survivors`] checks; the sequence acts.
pub(crate) trait Pruner: Debug + Send + Sync {
    /// When tokens leave.
    fn moment(&self) -> Moment;
    /// Which attention is needed before that.
    fn watch(&self) -> Option<Watch>;
    /// One score per token of this image; the highest `quota` survive. The watched attention itself
    /// unless a strategy says otherwise.
    fn score(&self, image: &Visual<'_>, _quota: usize) -> Vec<f32> {
        image.attention.unwrap_or_default().to_vec()
    }
}

/// What happened to one image's visual tokens.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Pruned {
    /// Index of the image in the request.
    pub image: usize,
    /// Tokens before.
    pub of: usize,
    /// Surviving tokens, ascending, as indices into the tokens the image began with.
    pub kept: Vec<u32>,
    /// The score of each of the `of` tokens.
    pub scores: Vec<f32>,
}

/// Tokens that survive of `tokens`: `max(1, floor(tokens · keep))` with the product in f64.
pub fn quota(tokens: usize, keep: f64) -> usize {
    ((tokens as f64 * keep) as usize).clamp(1, tokens.max(1))
}

#[cfg(test)]
mod tests {
    use super::{Moment, quota};

    #[test]
    fn moments_are_named_as_users_write_them() {
        assert_eq!("decoder".parse(), Ok(Moment::BeforeDecoder));
        assert_eq!("step=2".parse(), Ok(Moment::AfterStep(2)));
        assert_eq!("layer=3".parse(), Ok(Moment::AfterLayerOnce(3)));
        for text in ["", "step", "step=", "step=-1", "layer=x", "Decoder"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn quotas_truncate_in_f64_and_never_reach_zero() {
        assert_eq!(quota(90, 0.7), 62);
        assert_eq!(quota(150, 1.0 - 0.9), 14);
        assert_eq!(quota(10, 0.01), 1);
        assert_eq!(quota(7, 1.0), 7);
    }
}
