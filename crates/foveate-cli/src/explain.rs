//! `--explain`: every setting of a run with where it comes from.

use foveate_core::{Explained, ModelCard, Options, Settings, Value};
use serde_json::json;

use foveate_lab::table::{listing, row};

/// What `--explain` prints.
pub(crate) struct Explanation {
    model: String,
    family: &'static str,
    settings: Vec<Explained>,
}

impl Explanation {
    /// Explains `options`, to which `settings` resolve for a model.
    pub(crate) fn new(
        model: &str,
        card: &ModelCard,
        settings: &Settings,
        options: &Options,
    ) -> foveate_core::Result<Self> {
        Ok(Self {
            model: model.to_owned(),
            family: card.family,
            settings: settings.explain(options, card)?,
        })
    }

    /// A line a setting, for people.
    pub(crate) fn text(&self) -> String {
        let mut table = listing();
        table.set_header(["setting", "value", "from"]);
        table.add_row(row(["model".into(), self.model.clone(), String::new()]));
        table.add_row(row([
            "family".into(),
            self.family.into(),
            "the model's config".into(),
        ]));
        for explained in &self.settings {
            let value = match &explained.value {
                Value::None => "none".into(),
                Value::Text(text) => text.clone(),
                other => json!(other).to_string(),
            };
            let name = explained.setting.name.to_owned();
            table.add_row(row([name, value, explained.origin.into()]));
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// One object for machines.
    pub(crate) fn object(&self) -> serde_json::Value {
        let settings = self.settings.iter().map(|explained| {
            let entry = json!({"value": explained.value, "origin": explained.origin});
            (explained.setting.name.to_owned(), entry)
        });
        let preset = self.settings.iter().find(|it| it.setting.name == "preset");
        json!({
            "model": self.model,
            "family": self.family,
            "preset": preset.map(|preset| &preset.value),
            "settings": settings.collect::<serde_json::Map<_, _>>(),
        })
    }
}
