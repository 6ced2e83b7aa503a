//! LLaDA-V: names of tensors, prompt, tiling and special ids.

use foveate_kernels::{Backend, Heads};

use super::{Family, ModelCard};
use crate::checkpoint::{Checkpoint, Environment};
use crate::config::{GenerationDefaults, LladaVConfig, VisionTower};
use crate::error::{Error, Result};
use crate::image::{AspectMode, MergeType, OneView, Pooling, TilingConfig, parse_pinpoints};
use crate::network::{
    Decoder, DecoderNames, DecoderShape, Embedding, Source, Transformer, Vision, VisionNames,
    VisionShape,
};
use crate::prompt::{LLAVA_SYSTEM_PROMPT, Message, Prompt, PromptBuilder, ThinkMode};
use crate::template::Template;
use crate::tokenizer::Tokenizer;

/// Values of `architectures[0]` or `model_type` that mean this family.
pub(super) const ARCHITECTURES: &[&str] = &["LlavaLLaDAModelLM", "llava_llada"];

/// Saved by the reference's training or by a plain `SigLIP` folder, read by nothing.
pub(super) const IGNORED: &[&str] = &[
    "*.rotary_emb.inv_freq",
    "*.embeddings.position_ids",
    "*.vision_model.post_layernorm.*",
    "*.vision_model.head.*",
];

/// Reference: `modeling_llada.py` of LLaDA-V.
const DECODER: DecoderNames = DecoderNames {
    input_norm: "model.layers.{i}.input_layernorm",
    query: "model.layers.{i}.self_attn.q_proj",
    key_value: [
        "model.layers.{i}.self_attn.k_proj",
        "model.layers.{i}.self_attn.v_proj",
    ],
    output: "model.layers.{i}.self_attn.o_proj",
    mlp_norm: "model.layers.{i}.post_attention_layernorm",
    gate_up: [
        "model.layers.{i}.mlp.gate_proj",
        "model.layers.{i}.mlp.up_proj",
    ],
    down: "model.layers.{i}.mlp.down_proj",
    final_norm: "model.norm",
    head: "lm_head",
};

const VISION: VisionNames = VisionNames {
    tower: "model.vision_tower.vision_tower.vision_model",
    projector: ["model.mm_projector.0", "model.mm_projector.2"],
    newline: "model.image_newline",
};

/// A LLaDA-V checkpoint's text side and sizes.
pub(super) struct LladaV {
    card: ModelCard,
    tokenizer: Tokenizer,
    template: Template,
    system_prompt: String,
}

impl LladaV {
    pub(super) fn open(checkpoint: &Checkpoint, environment: &Environment) -> Result<Self> {
        let file = checkpoint.file_path("config.json");
        let config = LladaVConfig::parse(&checkpoint.require("config.json")?, &file)?;
        let tower = VisionTower::find(&config.multimodal.mm_vision_tower, checkpoint, environment)?;
        let defaults = match checkpoint.read("generation_config.json")? {
            Some(json) => {
                GenerationDefaults::parse(&json, &checkpoint.file_path("generation_config.json"))?
            }
            None => GenerationDefaults::default(),
        };
        let tokenizer = Tokenizer::open(checkpoint)?;
        let card = card(&config, &tower, &tokenizer, defaults)?;
        let system_prompt = card
            .defaults
            .system_prompt
            .clone()
            .unwrap_or_else(|| LLAVA_SYSTEM_PROMPT.into());
        Ok(Self {
            card,
            template: Template::open(checkpoint)?,
            tokenizer,
            system_prompt,
        })
    }
}

impl Family for LladaV {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn prompt(&self, messages: &[Message], think: ThinkMode) -> Result<Prompt> {
        let Self {
            tokenizer,
            template,
            system_prompt,
            ..
        } = self;
        PromptBuilder {
            tokenizer,
            template,
            system_prompt,
            think,
        }
        .build(messages)
    }
}

