//! The chat template that comes with a model, rendered within limits of time and space.
//!
//! Instructions, recursion and output are limited. The texts that a template builds on the way are
//! not: one that doubles a text again and again can exhaust memory, so templates must come from
//! models that are trusted.

use std::io::{self, Write};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::tokenizer::token_name;

/// Published templates are below 20 kB.
const MAX_TEMPLATE_BYTES: usize = 256 << 10;
/// A longer text exceeds every model's context many times over.
const MAX_RENDERED_BYTES: usize = 4 << 20;
/// Instructions; a conversation of 1000 messages needs about 30 000.
const MAX_INSTRUCTIONS: u64 = 500_000;
const MAX_RECURSION: usize = 100;

/// `LLaDA`'s conversation format, for checkpoints that bring no template.
const LLADA: &str = "{%- for message in messages -%}\
    {%- if loop.first -%}{{ bos_token }}{%- endif -%}\
    {{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}\
    {{- message.content | trim }}{{ '<|eot_id|>' }}\
    {%- endfor -%}\
    {{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}";

const NAME: &str = "chat_template";

/// A compiled chat template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    source: String,
    bos_token: String,
    eos_token: String,
}

impl Template {
    /// Uses `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, else `LLaDA`'s.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self> {
        let file = checkpoint.file_path("tokenizer_config.json");
        let config = match checkpoint.read("tokenizer_config.json")? {
            Some(json) => serde_json::from_slice(&json)
                .map_err(|error| Error::malformed(&file, format!("not valid JSON: {error}")))?,
            None => serde_json::Value::Null,
        };
        if let Some(jinja) = checkpoint.read("chat_template.jinja")? {
            let file = checkpoint.file_path("chat_template.jinja");
            let source = String::from_utf8(jinja.into_owned())
                .map_err(|error| Error::malformed(&file, format!("not UTF-8: {error}")))?;
            return Self::new(&source, &config, &file);
        }
        match configured(&config).map_err(|reason| Error::malformed(&file, reason))? {
            Some(source) => Self::new(source, &config, &file),
            None => Self::new(LLADA, &config, &file),
        }
    }

    /// Compiles a template; `config` is `tokenizer_config.json`, `file` is for messages.
    pub fn new(source: &str, config: &serde_json::Value, file: &Path) -> Result<Self> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let reason = format!(
                "chat template of {} bytes, the limit is {MAX_TEMPLATE_BYTES}",
                source.len()
            );
            return Err(Error::malformed(file, reason));
        }
        let malformed =
            |error: minijinja::Error| Error::malformed(file, format!("chat template: {error}"));
        let mut environment = Environment::new();
        // As Hugging Face's renderer sets them.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(malformed)?);
        environment.set_fuel(Some(MAX_INSTRUCTIONS));
        environment.set_recursion_limit(MAX_RECURSION);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |reason: String| -> std::result::Result<Value, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
            },
        );
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(malformed)?;
        let token = |key| token_name(config, key).unwrap_or_default().to_owned();
        let (bos_token, eos_token) = (token("bos_token"), token("eos_token"));
        Ok(Self {
            environment,
            source: source.to_owned(),
            bos_token,
            eos_token,
        })
    }

    /// Renders (role, content) pairs, with the beginning of the assistant's answer.
    pub fn render(&self, messages: &[(&str, String)]) -> Result<String> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|(role, content)| context! { role => *role, content })
            .collect();
        let values = context! {
            messages,
            bos_token => &self.bos_token,
            eos_token => &self.eos_token,
            add_generation_prompt => true,
        };
        let refused = |error: minijinja::Error| {
            Error::request("messages", format!("the model's chat template: {error}"))
        };
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let mut text = Bounded(Vec::new());
        let outcome = template.render_captured_to(values, &mut text).map(drop);
        outcome.map_err(|error| match error.kind() {
            ErrorKind::WriteFailure => {
                let limit = MAX_RENDERED_BYTES >> 20;
                Error::request("messages", format!("the rendered text exceeds {limit} MiB"))
            }
            _ => refused(error),
        })?;
        String::from_utf8(text.0).map_err(|error| Error::request("messages", error.to_string()))
    }

    /// The template as it was given.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// Collects text up to the limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One text, or a list of named ones of which `default` counts.
fn configured(config: &serde_json::Value) -> std::result::Result<Option<&str>, &'static str> {
    match config.get("chat_template") {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(source)) => Ok(Some(source)),
        Some(serde_json::Value::Array(named)) => named
            .iter()
            .find(|entry| entry.get("name").is_some_and(|name| name == "default"))
            .and_then(|entry| entry.get("template")?.as_str())
            .map(Some)
            .ok_or("chat_template: expected an entry named \"default\" with a template"),
        Some(_) => Err("chat_template: expected a text or a list of named texts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(source: &str) -> Result<Template> {
        let config = json!({"bos_token": "<bos>", "eos_token": {"content": "<eos>"}});
        Template::new(source, &config, Path::new("chat_template.jinja"))
    }

    fn render(source: &str) -> Result<String> {
        template(source)?.render(&[("system", " Be kind. ".into()), ("user", "Hi\n".into())])
    }

    #[test]
    fn the_built_in_template_is_lladas() {
        let expected = "<bos><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>\
                        <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
                        <|start_header_id|>assistant<|end_header_id|>\n\n";
        assert_eq!(render(LLADA).expect("renders"), expected);
    }

    #[test]
    fn python_methods_and_special_tokens_are_known() {
        let source = "{{ bos_token }}{{ messages[0]['content'].strip() }}{{ eos_token }}";
        assert_eq!(render(source).expect("renders"), "<bos>Be kind.<eos>");
    }

    #[test]
    fn a_template_can_refuse_a_conversation() {
        let error = render("{{ raise_exception('roles must alternate') }}").expect_err("refused");
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
    }

    #[test]
    fn endless_work_endless_text_and_deep_recursion_end_in_errors() {
        for source in [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
            "{{ 'x' * 9999999999 }}",
        ] {
            assert!(render(source).is_err(), "{source}");
        }
    }

    #[test]
    fn broken_and_oversized_templates_are_refused_when_loaded() {
        assert!(template("{% for %}").is_err());
        assert!(template(&" ".repeat(MAX_TEMPLATE_BYTES + 1)).is_err());
    }

    #[test]
    fn a_list_of_templates_uses_the_default() {
        let list = json!({"chat_template": [
            {"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]});
        assert_eq!(configured(&list), Ok(Some("b")));
        assert_eq!(configured(&json!({})), Ok(None));
        assert!(configured(&json!({"chat_template": []})).is_err());
        assert!(configured(&json!({"chat_template": 3})).is_err());
    }
}
