//! Model families: one file each, and the table that finds them.

mod llada_v;
mod synthetic;

use std::path::Path;

use foveate_kernels::Backend;

use crate::checkpoint::{Checkpoint, Environment};
use crate::config::{GenerationDefaults, Identity};
use crate::denoise::Options;
use crate::error::{Error, Result};
use crate::image::TilingConfig;
use crate::network::{DecoderShape, Source, Transformer, VisionShape};
use crate::prompt::{Message, Prompt, ThinkMode};
use crate::tokenizer::Tokenizer;

pub(crate) use synthetic::Synthetic;
pub use synthetic::{NamedShape, SHAPES};

/// Everything about a family that is not arithmetic: names, prompt, tiling, special ids.
pub(crate) trait Family: Send + Sync {
    /// Sizes, tiling and ids, as plain data.
    fn card(&self) -> &ModelCard;
    /// The text side.
    fn tokenizer(&self) -> &Tokenizer;
    /// A conversation → ids with image slots.
    fn prompt(&self, messages: &[Message], think: ThinkMode) -> Result<Prompt>;
}

/// What is known about a model before a weight is read.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// Name of the family.
    pub family: &'static str,
    /// The decoder.
    pub decoder: DecoderShape,
    /// The vision tower and projector.
    pub vision: VisionShape,
    /// How a picture becomes views and visual tokens.
    pub tiling: TilingConfig,
    /// Rows of the embedding and the head in the file; ids beyond the tokenizer are cut.
    pub stored_vocabulary: usize,
    /// The id of a masked position.
    pub mask: u32,
    /// Ids that are never predicted.
    pub forbidden: Vec<u32>,
    /// Ids that end an answer.
    pub end: Vec<u32>,
    /// Longest sequence, in rows.
    pub max_rows: usize,
    /// Defaults of the checkpoint.
    pub defaults: GenerationDefaults,
}

impl ModelCard {
    /// Options with the checkpoint's own defaults.
    pub fn default_options(&self) -> Options {
        let defaults = &self.defaults;
        let base = Options::default();
        let gen_length = defaults.gen_length.unwrap_or(base.gen_length);
        Options {
            gen_length,
            block_length: defaults.block_length.unwrap_or(gen_length),
            steps: defaults.steps.unwrap_or_else(|| gen_length.div_ceil(2)),
            temperature: defaults.temperature.unwrap_or(base.temperature),
            stop: defaults.stop.clone().unwrap_or(base.stop),
            ..base
        }
    }
}

/// Reads the config and the text side of a checkpoint.
pub(crate) fn open(checkpoint: &Checkpoint, environment: &Environment) -> Result<Box<dyn Family>> {
    let file = checkpoint.file_path("config.json");
    let json = checkpoint.require("config.json")?;
    let identity = Identity::parse(&json, &file)?;
    match identity.key() {
        name if llada_v::ARCHITECTURES.contains(&name) => {
            Ok(Box::new(llada_v::LladaV::open(checkpoint, environment)?))
        }
        other => Err(unknown(other, &file)),
    }
}

/// Sizes, tiling and defaults of a checkpoint, without reading a weight.
pub fn card(checkpoint: &Checkpoint, environment: &Environment) -> Result<ModelCard> {
    Ok(open(checkpoint, environment)?.card().clone())
}

/// The network of `card`'s family.
pub(crate) fn build<B: Backend>(
    backend: B,
    source: &Source<'_>,
    card: &ModelCard,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Transformer<B>> {
    llada_v::build(backend, source, card, progress)
}

/// Tensors that a checkpoint may hold although no computation reads them.
pub(crate) fn ignored() -> &'static [&'static str] {
    llada_v::IGNORED
}

fn unknown(name: &str, file: &Path) -> Error {
    let reason = format!(
        "model {name:?} is not supported; this version runs LLaDA-V (architectures {:?})",
        llada_v::ARCHITECTURES
    );
    Error::Malformed {
        path: file.to_path_buf(),
        reason,
    }
}
