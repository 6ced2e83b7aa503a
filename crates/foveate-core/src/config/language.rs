//! The decoder's part of a `config.json`, in any of the dialects that the families are written in.

use serde_json::Value;

use super::fields::Fields;
use crate::error::Result;

/// Which keys a config uses for the same sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `LLaMA`'s keys, no biases (`LLaDA-V`).
    Llama,
    /// `OLMo`'s keys (`d_model`, `n_layers`, …), no biases (`LaViDa-LLaDA`).
    Olmo,
    /// `Qwen2`'s keys; queries, keys and values have biases (`LaViDa-Dream`).
    Qwen,
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
    /// Rows of embedding and head in the file.
    pub vocab_size: usize,
    /// Hugging Face's key. True does not mean that the head is the embedding: `LaViDa-LLaDA` has
    /// both and never sets it. It decides whether the head is cut to the tokenizer's length.
    pub tie_word_embeddings: bool,
    /// Longest sequence of prompt and images, in tokens.
    pub max_length: usize,
}

impl LanguageConfig {
    /// Numbers per head; even, because rotary embedding turns pairs.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    pub(super) fn read(fields: &Fields<'_>, dialect: Dialect) -> Result<Self> {
        let config = match dialect {
            Dialect::Llama => {
                fields.must_be("attention_bias", &Value::Bool(false))?;
                Self::llama(fields, LLADA_V_LENGTH)?
            }
            Dialect::Qwen => {
                fields.must_be("use_sliding_window", &Value::Bool(false))?;
                Self::llama(fields, LAVIDA_LENGTH)?
            }
            Dialect::Olmo => Self::olmo(fields)?,
        };
        config.check(fields, dialect)?;
        Ok(config)
    }

    fn llama(fields: &Fields<'_>, length: usize) -> Result<Self> {
        fields.must_be_absent("rope_scaling")?;
        fields.must_be("hidden_act", &Value::from("silu"))?;
        let heads = fields.count("num_attention_heads")?;
        Ok(Self {
            hidden_size: fields.count("hidden_size")?,
            intermediate_size: fields.count("intermediate_size")?,
            num_hidden_layers: fields.count("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: fields.count_or("num_key_value_heads", heads)?,
            rms_norm_eps: fields.positive("rms_norm_eps")? as f32,
            rope_theta: fields.positive("rope_theta")?,
            vocab_size: fields.count("vocab_size")?,
            tie_word_embeddings: fields.flag_or("tie_word_embeddings", false)?,
            max_length: fields.count_or("tokenizer_model_max_length", length)?,
        })
    }

    fn olmo(fields: &Fields<'_>) -> Result<Self> {
        for key in [
            "alibi",
            "attention_layer_norm",
            "bias_for_layer_norm",
            "include_bias",
            "include_qkv_bias",
            "input_emb_norm",
            "multi_query_attention",
            "scale_logits",
            "weight_tying",
        ] {
            fields.must_be(key, &Value::Bool(false))?;
        }
        for key in ["rope", "layer_norm_with_affine"] {
            fields.must_be(key, &Value::Bool(true))?;
        }
        fields.must_be("activation_type", &Value::from("silu"))?;
        fields.must_be("block_type", &Value::from("llama"))?;
        fields.must_be("layer_norm_type", &Value::from("rms"))?;
        fields.must_be("block_group_size", &Value::from(1))?;
        let (hidden, heads) = (fields.count("d_model")?, fields.count("n_heads")?);
        let vocabulary = fields.count("vocab_size")?;
        Ok(Self {
            hidden_size: hidden,
            intermediate_size: match fields.optional_count("mlp_hidden_size")? {
                Some(width) => width,
                None => hidden.saturating_mul(fields.count("mlp_ratio")?),
            },
            num_hidden_layers: fields.count("n_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: fields.count_or("n_kv_heads", heads)?,
            rms_norm_eps: fields.positive("rms_norm_eps")? as f32,
            rope_theta: fields.positive("rope_theta")?,
            vocab_size: fields.count_or("embedding_size", vocabulary)?,
            // Hugging Face's default for a key that this config class does not know.
            tie_word_embeddings: fields.flag_or("tie_word_embeddings", true)?,
            max_length: fields.count_or("tokenizer_model_max_length", LAVIDA_LENGTH)?,
        })
    }

    fn check(&self, fields: &Fields<'_>, dialect: Dialect) -> Result<()> {
        let [heads_key, key_heads_key, hidden_key] = match dialect {
            Dialect::Olmo => ["n_heads", "n_kv_heads", "d_model"],
            Dialect::Llama | Dialect::Qwen => {
                ["num_attention_heads", "num_key_value_heads", "hidden_size"]
            }
        };
        let (heads, key_heads) = (self.num_attention_heads, self.num_key_value_heads);
        fields.must_divide(heads_key, heads, hidden_key, self.hidden_size)?;
        fields.must_divide(key_heads_key, key_heads, heads_key, heads)?;
        if !self.head_dim().is_multiple_of(2) {
            let reason = format!(
                "heads of {} numbers, expected an even size",
                self.head_dim()
            );
            return Err(fields.error(heads_key, reason));
        }
        fields.must_be("head_dim", &Value::from(self.head_dim()))?;
        fields.at_most("mlp_ratio", self.intermediate_size)
    }
}

/// `LLaDA-V`'s training length, for configs that do not say.
const LLADA_V_LENGTH: usize = 16_384;
/// `LaViDa`'s.
const LAVIDA_LENGTH: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::ModelConfig;
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn lavida() -> Value {
        json!({
            "d_model": 96, "mlp_hidden_size": 192, "mlp_ratio": 4, "n_layers": 5, "n_heads": 4,
            "n_kv_heads": null, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0, "vocab_size": 580,
            "embedding_size": 588, "weight_tying": false, "multi_query_attention": null,
            "mm_hidden_size": 48, "mm_vision_tower": "siglip",
        })
    }

    fn parse(value: &Value, dialect: Dialect) -> Result<LanguageConfig> {
        let json = value.to_string();
        let config = ModelConfig::parse(json.as_bytes(), Path::new("model/config.json"), dialect)?;
        Ok(config.language)
    }

    #[test]
    fn the_olmo_dialect_names_the_same_sizes() {
        let config = parse(&lavida(), Dialect::Olmo).expect("valid");
        assert_eq!((config.hidden_size, config.num_key_value_heads), (96, 4));
        assert_eq!((config.vocab_size, config.max_length), (588, 4096));
        assert!(config.tie_word_embeddings);
        let mut by_ratio = lavida();
        by_ratio["mlp_hidden_size"] = json!(null);
        let config = parse(&by_ratio, Dialect::Olmo).expect("valid");
        assert_eq!(config.intermediate_size, 384);
    }

    #[test]
    fn what_a_dialect_cannot_do_names_the_key() {
        for (key, value) in [
            ("weight_tying", json!(true)),
            ("multi_query_attention", json!(true)),
            ("include_qkv_bias", json!(true)),
            ("block_type", json!("sequential")),
            ("block_group_size", json!(2)),
            ("layer_norm_type", json!("default")),
            ("rope", json!(false)),
            ("n_heads", json!(5)),
            ("n_kv_heads", json!(3)),
            ("d_model", json!(0)),
            ("embedding_size", json!(-1)),
        ] {
            let mut config = lavida();
            config[key] = value;
            let error = parse(&config, Dialect::Olmo).expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
        }
        let mut huge = lavida();
        huge["mlp_hidden_size"] = json!(null);
        huge["mlp_ratio"] = json!(1_000_000);
        assert!(parse(&huge, Dialect::Olmo).is_err());
        let dream = json!({
            "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 5,
            "num_attention_heads": 6, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "rope_theta": 1e6, "vocab_size": 580, "mm_hidden_size": 48, "mm_vision_tower": "siglip",
        });
        let config = parse(&dream, Dialect::Qwen).expect("valid");
        assert_eq!((config.head_dim(), config.max_length), (16, 4096));
        for (key, value) in [
            ("use_sliding_window", json!(true)),
            ("head_dim", json!(128)),
        ] {
            let mut wrong = dream.clone();
            wrong[key] = value;
            let error = parse(&wrong, Dialect::Qwen).expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
