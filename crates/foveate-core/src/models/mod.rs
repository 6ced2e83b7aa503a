//! Model families: one file each, and the table that finds them.

mod lavida_dream;
mod lavida_llada;
mod llada_v;
mod llava;
mod random_folder;
mod synthetic;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use foveate_kernels::{Backend, Dtype, Format};

use crate::checkpoint::{self, Checkpoint, Environment};
use crate::config::{GenerationDefaults, Identity};
use crate::denoise::Options;
use crate::error::{Error, Result};
use crate::image::TilingConfig;
use crate::network::{DecoderNames, DecoderShape, Part, Source, Transformer, VisionShape};
use crate::prompt::{Message, Prompt, ThinkMode};
use crate::tokenizer::Tokenizer;

pub use random_folder::write_random;
pub(crate) use synthetic::SYNTHETIC;
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
    /// Where the sizes of the vision tower were found.
    pub tower: PathBuf,
    /// The vision tower and projector.
    pub vision: VisionShape,
    /// How a picture becomes views and visual tokens.
    pub tiling: TilingConfig,
    /// Rows of the embedding and the head in the file; the decoder uses the first
    /// [`DecoderShape::vocabulary`] of them.
    pub stored_vocabulary: usize,
    pub(crate) tensors: TensorNames,
    /// The id of a masked position.
    pub mask: u32,
    /// Ids that are never predicted.
    pub forbidden: Vec<u32>,
    /// Ids that end an answer.
    pub end: Vec<u32>,
    /// Which position a row's logits are about.
    pub predicts: Predicts,
    /// How a candidate is drawn.
    pub sampling: Sampling,
    /// Longest sequence, in rows.
    pub max_rows: usize,
    /// Options of the family, where neither the checkpoint nor a request says otherwise.
    pub usual: Options,
    /// Defaults of the checkpoint.
    pub defaults: GenerationDefaults,
}

impl ModelCard {
    /// Options with the checkpoint's own defaults over the family's.
    pub fn default_options(&self) -> Options {
        let defaults = &self.defaults;
        let usual = self.usual.clone();
        let gen_length = defaults.gen_length.unwrap_or(usual.gen_length);
        let steps = gen_length
            .saturating_mul(usual.steps)
            .div_ceil(usual.gen_length);
        Options {
            gen_length,
            block_length: defaults.block_length.unwrap_or(gen_length),
            steps: defaults.steps.unwrap_or(steps),
            temperature: defaults.temperature.unwrap_or(usual.temperature),
            stop: defaults.stop.clone().unwrap_or_else(|| usual.stop.clone()),
            ..usual
        }
    }
}

/// Which position the logits of a row are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicts {
    /// The row's own.
    #[default]
    Itself,
    /// The one after it, as in a causal model; the first row's are about its own as well.
    Next,
}

impl Predicts {
    /// The row whose logits are about the position of row `row`.
    pub(crate) fn from(self, row: usize) -> usize {
        match self {
            Self::Itself => row,
            Self::Next => row.saturating_sub(1),
        }
    }
}

/// How a family draws the candidate of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Gumbel noise over all ids; the confidence comes from the noise-free logits (`LLaDA`).
    #[default]
    Gumbel,
    /// Temperature, top-p and top-k, then a draw; the confidence is what these leave (`Dream`).
    Filtered,
}

/// What a family calls its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TensorNames {
    pub(crate) embedding: &'static str,
    pub(crate) decoder: DecoderNames,
}

impl TensorNames {
    /// The decoder's weights that have 8 or 4 bits in a model of `format`, and which.
    fn quantized(&self, format: Format, layers: usize) -> Vec<(String, Dtype)> {
        let head = format!("{}.weight", self.decoder.head);
        let parts = [
            (Part::Layers, self.decoder.layer_weights(layers)),
            (Part::Vocabulary, vec![self.embedding.to_owned(), head]),
        ];
        let mut quantized = Vec::new();
        for (part, names) in parts {
            let dtype = match part.format(format) {
                Format::Q8 => Dtype::Q8,
                Format::Q4 => Dtype::Q4,
                Format::Auto | Format::F32 | Format::Bf16 => continue,
            };
            quantized.extend(names.into_iter().map(|name| (name, dtype)));
        }
        quantized
    }
}

