//! `--explain`: every setting of a run with where it comes from.

use foveate_core::ModelCard;
use serde_json::{Value, json};

use super::{Origin, Origins};
use crate::table::{listing, row};

/// What `--explain` prints.
pub(crate) struct Explanation {
    model: String,
    family: &'static str,
    preset: Option<String>,
    settings: Vec<Setting>,
}

struct Setting {
    /// As in the JSON of a run: `gen_length`, `prune.keep`.
    name: String,
    value: Value,
    origin: &'static str,
}

/// Explains `options`, the object that `run --json` reports.
pub(crate) fn explain(
    model: &str,
    card: &ModelCard,
    preset: Option<&str>,
    origins: &Origins,
    options: &Value,
) -> Explanation {
    let mut settings = Vec::new();
    for (key, value) in options.as_object().into_iter().flatten() {
        let Some(parts) = value.as_object() else {
            let origin = origin(key, card, origins);
            settings.push(Setting {
                name: key.clone(),
                value: value.clone(),
                origin,
            });
            continue;
        };
        for (part, value) in parts {
            // `prune.layer` is --prune-layer, `prune.keep` is --keep, `prune.method` is --prune.
            let ids = [format!("{key}_{part}"), part.clone()];
            let given = ids.iter().find_map(|id| origins.get(id));
            let given = given.or_else(|| origins.get(key).filter(|_| part == "method"));
            let origin = match given {
                Some(origin) => named(*origin),
                None if part == "method" => "default",
                None => "the method's default",
            };
            let name = format!("{key}.{part}");
            settings.push(Setting {
                name,
                value: value.clone(),
                origin,
            });
        }
    }
    Explanation {
        model: model.to_owned(),
        family: card.family,
        preset: preset.map(str::to_owned),
        settings,
    }
}

impl Explanation {
    /// A table for people.
    pub(crate) fn text(&self) -> String {
        let mut table = listing();
        table.set_header(["setting", "value", "from"]);
        table.add_row(row(["model".into(), self.model.clone(), String::new()]));
        table.add_row(row([
            "family".into(),
            self.family.into(),
            "the model's config".into(),
        ]));
        if let Some(preset) = &self.preset {
            table.add_row(row([
                "preset".into(),
                preset.clone(),
                named(Origin::Flag).into(),
            ]));
        }
        for setting in &self.settings {
            let value = match &setting.value {
                Value::Null => "none".into(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let name = setting.name.replace('_', "-");
            table.add_row(row([name, value, setting.origin.into()]));
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// One object for machines.
    pub(crate) fn object(&self) -> Value {
        let settings = self.settings.iter().map(|setting| {
            let entry = json!({"value": setting.value, "origin": setting.origin});
            (setting.name.clone(), entry)
        });
        json!({
            "model": self.model,
            "family": self.family,
            "preset": self.preset,
            "settings": settings.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn origin(id: &str, card: &ModelCard, origins: &Origins) -> &'static str {
    if let Some(origin) = origins.get(id) {
        return named(*origin);
    }
    let sized = ["gen_length", "block_length"]
        .iter()
        .any(|id| origins.contains_key(*id));
    if sized && ["block_length", "steps"].contains(&id) {
        return "derived from the length";
    }
    let defaults = &card.defaults;
    let in_file = match id {
        "gen_length" => defaults.gen_length.is_some(),
        "block_length" => defaults.block_length.is_some(),
        "steps" => defaults.steps.is_some(),
        "temperature" => defaults.temperature.is_some(),
        "top_k" => defaults.top_k.is_some() && card.usual.top_k.is_some(),
        "stop" => defaults.stop.is_some(),
        _ => false,
    };
    if in_file {
        "generation_config.json"
    } else {
        "default"
    }
}

fn named(origin: Origin) -> &'static str {
    match origin {
        Origin::Flag => "flag",
        Origin::Variable => "variable",
        Origin::Preset => "preset",
    }
}
