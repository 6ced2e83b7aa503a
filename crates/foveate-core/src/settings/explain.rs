//! Every setting of a request with where it comes from.

use super::{Group, Options, Setting, Settings, Value, settings};
use crate::error::Result;
use crate::models::ModelCard;

/// A line of `--explain`.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Which setting.
    pub setting: &'static Setting,
    /// Its value in the options.
    pub value: Value,
    /// Who chose it, in words.
    pub origin: &'static str,
}

impl Settings {
    /// Every setting of `options`, to which these settings resolve for `card`.
    pub fn explain(&self, options: &Options, card: &ModelCard) -> Result<Vec<Explained>> {
        let all = self.with_preset(card.family)?;
        let explained = |setting: &'static Setting| {
            let value = match (setting.get)(options) {
                Value::None => all
                    .get(setting.name)
                    .map_or(Value::None, |said| said.value.clone()),
                value => value,
            };
            let origin = all.origin(setting, &value, card);
            Explained {
                setting,
                value,
                origin,
            }
        };
        Ok(settings().map(explained).collect())
    }

    fn origin(&self, setting: &Setting, value: &Value, card: &ModelCard) -> &'static str {
        if let Some(said) = self.get(setting.name) {
            return said.origin.name();
        }
        let fitted = ["template", "choices"].iter().any(|name| self.says(name));
        let cut = ["block-length", "steps"].contains(&setting.name);
        if fitted && (cut || setting.name == "gen-length") {
            return "derived from the template";
        }
        let sized = ["gen-length", "block-length"]
            .iter()
            .any(|name| self.says(name));
        if sized && cut {
            return "derived from the length";
        }
        if (setting.in_checkpoint)(card) {
            return "generation_config.json";
        }
        let strategy = match setting.group {
            Group::Pruning => "prune",
            Group::Cache => "cache",
            Group::Denoising | Group::Template => return "default",
        };
        if setting.name == strategy || *value == Value::None {
            "default"
        } else {
            "the method's default"
        }
    }
}