/// One line of the table of families.
struct Entry {
    name: &'static str,
    /// Values of `architectures[0]`, or of `model_type` where there is none.
    architectures: &'static [&'static str],
    open: fn(&Checkpoint, &Environment, &'static str) -> Result<llava::Llava>,
}

const FAMILIES: [Entry; 3] = [
    Entry {
        name: "llada-v",
        architectures: llada_v::ARCHITECTURES,
        open: llada_v::open,
    },
    Entry {
        name: "lavida-llada",
        architectures: lavida_llada::ARCHITECTURES,
        open: lavida_llada::open,
    },
    Entry {
        name: "lavida-dream",
        architectures: lavida_dream::ARCHITECTURES,
        open: lavida_dream::open,
    },
];

/// Reads the config and the text side of a checkpoint.
pub(crate) fn open(checkpoint: &Checkpoint, environment: &Environment) -> Result<Box<dyn Family>> {
    let file = checkpoint.file_path("config.json");
    let json = checkpoint.require("config.json")?;
    let identity = Identity::parse(&json, &file)?;
    let knows = |entry: &&Entry| entry.architectures.contains(&identity.key());
    match FAMILIES.iter().find(knows) {
        Some(entry) => match (entry.open)(checkpoint, environment, entry.name) {
            Ok(opened) => Ok(Box::new(opened)),
            Err(error) => Err(error.in_file(file.parent().unwrap_or(&file))),
        },
        None => Err(unknown(identity.key(), &file)),
    }
}

/// Sizes, tiling and defaults of a checkpoint, without reading a weight.
pub fn card(checkpoint: &Checkpoint, environment: &Environment) -> Result<ModelCard> {
    Ok(open(checkpoint, environment)?.card().clone())
}

/// Writes a checkpoint to the new folder `out` with the decoder in `format`, which is [`Format::Q8`] or
/// [`Format::Q4`], each part with the precision that it gets when the original is loaded in that format.
/// Any command opens the folder.
/// `origin` is noted in it; `threads`, at most one per core, do the work; `progress` hears of tensors done
/// and in all.
pub fn quantize(
    checkpoint: &Checkpoint,
    environment: &Environment,
    format: Format,
    origin: &str,
    out: &Path,
    threads: Option<NonZeroUsize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    if !matches!(format, Format::Q8 | Format::Q4) {
        let reason = format!("expected q8 or q4, got {format:?}").to_lowercase();
        return Err(Error::request("dtype", reason));
    }
    let card = card(checkpoint, environment)?;
    let quantized = card.tensors.quantized(format, card.decoder.layers);
    let kept = checkpoint::Kept {
        quantized: &quantized,
        ignored: ignored(),
        tower: &card.tower,
    };
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = threads.map_or(cores, |threads| threads.min(cores));
    checkpoint.write_quantized(out, &kept, origin, threads, progress)
}

/// The network of `card`'s family.
pub(crate) fn build<B: Backend>(
    backend: B,
    source: &Source<'_>,
    card: &ModelCard,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Transformer<B>> {
    llava::build(backend, source, card, progress)
}

/// Tensors that a checkpoint may hold although no computation reads them.
pub(crate) fn ignored() -> &'static [&'static str] {
    llava::IGNORED
}

/// The tower's last layer, which a plain `SigLIP` folder has and nothing reads.
pub(crate) fn unread(card: &ModelCard) -> String {
    format!("*vision_model.encoder.layers.{}.*", card.vision.layers)
}

fn unknown(name: &str, file: &Path) -> Error {
    let known: Vec<String> = FAMILIES
        .iter()
        .map(|entry| format!("{} (architectures {:?})", entry.name, entry.architectures))
        .collect();
    let reason = format!(
        "model {name:?} is not supported; this version runs {}",
        known.join(", ")
    );
    Error::Malformed {
        path: file.to_path_buf(),
        reason,
    }
}
