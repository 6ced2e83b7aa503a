//! The flags that several commands share, one group per concern.

mod settings;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{FalseyValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
pub use foveate::Storage;
use foveate::{BackendKind, Machine, Orientation, Source};

pub use settings::{All, ManyKeeps, SettingsArgs, Untemplated};

/// Which model, and the arithmetic it runs on.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// The model.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The arithmetic.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Which model.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct SourceArgs {
    /// Folder, or organisation/name (with @revision or not) in the Hugging Face cache or on the hub;
    /// the built-in model when absent
    #[arg(short, long, env = "FOVEATE_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Branch, tag or commit of a model in the cache; main when absent
    #[arg(long, env = "FOVEATE_REVISION", value_name = "REVISION")]
    pub revision: Option<String>,
    /// Never download, also not what is missing; `HF_HUB_OFFLINE` says the same
    #[arg(long, env = "FOVEATE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
}

impl SourceArgs {
    /// What to open.
    pub fn source(&self) -> Source {
        Source {
            model: self.model.clone(),
            revision: self.revision.clone(),
            offline: self.offline.then(|| "--offline".to_owned()),
        }
    }
}

/// The arithmetic.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Which arithmetic to use
    #[arg(long, env = "FOVEATE_BACKEND", default_value = "cpu", value_parser = backends())]
    pub backend: BackendKind,
    /// Storage of the weights while they are used
    #[arg(long, env = "FOVEATE_DTYPE", default_value = "auto", value_parser = storages())]
    pub dtype: Storage,
    /// Worker threads; one per core when absent
    #[arg(long, env = "FOVEATE_THREADS", value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl From<MachineArgs> for Machine {
    fn from(args: MachineArgs) -> Self {
        Self {
            backend: args.backend,
            dtype: args.dtype,
            threads: args.threads,
        }
    }
}

/// A parser of the names of backends.
pub fn backends() -> impl TypedValueParser<Value = BackendKind> {
    names(&BackendKind::ALL)
}

/// A parser of the names of storages.
pub fn storages() -> impl TypedValueParser<Value = Storage> {
    names(&Storage::ALL)
}

/// A parser of a closed list of `(name, help, value)`.
fn names<T: Copy + Default + Send + Sync>(
    all: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let possible =
        |(name, help, _): &(&'static str, &'static str, T)| PossibleValue::new(*name).help(*help);
    let parser = PossibleValuesParser::new(all.iter().map(possible));
    parser.map(|name| {
        let known = all.iter().find(|(known, ..)| *known == name);
        known.map_or_else(T::default, |(.., value)| *value)
    })
}

/// The pictures of a question.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageArgs {
    /// A picture: PNG, JPEG, WebP, GIF or BMP; `-` reads standard input; repeatable
    #[arg(long = "image", env = "FOVEATE_IMAGE", value_name = "FILE")]
    pub images: Vec<PathBuf>,
    /// Leave the pixels as stored even if the camera was turned
    #[arg(long, env = "FOVEATE_IGNORE_EXIF", value_parser = FalseyValueParser::new())]
    pub ignore_exif: bool,
}

impl ImageArgs {
    /// How pictures are turned.
    pub fn orientation(&self) -> Orientation {
        if self.ignore_exif {
            Orientation::Ignore
        } else {
            Orientation::Apply
        }
    }
}
