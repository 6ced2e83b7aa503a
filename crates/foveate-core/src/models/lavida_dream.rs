//! LaViDa on Dream: `Qwen`-style tensor names with biases, and rows that predict the next position.

use super::llava::{Files, Llava, end, lavida_options};
use super::{ModelCard, Predicts, Sampling, TensorNames, llada_v};
use crate::chat_template::ChatTemplate;
use crate::checkpoint::{Checkpoint, Environment};
use crate::config::Dialect;
use crate::denoise::{Options, Remasking, Schedule};
use crate::error::Result;
use crate::network::DecoderNames;

/// Values of `architectures[0]` or `model_type` that mean this family.
pub(super) const ARCHITECTURES: &[&str] = &["LlavaDreamForMaskedDiffusion", "llava_dream"];

/// Reference: `dream/modeling_dream.py` of LaViDa.
pub(super) const TENSORS: TensorNames = TensorNames {
    decoder: DecoderNames {
        qkv_bias: true,
        ..llada_v::TENSORS.decoder
    },
    ..llada_v::TENSORS
};

/// Hugging Face's default, which is in force although no script of the reference sets it.
const DEFAULT_TOP_K: usize = 50;

/// Reads the config and the text side.
pub(super) fn open(
    checkpoint: &Checkpoint,
    environment: &Environment,
    family: &'static str,
) -> Result<Llava> {
    let files = Files::open(checkpoint, environment, Dialect::Qwen)?;
    let language = &files.config.language;
    let card = ModelCard {
        family,
        tensors: TENSORS,
        decoder: files.decoder(files.tokenizer.len()),
        vision: files.vision(),
        tower: files.tower.origin.clone(),
        tiling: files.lavida_tiling()?,
        stored_vocabulary: language.vocab_size,
        mask: files.tokenizer.special_ids().mask,
        forbidden: Vec::new(),
        end: end(&files.tokenizer),
        // Dream was made from a causal model and kept its shift.
        predicts: Predicts::Next,
        sampling: Sampling::Filtered,
        max_rows: language.max_length,
        usual: Options {
            schedule: Schedule::Timesteps,
            remasking: Remasking::Margin,
            top_k: Some(files.defaults.top_k.unwrap_or(DEFAULT_TOP_K)),
            ..lavida_options()
        },
        defaults: files.defaults,
    };
    Llava::new(checkpoint, card, files.tokenizer, ChatTemplate::CHATML)
}
