//! LLaDA-V: names of tensors, tiling, special ids.

use super::llava::{Files, Llava, end};
use super::{ModelCard, Predicts, Sampling, TensorNames};
use crate::chat_template::ChatTemplate;
use crate::checkpoint::{Checkpoint, Environment};
use crate::config::Dialect;
use crate::denoise::Options;
use crate::error::Result;
use crate::image::{OneView, Pooling};
use crate::network::DecoderNames;

/// Values of `architectures[0]` or `model_type` that mean this family.
pub(super) const ARCHITECTURES: &[&str] = &["LlavaLLaDAModelLM", "llava_llada"];

/// Reference: `modeling_llada.py` of LLaDA-V.
pub(super) const TENSORS: TensorNames = TensorNames {
    embedding: "model.embed_tokens.weight",
    decoder: DecoderNames {
        input_norm: "model.layers.{i}.input_layernorm",
        query: "model.layers.{i}.self_attn.q_proj",
        key_value: [
            "model.layers.{i}.self_attn.k_proj",
            "model.layers.{i}.self_attn.v_proj",
        ],
        qkv_bias: false,
        output: "model.layers.{i}.self_attn.o_proj",
        mlp_norm: "model.layers.{i}.post_attention_layernorm",
        gate_up: [
            "model.layers.{i}.mlp.gate_proj",
            "model.layers.{i}.mlp.up_proj",
        ],
        down: "model.layers.{i}.mlp.down_proj",
        final_norm: "model.norm",
        head: "lm_head",
    },
};

/// Reads the config and the text side.
pub(super) fn open(
    checkpoint: &Checkpoint,
    environment: &Environment,
    family: &'static str,
) -> Result<Llava> {
    let files = Files::open(checkpoint, environment, Dialect::Llama)?;
    let ids = files.tokenizer.special_ids();
    let card = ModelCard {
        family,
        tensors: TENSORS,
        // `resize_token_embeddings(len(tokenizer))` cuts embedding and head alike.
        decoder: files.decoder(files.tokenizer.len()),
        vision: files.vision(),
        tower: files.tower.origin.clone(),
        tiling: files.tiling(Pooling::None, OneView::Bare)?,
        stored_vocabulary: files.config.language.vocab_size,
        mask: ids.mask,
        // Reference: `generate_with_embeds` sets EOS, BOS and both header tokens to -inf.
        forbidden: [ids.eos, ids.bos, ids.start_header, ids.end_header]
            .into_iter()
            .flatten()
            .collect(),
        end: end(&files.tokenizer),
        predicts: Predicts::Itself,
        sampling: Sampling::Gumbel,
        max_rows: files.config.language.max_length,
        usual: Options::default(),
        defaults: files.defaults,
    };
    Llava::new(checkpoint, card, files.tokenizer, ChatTemplate::LLADA)
}
