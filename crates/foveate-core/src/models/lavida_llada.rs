//! LaViDa on LLaDA: `OLMo`-style tensor names, pooled views, a head that keeps every stored row.

use super::llava::{Files, Llava, end, lavida_options};
use super::{ModelCard, Predicts, Sampling, TensorNames};
use crate::chat_template::ChatTemplate;
use crate::checkpoint::{Checkpoint, Environment};
use crate::config::Dialect;
use crate::error::Result;
use crate::network::DecoderNames;

/// Values of `architectures[0]` that mean this family; its `model_type` is LLaDA-V's.
pub(super) const ARCHITECTURES: &[&str] = &["LlavaLladaForMaskedDiffusion"];

/// Reference: `llada/modeling_llada.py` of LaViDa.
pub(super) const TENSORS: TensorNames = TensorNames {
    embedding: "model.transformer.wte.weight",
    decoder: DecoderNames {
        input_norm: "model.transformer.blocks.{i}.attn_norm",
        query: "model.transformer.blocks.{i}.q_proj",
        key_value: [
            "model.transformer.blocks.{i}.k_proj",
            "model.transformer.blocks.{i}.v_proj",
        ],
        qkv_bias: false,
        output: "model.transformer.blocks.{i}.attn_out",
        mlp_norm: "model.transformer.blocks.{i}.ff_norm",
        gate_up: [
            "model.transformer.blocks.{i}.ff_proj",
            "model.transformer.blocks.{i}.up_proj",
        ],
        down: "model.transformer.blocks.{i}.ff_out",
        final_norm: "model.transformer.ln_f",
        head: "model.transformer.ff_out",
    },
};

/// Reads the config and the text side.
pub(super) fn open(
    checkpoint: &Checkpoint,
    environment: &Environment,
    family: &'static str,
) -> Result<Llava> {
    let files = Files::open(checkpoint, environment, Dialect::Olmo)?;
    let language = &files.config.language;
    // `resize_token_embeddings` cuts the head only where `tie_word_embeddings` is false. The
    // embedding it always cuts, so that an id beyond the tokenizer would end the reference; here
    // such an id has its stored row and no text.
    let vocabulary = if language.tie_word_embeddings {
        language.vocab_size
    } else {
        files.tokenizer.len()
    };
    let card = ModelCard {
        family,
        tensors: TENSORS,
        decoder: files.decoder(vocabulary),
        vision: files.vision(),
        tower: files.tower.origin.clone(),
        tiling: files.lavida_tiling()?,
        stored_vocabulary: language.vocab_size,
        mask: files.tokenizer.special_ids().mask,
        forbidden: Vec::new(),
        end: end(&files.tokenizer),
        predicts: Predicts::Itself,
        sampling: Sampling::Gumbel,
        max_rows: language.max_length,
        usual: lavida_options(),
        defaults: files.defaults,
    };
    Llava::new(checkpoint, card, files.tokenizer, ChatTemplate::LLADA)
}
