//! Models of a given shape with seeded random weights, for measuring speed and memory.

use std::path::{Path, PathBuf};

use foveate_kernels::Heads;

use super::{Family, ModelCard, Predicts, Sampling, llada_v};
use crate::config::GenerationDefaults;
use crate::denoise::Options;
use crate::error::{Error, Result};
use crate::image::{AspectMode, MergeType, OneView, Pooling, TilingConfig};
use crate::network::{DecoderShape, VisionShape};
use crate::prompt::{Message, Prompt, ThinkMode};
use crate::tokenizer::Tokenizer;

/// The family of models with random weights, which are of none.
pub(crate) const SYNTHETIC: &str = "synthetic";

/// Shapes by name: `(name, decoder, vision, visual tokens, text tokens, answer tokens)`.
#[derive(Clone, Copy, Debug)]
pub struct NamedShape {
    /// As given to `--shape`.
    pub name: &'static str,
    /// The decoder.
    pub decoder: DecoderShape,
    /// The tower; zero layers leave it out.
    pub vision: VisionShape,
    /// Visual tokens of the benchmark's request.
    pub visual_tokens: usize,
    /// Text tokens of its prompt.
    pub text_tokens: usize,
    /// Length of its answer.
    pub gen_length: usize,
    /// Denoising steps.
    pub steps: usize,
}

const NO_VISION: VisionShape = VisionShape {
    image_size: 14,
    patch_size: 14,
    hidden: 16,
    layers: 0,
    heads: 1,
    mlp: 16,
    norm_eps: 1e-6,
    projected: 512,
};

const MID: NamedShape = NamedShape {
    name: "mid",
    decoder: DecoderShape {
        hidden: 512,
        layers: 8,
        heads: Heads {
            count: 8,
            kv_count: 8,
            dim: 64,
        },
        mlp: 1536,
        vocabulary: 32768,
        norm_eps: 1e-5,
        rope_theta: 500_000.0,
    },
    vision: NO_VISION,
    visual_tokens: 729,
    text_tokens: 64,
    gen_length: 64,
    steps: 32,
};

/// The named shapes.
pub const SHAPES: [NamedShape; 3] = [
    MID,
    NamedShape {
        name: "mid-wide",
        visual_tokens: 2929,
        ..MID
    },
    NamedShape {
        name: "llada-v-8b",
        decoder: DecoderShape {
            hidden: 4096,
            layers: 32,
            heads: Heads {
                count: 32,
                kv_count: 32,
                dim: 128,
            },
            mlp: 12288,
            vocabulary: 126_349,
            norm_eps: 1e-5,
            rope_theta: 500_000.0,
        },
        vision: VisionShape {
            image_size: 384,
            patch_size: 14,
            hidden: 1152,
            layers: 26,
            heads: 16,
            mlp: 4304,
            norm_eps: 1e-6,
            projected: 4096,
        },
        visual_tokens: 2929,
        text_tokens: 64,
        gen_length: 32,
        steps: 16,
    },
];

/// A tokenizer that knows one word beside the mask; benchmarks start from ids.
const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":0,"content":"<|mdm_mask|>","single_word":false,"lstrip":false,"rstrip":false,
"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
"decoder":null,"model":{"type":"WordLevel","vocab":{"<|mdm_mask|>":0,"word":1},"unk_token":"word"}}"#;

/// A family without a checkpoint.
pub(crate) struct Synthetic {
    card: ModelCard,
    tokenizer: Tokenizer,
}

impl Synthetic {
    /// The mask is the last id, so that random answers of low ids never contain it.
    pub(crate) fn new(shape: &NamedShape) -> Result<Self> {
        let NamedShape {
            decoder, vision, ..
        } = *shape;
        let tokenizer = Tokenizer::from_bytes(TOKENIZER.as_bytes(), None, Path::new("synthetic"))?;
        let tiling = TilingConfig {
            image_size: vision.image_size as u32,
            patch_size: vision.patch_size as u32,
            aspect: AspectMode::parse("anyres_max_4")?,
            pinpoints: (1..=6)
                .flat_map(|w| (1..=6).map(move |h| (w, h)))
                .map(|(w, h)| (w * vision.image_size as u32, h * vision.image_size as u32))
                .collect(),
            merge: MergeType::parse("spatial_unpad")?,
            pooling: Pooling::None,
            one_view: OneView::Bare,
        };
        let mask = decoder.vocabulary as u32 - 1;
        let card = ModelCard {
            family: SYNTHETIC,
            tensors: llada_v::TENSORS,
            decoder,
            vision,
            tower: PathBuf::new(),
            tiling,
            stored_vocabulary: decoder.vocabulary,
            mask,
            forbidden: vec![mask],
            end: Vec::new(),
            predicts: Predicts::Itself,
            sampling: Sampling::Gumbel,
            max_rows: 1 << 20,
            usual: Options {
                gen_length: shape.gen_length,
                block_length: shape.gen_length,
                steps: shape.steps,
                ..Options::default()
            },
            defaults: GenerationDefaults {
                stop: Some(Vec::new()),
                ..GenerationDefaults::default()
            },
        };
        Ok(Self { card, tokenizer })
    }
}

impl Family for Synthetic {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn prompt(&self, _messages: &[Message], _think: ThinkMode) -> Result<Prompt> {
        Err(Error::request(
            "prompt",
            "a model with random weights starts from ids, not from text",
        ))
    }
}
