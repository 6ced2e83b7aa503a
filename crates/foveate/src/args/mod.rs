//! The flags that several commands share, one group per concern.

mod generation;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use foveate_core::image::Orientation;
use foveate_core::{Method, Moment, Positions, PruneSettings, Queries};

use foveate_kernels::Format;

use crate::backend::BackendName;
pub(crate) use generation::GenerationArgs;

/// Share of the visual tokens that survives when only `--prune` is given.
pub(crate) const DEFAULT_KEEP: f64 = 0.5;

/// Which model, and the arithmetic it runs on.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// Which model.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub(crate) struct SourceArgs {
    /// Folder, or organisation/name (with @revision or not) in the Hugging Face cache or on the hub;
    /// the built-in model when absent
    #[arg(short, long, env = "FOVEATE_MODEL", value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Branch, tag or commit of a model in the cache; main when absent
    #[arg(long, env = "FOVEATE_REVISION", value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// Never download, also not what is missing; `HF_HUB_OFFLINE` says the same
    #[arg(long, env = "FOVEATE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub(crate) offline: bool,
}

/// The arithmetic.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct MachineArgs {
    /// Which arithmetic to use
    #[arg(long, env = "FOVEATE_BACKEND", default_value = "cpu")]
    pub(crate) backend: BackendName,
    /// Storage of the weights while they are used
    #[arg(long, env = "FOVEATE_DTYPE", default_value = "auto")]
    pub(crate) dtype: Storage,
    /// Worker threads; one per core when absent
    #[arg(long, env = "FOVEATE_THREADS", value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// How weights are stored while they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Storage {
    /// As the model's folder has them; 16-bit floats become f32
    Auto,
    /// 32-bit floats
    F32,
    /// bfloat16, half the memory
    Bf16,
    /// 8 bits for the decoder; the vision tower as in the folder
    Q8,
    /// 4 bits for the decoder's layers, 8 for its embedding and head; the vision tower as in the folder
    Q4,
}

impl Storage {
    /// As `--dtype` spells it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl From<Storage> for Format {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Auto => Self::Auto,
            Storage::F32 => Self::F32,
            Storage::Bf16 => Self::Bf16,
            Storage::Q8 => Self::Q8,
            Storage::Q4 => Self::Q4,
        }
    }
}

/// The pictures of a question.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub(crate) struct ImageArgs {
    /// A picture: PNG, JPEG, WebP, GIF or BMP; `-` reads standard input; repeatable
    #[arg(long = "image", env = "FOVEATE_IMAGE", value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// Leave the pixels as stored even if the camera was turned
    #[arg(long, env = "FOVEATE_IGNORE_EXIF", value_parser = FalseyValueParser::new())]
    pub(crate) ignore_exif: bool,
}

impl ImageArgs {
    pub(crate) fn orientation(&self) -> Orientation {
        if self.ignore_exif {
            Orientation::Ignore
        } else {
            Orientation::Apply
        }
    }
}

/// Which visual tokens leave, and when; the share that stays is the command's `--keep`.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Visual-token pruning")]
pub(crate) struct PruneArgs {
    /// How the surviving visual tokens are chosen
    #[arg(long, env = "FOVEATE_PRUNE", value_name = "METHOD")]
    pub(crate) prune: Option<PruneName>,
    /// Positions of the survivors; the method's own when absent
    #[arg(long, env = "FOVEATE_POSITIONS")]
    pub(crate) positions: Option<PositionsName>,
    /// Layer of fastv and llada-fastv, from 1
    #[arg(long, env = "FOVEATE_PRUNE_LAYER", value_name = "K")]
    pub(crate) prune_layer: Option<usize>,
    /// Whose attention fastv and llada-fastv average
    #[arg(long, env = "FOVEATE_PRUNE_QUERIES")]
    pub(crate) prune_queries: Option<QueriesName>,
    /// When tokens leave: decoder, step=N or layer=K, both from 1
    #[arg(long, env = "FOVEATE_PRUNE_AT", value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) prune_at: Option<Moment>,
}

impl PruneArgs {
    /// Settings that keep `keep`; none without a method.
    pub(crate) fn settings(&self, keep: f64) -> Option<PruneSettings> {
        let method = self.prune.and_then(PruneName::method)?;
        Some(PruneSettings {
            positions: self.positions.map(Into::into),
            layer: self.prune_layer,
            queries: self.prune_queries.map(Into::into),
            moment: self.prune_at,
            ..PruneSettings::new(method, keep)
        })
    }

    /// The first pruning flag that means nothing without a method.
    pub(crate) fn stray(&self) -> Option<&'static str> {
        let given = [
            ("--positions", self.positions.is_some()),
            ("--prune-layer", self.prune_layer.is_some()),
            ("--prune-queries", self.prune_queries.is_some()),
            ("--prune-at", self.prune_at.is_some()),
        ];
        given.iter().find(|(_, set)| *set).map(|(flag, _)| *flag)
    }
}

/// Names of [`Method`], and none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PruneName {
    /// Every visual token stays
    None,
    /// What the still-masked answer looks at after the first step
    Redvtp,
    /// What the answer looks at in a middle layer of the first step
    LladaFastv,
    /// What is looked at in an early layer, in every pass
    Fastv,
    /// A seeded random subset
    Random,
    /// Evenly spaced tokens
    Uniform,
}

impl PruneName {
    pub(crate) fn method(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Redvtp => Some(Method::Redvtp),
            Self::LladaFastv => Some(Method::LladaFastv),
            Self::Fastv => Some(Method::Fastv),
            Self::Random => Some(Method::Random),
            Self::Uniform => Some(Method::Uniform),
        }
    }
}

/// Names of [`Positions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PositionsName {
    /// Renumbered without gaps
    Compact,
    /// Unchanged
    Original,
}

impl From<PositionsName> for Positions {
    fn from(name: PositionsName) -> Self {
        match name {
            PositionsName::Compact => Self::Compact,
            PositionsName::Original => Self::Original,
        }
    }
}

/// Names of [`Queries`] that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueriesName {
    /// The answer's rows
    Response,
    /// Every row
    All,
}

impl From<QueriesName> for Queries {
    fn from(name: QueriesName) -> Self {
        match name {
            QueriesName::Response => Self::Response,
            QueriesName::All => Self::All,
        }
    }
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    let number = |digits: &str| {
        digits
            .parse()
            .map_err(|_| format!("{digits:?} is no count"))
    };
    match text.split_once('=') {
        None if text == "decoder" => Ok(Moment::BeforeDecoder),
        Some(("step", step)) => Ok(Moment::AfterStep(number(step)?)),
        Some(("layer", layer)) => Ok(Moment::AfterLayerOnce(number(layer)?)),
        _ => Err("expected decoder, step=N or layer=K".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_named_as_users_write_them() {
        assert_eq!(parse_moment("decoder"), Ok(Moment::BeforeDecoder));
        assert_eq!(parse_moment("step=2"), Ok(Moment::AfterStep(2)));
        assert_eq!(parse_moment("layer=3"), Ok(Moment::AfterLayerOnce(3)));
        for text in ["", "step", "step=", "step=-1", "layer=x", "Decoder"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }
}
