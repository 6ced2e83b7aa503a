//! `config.json`: the sizes of a model, bounded before anything is computed from them.
//!
//! Extra keys are ignored. A key that would change the arithmetic in a way that is not implemented
//! is an error that names the file and the key.

mod fields;
mod generation;
mod vision;

pub use generation::GenerationDefaults;
pub use vision::{VisionConfig, VisionTower};

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use fields::Fields;

/// Who a checkpoint says it is; selects the model family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `architectures[0]`, for example `LlavaLLaDAModelLM`.
    pub architecture: Option<String>,
    /// `model_type`, for example `llava_llada`.
    pub model_type: Option<String>,
}

impl Identity {
    /// Reads the two keys of a `config.json`; `file` is for messages.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let value = fields::parse(json, file)?;
        let fields = Fields::new(&value, file)?;
        let identity = Self {
            architecture: fields
                .strings("architectures")?
                .and_then(|all| all.into_iter().next()),
            model_type: fields.text("model_type")?,
        };
        if identity.key().is_empty() {
            let reason = "expected a name, got nothing; the model family is unknown";
            return Err(fields.error("architectures[0]", reason));
        }
        Ok(identity)
    }

    /// The name to look up: the architecture, else the model type.
    pub fn key(&self) -> &str {
        self.architecture
            .as_deref()
            .or(self.model_type.as_deref())
            .unwrap_or_default()
    }
}

/// `LLaDA-V`: a LLaMA-style decoder without causal mask, behind a `SigLIP` tower.
#[derive(Clone, Debug, PartialEq)]
pub struct LladaVConfig {
    /// The decoder.
    pub language: LanguageConfig,
    /// How images become tokens.
    pub multimodal: MultimodalConfig,
}

impl LladaVConfig {
    /// Reads and checks a `config.json`; `file` is for messages.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let value = fields::parse(json, file)?;
        let fields = Fields::new(&value, file)?;
        let language = LanguageConfig::read(&fields)?;
        Ok(Self {
            language,
            multimodal: MultimodalConfig::read(&fields)?,
        })
    }
}

/// Sizes and constants of the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated feed-forward block.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Added to the mean square in RMS norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary wave lengths.
    pub rope_theta: f64,
    /// Rows of embedding and head as configured; at most the stored rows matter.
    pub vocab_size: usize,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest sequence of prompt and images, in tokens.
    pub max_length: usize,
}

impl LanguageConfig {
    /// Numbers per head; even, because rotary embedding turns pairs.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn read(fields: &Fields<'_>) -> Result<Self> {
        fields.must_be_absent("rope_scaling")?;
        fields.must_be("attention_bias", &Value::Bool(false))?;
        fields.must_be("hidden_act", &Value::from("silu"))?;
        let heads = fields.count("num_attention_heads")?;
        let config = Self {
            hidden_size: fields.count("hidden_size")?,
            intermediate_size: fields.count("intermediate_size")?,
            num_hidden_layers: fields.count("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: fields.count_or("num_key_value_heads", heads)?,
            rms_norm_eps: fields.positive("rms_norm_eps")? as f32,
            rope_theta: fields.positive("rope_theta")?,
            vocab_size: fields.count("vocab_size")?,
            tie_word_embeddings: fields.flag_or("tie_word_embeddings", false)?,
            max_length: fields.count_or("tokenizer_model_max_length", DEFAULT_MAX_LENGTH)?,
        };
        fields.must_divide(
            "num_attention_heads",
            heads,
            "hidden_size",
            config.hidden_size,
        )?;
        let key_heads = config.num_key_value_heads;
        fields.must_divide(
            "num_key_value_heads",
            key_heads,
            "num_attention_heads",
            heads,
        )?;
        if !config.head_dim().is_multiple_of(2) {
            let reason = format!(
                "heads of {} numbers, expected an even size",
                config.head_dim()
            );
            return Err(fields.error("num_attention_heads", reason));
        }
        Ok(config)
    }
}

/// `LLaDA-V`'s training length, for configs that do not say.
const DEFAULT_MAX_LENGTH: usize = 16_384;

/// How images are cut and how their features reach the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct MultimodalConfig {
    /// Width of the vision features.
    pub mm_hidden_size: usize,
    /// For example `spatial_unpad`; `flat` when absent.
    pub mm_patch_merge_type: String,
    /// Folder or repository that holds the tower's config.
    pub mm_vision_tower: String,
    /// For example `anyres_max_4`.
    pub image_aspect_ratio: Option<String>,
    /// List, Python literal or range notation of (width, height); see the tiling code.
    pub image_grid_pinpoints: Option<Value>,
    /// Pooling of the views, `bilinear` when absent.
    pub mm_spatial_pool_mode: String,
    /// Pooling step; the `LLaDA-V` evaluation overrides it with 2.
    pub mm_spatial_pool_stride: Option<usize>,
}

