//! What all families share: text side, `SigLIP` tower, projector, tiling, and reading the weights.

use foveate_kernels::{Backend, Heads};

use super::{Family, ModelCard};
use crate::chat_template::ChatTemplate;
use crate::checkpoint::{Checkpoint, Environment};
use crate::config::{Dialect, GenerationDefaults, ModelConfig, VisionTower};
use crate::denoise::Options;
use crate::error::{Error, Result};
use crate::image::{AspectMode, MergeType, OneView, Pooling, TilingConfig, parse_pinpoints};
use crate::network::{
    Decoder, DecoderShape, Embedding, Source, Transformer, Vision, VisionNames, VisionShape,
};
use crate::prompt::{LLAVA_SYSTEM_PROMPT, Message, Prompt, PromptBuilder, ThinkMode};
use crate::tokenizer::Tokenizer;

/// Saved by the references' training or by a plain `SigLIP` folder, read by nothing.
pub(super) const IGNORED: &[&str] = &[
    "*.rotary_emb.inv_freq",
    "*.embeddings.position_ids",
    "*vision_model.post_layernorm.*",
    "*vision_model.head.*",
];

pub(super) const VISION: VisionNames = VisionNames {
    towers: [
        "model.vision_tower.vision_tower.vision_model",
        "vision_model",
    ],
    projector: ["model.mm_projector.0", "model.mm_projector.2"],
    newline: "model.image_newline",
};

/// The files of a checkpoint, read and checked, before a family decides what follows from them.
pub(super) struct Files {
    pub(super) config: ModelConfig,
    pub(super) tower: VisionTower,
    pub(super) tokenizer: Tokenizer,
    pub(super) defaults: GenerationDefaults,
}

impl Files {
    /// Reads everything but the weights and the chat template.
    pub(super) fn open(
        checkpoint: &Checkpoint,
        environment: &Environment,
        dialect: Dialect,
    ) -> Result<Self> {
        let file = checkpoint.file_path("config.json");
        let config = ModelConfig::parse(&checkpoint.require("config.json")?, &file, dialect)?;
        let tower = VisionTower::find(&config.multimodal.mm_vision_tower, checkpoint, environment)?;
        let file = checkpoint.file_path("generation_config.json");
        let defaults = match checkpoint.read("generation_config.json")? {
            Some(json) => GenerationDefaults::parse(&json, &file)?,
            None => GenerationDefaults::default(),
        };
        let files = Self {
            config,
            tower,
            tokenizer: Tokenizer::open(checkpoint)?,
            defaults,
        };
        files.check()?;
        Ok(files)
    }

    fn check(&self) -> Result<()> {
        let (ids, rows) = (self.tokenizer.len(), self.config.language.vocab_size);
        if ids > rows {
            return Err(Error::request(
                "tokenizer.json",
                format!(
                    "has {ids} ids but config.json says vocab_size {rows}; are they of the same model?"
                ),
            ));
        }
        let (tower, got) = (&self.tower, self.config.multimodal.mm_hidden_size);
        if got != tower.config.hidden_size {
            return Err(Error::request(
                "mm_hidden_size",
                format!(
                    "expected the width of the vision tower ({} in {}), got {got}",
                    tower.config.hidden_size,
                    tower.origin.display(),
                ),
            ));
        }
        Ok(())
    }

    /// The decoder's sizes with the first `vocabulary` rows of embedding and head.
    pub(super) fn decoder(&self, vocabulary: usize) -> DecoderShape {
        let language = &self.config.language;
        DecoderShape {
            hidden: language.hidden_size,
            layers: language.num_hidden_layers,
            heads: Heads {
                count: language.num_attention_heads,
                kv_count: language.num_key_value_heads,
                dim: language.head_dim(),
            },
            mlp: language.intermediate_size,
            vocabulary,
            norm_eps: language.rms_norm_eps,
            rope_theta: language.rope_theta as f32,
        }
    }

    pub(super) fn vision(&self) -> VisionShape {
        let tower = &self.tower.config;
        VisionShape {
            image_size: tower.image_size,
            patch_size: tower.patch_size,
            hidden: tower.hidden_size,
            layers: tower.used_layers(),
            heads: tower.num_attention_heads,
            mlp: tower.intermediate_size,
            norm_eps: tower.layer_norm_eps,
            projected: self.config.language.hidden_size,
        }
    }

