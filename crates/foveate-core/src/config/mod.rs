//! `config.json`: the sizes of a model, bounded before anything is computed from them.
//!
//! Extra keys are ignored. A key that would change the arithmetic in a way that is not implemented
//! is an error that names the file and the key.

mod fields;
mod generation;
mod language;
mod multimodal;
mod vision;

pub use generation::GenerationDefaults;
pub use language::{Dialect, LanguageConfig};
pub use multimodal::MultimodalConfig;
pub use vision::{VisionConfig, VisionTower};

use std::path::Path;

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

/// A decoder without causal mask behind a `SigLIP` tower.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The decoder.
    pub language: LanguageConfig,
    /// How images become tokens.
    pub multimodal: MultimodalConfig,
}

impl ModelConfig {
    /// Reads and checks a `config.json` written in `dialect`; `file` is for messages.
    pub fn parse(json: &[u8], file: &Path, dialect: Dialect) -> Result<Self> {
        let value = fields::parse(json, file)?;
        let fields = Fields::new(&value, file)?;
        Ok(Self {
            language: LanguageConfig::read(&fields, dialect)?,
            multimodal: MultimodalConfig::read(&fields)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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

    fn parse(value: &Value) -> Result<ModelConfig> {
        ModelConfig::parse(
            value.to_string().as_bytes(),
            Path::new("model/config.json"),
            Dialect::Llama,
        )
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
