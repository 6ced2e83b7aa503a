//! Defaults that a checkpoint brings for its own answers, in `generation_config.json`.

use std::path::Path;

use super::fields::{self, Fields};
use crate::error::Result;

/// Defaults of one checkpoint; a request or flag wins, the family fills what is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Denoising steps.
    pub steps: Option<usize>,
    /// Length of the answer in tokens.
    pub gen_length: Option<usize>,
    /// Tokens that are denoised together.
    pub block_length: Option<usize>,
    /// Scale of the sampling noise, 0 for none.
    pub temperature: Option<f64>,
    /// How many of the most probable ids are candidates.
    pub top_k: Option<usize>,
    /// Texts that end the answer.
    pub stop: Option<Vec<String>>,
    /// Replaces the family's system prompt; empty for none.
    pub system_prompt: Option<String>,
}

impl GenerationDefaults {
    /// Reads a `generation_config.json`; `file` is for messages.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let value = fields::parse(json, file)?;
        let fields = Fields::new(&value, file)?;
        let temperature = fields.number("temperature")?;
        if let Some(number) = temperature.filter(|number| *number < 0.0) {
            let reason = format!("expected 0 or more, got {number}");
            return Err(fields.error("temperature", reason));
        }
        Ok(Self {
            steps: fields.optional_count("steps")?,
            gen_length: fields.optional_count("gen_length")?,
            block_length: fields.optional_count("block_length")?,
            temperature,
            top_k: fields.optional_count("top_k")?,
            stop: fields.strings("stop")?,
            system_prompt: fields.text("system_prompt")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_file_says_is_set() {
        let file = Path::new("generation_config.json");
        let parse = |json: &str| GenerationDefaults::parse(json.as_bytes(), file);
        let foreign = parse(r#"{"bos_token_id": 560, "_from_model_config": true}"#);
        assert_eq!(foreign.expect("valid"), GenerationDefaults::default());
        let own = parse(r#"{"steps": 8, "stop": ["<|eot_id|>"], "system_prompt": ""}"#);
        let own = own.expect("valid");
        assert_eq!((own.steps, own.gen_length), (Some(8), None));
        assert_eq!(own.system_prompt.as_deref(), Some(""));
        for wrong in [
            r#"{"steps": 0}"#,
            r#"{"temperature": -1}"#,
            r#"{"stop": "x"}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