    /// Tiling as configured, with what a family's code does to every view.
    pub(super) fn tiling(&self, pooling: Pooling, one_view: OneView) -> Result<TilingConfig> {
        let multimodal = &self.config.multimodal;
        let image_size = self.tower.config.image_size as u32;
        let aspect =
            AspectMode::parse(multimodal.image_aspect_ratio.as_deref().unwrap_or("square"))?;
        let pinpoints = match &multimodal.image_grid_pinpoints {
            Some(value) if aspect.is_tiled() => parse_pinpoints(value, image_size)?,
            _ => Vec::new(),
        };
        let tiling = TilingConfig {
            image_size,
            patch_size: self.tower.config.patch_size as u32,
            aspect,
            pinpoints,
            merge: MergeType::parse(&multimodal.mm_patch_merge_type)?,
            pooling,
            one_view,
        };
        // The size of a view stands in the tower's config, the canvases in the model's.
        tiling.check().map_err(|error| match error {
            Error::Request {
                field: field @ "image_size",
                reason,
            } => Error::malformed(&self.tower.origin, format!("{field}: {reason}")),
            other => other,
        })?;
        Ok(tiling)
    }

    /// `LaViDa` halves the side of every view after the projector (`get_2dPool`), whose other modes
    /// and strides no release uses.
    pub(super) fn lavida_tiling(&self) -> Result<TilingConfig> {
        let multimodal = &self.config.multimodal;
        if multimodal.mm_spatial_pool_mode != "bilinear" {
            return Err(Error::request(
                "mm_spatial_pool_mode",
                format!(
                    "expected bilinear, got {:?}; other pooling is not supported",
                    multimodal.mm_spatial_pool_mode
                ),
            ));
        }
        if let Some(stride) = multimodal.mm_spatial_pool_stride.filter(|s| *s != 2) {
            return Err(Error::request(
                "mm_spatial_pool_stride",
                format!("expected 2, got {stride}; other strides are not supported"),
            ));
        }
        self.tiling(Pooling::HalfBilinear, OneView::Newline)
    }
}

/// A checkpoint's text side and card, whatever its family.
pub(super) struct Llava {
    card: ModelCard,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    system_prompt: String,
}

impl Llava {
    /// Adds the chat template; `fallback` is the family's, for checkpoints that bring none.
    pub(super) fn new(
        checkpoint: &Checkpoint,
        card: ModelCard,
        tokenizer: Tokenizer,
        fallback: &str,
    ) -> Result<Self> {
        let system_prompt = card.defaults.system_prompt.clone();
        Ok(Self {
            system_prompt: system_prompt.unwrap_or_else(|| LLAVA_SYSTEM_PROMPT.into()),
            template: ChatTemplate::open(checkpoint, fallback)?,
            card,
            tokenizer,
        })
    }
}

impl Family for Llava {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn prompt(&self, messages: &[Message], think: ThinkMode) -> Result<Prompt> {
        PromptBuilder {
            tokenizer: &self.tokenizer,
            template: &self.template,
            system_prompt: &self.system_prompt,
            think,
        }
        .build(messages)
    }
}

/// Ids that end an answer: the end of the text and of the turn.
pub(super) fn end(tokenizer: &Tokenizer) -> Vec<u32> {
    let ids = tokenizer.special_ids();
    [ids.eos, ids.eot].into_iter().flatten().collect()
}

/// `LaViDa` commits one token per step and never looks for a stop; its answers run to the last
/// position.
pub(super) fn lavida_options() -> Options {
    let length = Options::default().gen_length;
    Options {
        steps: length,
        stop: Vec::new(),
        ..Options::default()
    }
}

/// Reads every tensor that the card names into a network on `backend`.
pub(super) fn build<B: Backend>(
    mut backend: B,
    source: &Source<'_>,
    card: &ModelCard,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Transformer<B>> {
    let names = &card.tensors;
    let layers = card.decoder.layers + card.vision.layers;
    let embedding = Embedding::load(
        &backend,
        source,
        names.embedding,
        [card.stored_vocabulary, card.decoder.hidden],
        card.decoder.vocabulary,
    )?;
    let vision_layers = card.vision.layers;
    let decoder = Decoder::load(
        &mut backend,
        source,
        &names.decoder,
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
            &mut |done, _| progress(decoder_layers + done, layers),
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