fn card(
    config: &LladaVConfig,
    tower: &VisionTower,
    tokenizer: &Tokenizer,
    defaults: GenerationDefaults,
) -> Result<ModelCard> {
    let language = &config.language;
    let multimodal = &config.multimodal;
    if tokenizer.len() > language.vocab_size {
        return Err(Error::request(
            "tokenizer.json",
            format!(
                "has {} ids but config.json says vocab_size {}; are they of the same model?",
                tokenizer.len(),
                language.vocab_size
            ),
        ));
    }
    if multimodal.mm_hidden_size != tower.config.hidden_size {
        return Err(Error::request(
            "mm_hidden_size",
            format!(
                "expected the width of the vision tower ({} in {}), got {}",
                tower.config.hidden_size,
                tower.origin.display(),
                multimodal.mm_hidden_size
            ),
        ));
    }
    let ids = tokenizer.special_ids();
    Ok(ModelCard {
        family: "llada-v",
        decoder: DecoderShape {
            hidden: language.hidden_size,
            layers: language.num_hidden_layers,
            heads: Heads {
                count: language.num_attention_heads,
                kv_count: language.num_key_value_heads,
                dim: language.head_dim(),
            },
            mlp: language.intermediate_size,
            // `resize_token_embeddings(len(tokenizer))` cuts embedding and head alike.
            vocabulary: tokenizer.len(),
            norm_eps: language.rms_norm_eps,
            rope_theta: language.rope_theta as f32,
        },
        vision: VisionShape {
            image_size: tower.config.image_size,
            patch_size: tower.config.patch_size,
            hidden: tower.config.hidden_size,
            layers: tower.config.used_layers(),
            heads: tower.config.num_attention_heads,
            mlp: tower.config.intermediate_size,
            norm_eps: tower.config.layer_norm_eps,
            projected: language.hidden_size,
        },
        tiling: tiling(config, tower)?,
        stored_vocabulary: language.vocab_size,
        mask: ids.mask,
        // Reference: `generate_with_embeds` sets EOS, BOS and both header tokens to -inf.
        forbidden: [ids.eos, ids.bos, ids.start_header, ids.end_header]
            .into_iter()
            .flatten()
            .collect(),
        end: [ids.eos, ids.eot].into_iter().flatten().collect(),
        max_rows: language.max_length,
        defaults,
    })
}

fn tiling(config: &LladaVConfig, tower: &VisionTower) -> Result<TilingConfig> {
    let multimodal = &config.multimodal;
    let image_size = tower.config.image_size as u32;
    let aspect = AspectMode::parse(multimodal.image_aspect_ratio.as_deref().unwrap_or("square"))?;
    let pinpoints = match &multimodal.image_grid_pinpoints {
        Some(value) if aspect.is_tiled() => parse_pinpoints(value, image_size)?,
        _ => Vec::new(),
    };
    Ok(TilingConfig {
        image_size,
        patch_size: tower.config.patch_size as u32,
        aspect,
        pinpoints,
        merge: MergeType::parse(&multimodal.mm_patch_merge_type)?,
        pooling: Pooling::None,
        one_view: OneView::Bare,
    })
}

/// Reads every tensor of the family into a network on `backend`.
pub(super) fn build<B: Backend>(
    mut backend: B,
    source: &Source<'_>,
    card: &ModelCard,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Transformer<B>> {
    let layers = card.decoder.layers + card.vision.layers;
    let stored = [card.stored_vocabulary, card.decoder.hidden];
    let embedding = Embedding::load(
        &backend,
        source,
        "model.embed_tokens.weight",
        stored,
        card.decoder.vocabulary,
    )?;
    let vision_layers = card.vision.layers;
    let decoder = Decoder::load(
        &mut backend,
        source,
        &DECODER,
        card.decoder,
        card.stored_vocabulary,
        &mut |done, _| progress(done, layers),
    )?;
    let decoder_layers = card.decoder.layers;
    let vision = match vision_layers {
        0 => None,
        _ => Some(Vision::load(
            &mut backend,
            source,
            &VISION,
            card.vision,
            &mut |done, _| {
                progress(decoder_layers + done, layers);
            },
        )?),
    };
    progress(layers, layers);
    Ok(Transformer {
        backend,
        vision,
        embedding,
        decoder,
    })
}
