//! Settings: what a request may say about how it is answered, in one table that everything else is made from.

mod answer;
mod denoise;
mod explain;
mod field;
mod form;
mod json;
mod preset;
mod resolve;
mod setting;

use std::collections::BTreeMap;

pub use denoise::{Options, Recorded};
pub use explain::Explained;
pub(crate) use field::{Field, access, names, rows};
pub use form::{Form, Possible, Value};
pub use preset::{PRESETS, Preset};
pub(crate) use setting::strategies;
pub use setting::{Group, Setting, settings};

use crate::error::{Error, Result};

/// Where a setting comes from, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The preset.
    Preset,
    /// A file of settings, or the JSON of a request.
    File,
    /// A variable of the environment.
    Variable,
    /// The command line.
    Flag,
    /// A list of values that are compared.
    Sweep,
}

impl Origin {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preset => "preset",
            Self::File => "file",
            Self::Variable => "variable",
            Self::Flag => "flag",
            Self::Sweep => "sweep",
        }
    }
}

/// A value that somebody chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which setting.
    pub setting: &'static Setting,
    /// Its value.
    pub value: Value,
    /// Who chose it.
    pub origin: Origin,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What somebody said about how to answer. Everything else comes from the model, see [`Settings::resolve`].
///
/// ```
/// use foveate_core::{Origin, Settings};
///
/// let mut settings = Settings::default();
/// settings.set("prune", "redvtp", Origin::Flag)?;
/// settings.set("keep", "0.25", Origin::Flag)?;
/// let json = serde_json::json!({"prune": {"method": "redvtp", "keep": 0.25}});
/// assert_eq!(settings, Settings::from_json(&json, Origin::Flag)?);
/// # Ok::<(), foveate_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    said: BTreeMap<&'static str, Said>,
}

impl Settings {
    /// Says a setting by the name and the text of its flag.
    pub fn set(&mut self, name: &str, text: &str, origin: Origin) -> Result<()> {
        let setting = Setting::named(name)
            .ok_or_else(|| Error::request("settings", format!("no setting is named {name}")))?;
        self.put(setting, setting.parse(text)?, origin);
        Ok(())
    }

    /// Says a setting, in place of what was said about it.
    pub fn put(&mut self, setting: &'static Setting, value: Value, origin: Origin) {
        let said = Said {
            setting,
            value,
            origin,
        };
        self.said.insert(setting.name, said);
    }

    /// Unsays a setting.
    pub fn forget(&mut self, name: &str) {
        self.said.remove(name);
    }

    /// What was said about a setting.
    pub fn get(&self, name: &str) -> Option<&Said> {
        self.said.get(name)
    }

    /// Whether anything was said about a setting.
    pub fn says(&self, name: &str) -> bool {
        self.said.contains_key(name)
    }

    /// Everything that was said, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Said> {
        self.said.values()
    }

    /// These settings, and those of `weaker` that they do not speak of, nor of what says the same.
    #[must_use]
    pub fn over(mut self, weaker: Self) -> Self {
        let heard = |said: &Said| {
            let known = self.iter().map(|known| known.setting);
            let mut known =
                known.filter(|known| *known == said.setting || known.conflicts_with(said.setting));
            known.next().is_none()
        };
        let heard: Vec<Said> = weaker.said.into_values().filter(heard).collect();
        let named = heard.into_iter().map(|said| (said.setting.name, said));
        self.said.extend(named);
        self
    }
}