impl MultimodalConfig {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        fields.must_be("mm_projector_type", &Value::from("mlp2x_gelu"))?;
        fields.must_be_absent("mm_resampler_type")?;
        fields.must_be("mm_newline_position", &Value::from("grid"))?;
        fields.must_be("mm_use_im_start_end", &Value::Bool(false))?;
        fields.must_be("mm_use_im_patch_token", &Value::Bool(false))?;
        let Some(tower) = fields
            .text("mm_vision_tower")?
            .filter(|tower| !tower.is_empty())
        else {
            return Err(fields.error("mm_vision_tower", "expected a name, got nothing"));
        };
        Ok(Self {
            mm_hidden_size: fields.count("mm_hidden_size")?,
            mm_patch_merge_type: fields.text("mm_patch_merge_type")?.unwrap_or("flat".into()),
            mm_vision_tower: tower,
            image_aspect_ratio: fields.text("image_aspect_ratio")?,
            image_grid_pinpoints: fields.value("image_grid_pinpoints").cloned(),
            mm_spatial_pool_mode: fields
                .text("mm_spatial_pool_mode")?
                .unwrap_or("bilinear".into()),
            mm_spatial_pool_stride: fields.optional_count("mm_spatial_pool_stride")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tiny() -> Value {
        json!({
            "architectures": ["LlavaLLaDAModelLM"], "model_type": "llava_llada",
            "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 5,
            "num_attention_heads": 4, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
            "rope_scaling": null, "attention_bias": false, "hidden_act": "silu",
            "vocab_size": 588, "mm_hidden_size": 48, "mm_projector_type": "mlp2x_gelu",
            "mm_vision_tower": "siglip2-tiny-patch14-84", "unknown_key": [1, 2],
        })
    }

    fn parse(value: &Value) -> Result<LladaVConfig> {
        LladaVConfig::parse(value.to_string().as_bytes(), Path::new("model/config.json"))
    }

    #[test]
    fn absent_keys_take_their_published_defaults() {
        let config = parse(&tiny()).expect("valid");
        assert_eq!(config.language.num_key_value_heads, 4);
        assert_eq!(config.language.head_dim(), 24);
        assert_eq!(config.language.max_length, 16_384);
        assert_eq!(config.multimodal.mm_spatial_pool_mode, "bilinear");
        assert_eq!(config.multimodal.mm_spatial_pool_stride, None);
    }

    #[test]
    fn unsupported_or_absurd_values_name_the_file_and_the_key() {
        for (key, value) in [
            ("rope_scaling", json!({"type": "linear", "factor": 2})),
            ("attention_bias", json!(true)),
            ("hidden_act", json!("gelu")),
            ("mm_projector_type", json!("linear")),
            ("mm_resampler_type", json!("qformer")),
            ("mm_newline_position", json!("one_token")),
            ("mm_use_im_start_end", json!(true)),
            ("mm_use_im_patch_token", json!(true)),
            ("mm_vision_tower", json!(7)),
            ("mm_spatial_pool_stride", json!(0)),
            ("hidden_size", json!(0)),
            ("hidden_size", json!(-96)),
            ("hidden_size", json!(1_000_001)),
            ("hidden_size", json!(null)),
            ("hidden_size", json!(u64::MAX)),
            ("num_hidden_layers", json!("5")),
            ("num_attention_heads", json!(5)),
            ("num_attention_heads", json!(32)),
            ("num_key_value_heads", json!(3)),
            ("rms_norm_eps", json!(0.0)),
            ("rope_theta", json!(-1)),
            ("vocab_size", json!(1.5)),
        ] {
            let mut config = tiny();
            config[key] = value.clone();
            let error = parse(&config).expect_err(key).to_string();
            assert!(
                error.contains("model/config.json") && error.contains(key),
                "{error}"
            );
        }
    }

    #[test]
    fn the_architecture_names_the_family_and_the_model_type_stands_in() {
        let file = Path::new("config.json");
        let key = |json: &str| Identity::parse(json.as_bytes(), file).map(|i| i.key().to_owned());
        assert_eq!(
            key(&tiny().to_string()).expect("named"),
            "LlavaLLaDAModelLM"
        );
        assert_eq!(key(r#"{"model_type": "llada"}"#).expect("named"), "llada");
        assert!(key("{}").is_err());
        assert!(key("[]").is_err());
        assert!(key("{").is_err());
    }
}
