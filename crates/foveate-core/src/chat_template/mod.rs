//! The chat template that comes with a model, rendered within limits of time and space.
//!
//! Instructions, recursion, output and all that is built on the way are limited ([`budget`]).

mod allowed;
mod budget;
mod rewrite;

use std::path::{Path, PathBuf};

use minijinja::machinery::{CodeGenerator, eval, make_string_output, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Value, context};

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

const NAME: &str = "chat_template";

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    syntax: SyntaxConfig,
    source: String,
    file: PathBuf,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// `LLaDA`'s conversation format.
    pub const LLADA: &str = "{%- for message in messages -%}\
        {%- if loop.first -%}{{ bos_token }}{%- endif -%}\
        {{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}\
        {{- message.content | trim }}{{ '<|eot_id|>' }}\
        {%- endfor -%}\
        {{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}";

    /// `ChatML`, `Dream`'s conversation format.
    pub const CHATML: &str = "{%- for message in messages -%}\
        {{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}\
        {%- endfor -%}\
        {{ '<|im_start|>assistant\\n' }}";

    /// Uses `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, else `fallback`,
    /// which is [`Self::LLADA`] or [`Self::CHATML`].
    pub fn open(checkpoint: &Checkpoint, fallback: &str) -> Result<Self> {
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
            None => Self::new(fallback, &config, &file),
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
        // As Hugging Face's renderer sets them.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(malformed)?;
        let parsed = parse(source, NAME, syntax.clone()).map_err(malformed)?;
        rewrite::charged(&parsed)
            .map_err(|reason| Error::malformed(file, format!("chat template: {reason}")))?;
        let token = |key| token_name(config, key).unwrap_or_default().to_owned();
        let (bos_token, eos_token) = (token("bos_token"), token("eos_token"));
        Ok(Self {
            syntax,
            source: source.to_owned(),
            file: file.to_owned(),
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
        let refused = |reason: &dyn std::fmt::Display| {
            let file = self.file.display();
            Error::request("messages", format!("the chat template of {file}: {reason}"))
        };
        let parsed = parse(&self.source, NAME, self.syntax.clone()).map_err(|e| refused(&e))?;
        let limited = rewrite::charged(&parsed).map_err(|reason| refused(&reason))?;
        let mut generator = CodeGenerator::new(NAME, &self.source);
        generator.compile_stmt(&limited);
        let (instructions, blocks) = generator.finish();
        let environment = environment();
        let mut text = String::new();
        let mut output = make_string_output(&mut text);
        let ended = eval(
            &environment,
            &instructions,
            values,
            &blocks,
            &mut output,
            AutoEscape::None,
        );
        ended.map_err(|error| refused(&error))?;
        if text.len() > MAX_RENDERED_BYTES {
            let limit = MAX_RENDERED_BYTES >> 20;
            return Err(refused(&format!("the rendered text exceeds {limit} MiB")));
        }
        Ok(text)
    }

    /// The template as it was given.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// What a template may use while it renders once.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(MAX_INSTRUCTIONS));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.add_function(
        "raise_exception",
        |reason: String| -> std::result::Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        },
    );
    budget::limit(&mut environment);
    environment
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

    fn template(source: &str) -> Result<ChatTemplate> {
        let config = json!({"bos_token": "<bos>", "eos_token": {"content": "<eos>"}});
        ChatTemplate::new(source, &config, Path::new("chat_template.jinja"))
    }

    fn render(source: &str) -> Result<String> {
        template(source)?.render(&[("system", " Be kind. ".into()), ("user", "Hi\n".into())])
    }

    #[test]
    fn the_built_in_template_is_lladas() {
        let expected = "<bos><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>\
                        <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
                        <|start_header_id|>assistant<|end_header_id|>\n\n";
        assert_eq!(render(ChatTemplate::LLADA).expect("renders"), expected);
    }

    #[test]
    fn the_other_built_in_template_is_dreams() {
        let expected = "<|im_start|>system\n Be kind. <|im_end|>\n<|im_start|>user\nHi\n<|im_end|>\n\
                        <|im_start|>assistant\n";
        assert_eq!(render(ChatTemplate::CHATML).expect("renders"), expected);
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
    fn a_template_cannot_build_more_than_its_budget() {
        let ns = "{% set ns = namespace(x='xxxxxxxx', l=[]) %}{% for i in range(60) %}";
        for grow in [
            "{% set ns.x = ns.x ~ ns.x %}",
            "{% set ns.x = ns.x + ns.x %}",
            "{% set ns.x = [ns.x, ns.x] %}",
            "{% set ns.x = {'a': ns.x, 'b': ns.x} %}",
            "{% set ns.x = ns.x * 100 %}",
            "{% set ns.x = ns.x | replace('x', ns.x) %}",
            "{% set ns.x = ns.x.replace('x', 'xyx') %}",
            "{% set ns.x = ns.x.join([ns.x, ns.x, 'x']) %}",
            "{% set ns.x = [ns.x, ns.x] | join(ns.x) %}",
            "{% set ns.l = ns.l + [ns.x] + ns.l %}",
            "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}",
            "{% set ns.x = (ns.x | list | string) %}",
            "{% for a in range(999) %}{% set ns.l = ns.l + [(ns.x * 9999)[a:]] %}{% endfor %}",
            "{% set ns.x = ns %}",
        ] {
            let source = format!("{ns}{grow}{{% endfor %}}{{{{ ns.x }}}}{{{{ ns.l }}}}");
            let error = render(&source).expect_err(grow).to_string();
            assert!(
                ["builds more than 32 MiB", "too large"]
                    .iter()
                    .any(|reason| error.contains(reason)),
                "{grow}: {error}"
            );
        }
        let unrolled = "{% set x = x ~ x ~ 'xxxx' %}".repeat(80);
        assert!(render(&unrolled).is_err());
        let again = "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('xxxxxxxx') }}";
        assert!(render(again).is_err());
        let raw = format!(
            "{{% set a %}}{{% for i in range(9999) %}}{}{{% endfor %}}{{% endset %}}",
            "x".repeat(9999)
        );
        assert!(render(&raw).is_err());
        // Products of constants are not computed while compiling either.
        assert!(render(&"{{ ('x' * 99999999) ~ ('x' * 99999999) }}".repeat(99)).is_err());
    }

    #[test]
    fn a_long_conversation_stays_within_the_budget() {
        let source = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}\
                      {% set c = '<' + m['role'] + '>' + m['content'].strip() + '</>' %}\
                      {% if loop.first %}{% set c = bos_token + c %}{% endif %}{{ c }}{% endfor %}{{ ns.n }}";
        let messages: Vec<(&str, String)> =
            (0..1000).map(|_| ("user", "word ".repeat(300))).collect();
        let text = template(source)
            .and_then(|t| t.render(&messages))
            .expect("renders");
        assert!(text.starts_with("<bos><user>word word") && text.ends_with("</>1000"));
    }

    #[test]
    fn what_templates_have_no_need_of_is_refused_by_name() {
        for (source, name) in [
            ("{{ 'x' | indent(99999999) }}", "filter \"indent\""),
            ("{{ '%9999999999d' | format(1) }}", "filter \"format\""),
            ("{{ 'x'.format(1) }}", "method \"format\""),
            ("{{ lipsum(9) }}", "function \"lipsum\""),
            ("{% include 'x' %}", "statement"),
        ] {
            let error = template(source).expect_err(source).to_string();
            assert!(error.contains(name), "{error}");
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
