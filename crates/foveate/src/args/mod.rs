//! The flags that several commands share, one group per concern.

mod settings;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use foveate_core::image::Orientation;
use foveate_kernels::Format;

use crate::backend::BackendName;
pub(crate) use settings::{All, ManyKeeps, SettingsArgs, Untemplated};

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
