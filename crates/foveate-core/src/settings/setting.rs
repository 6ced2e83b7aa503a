//! The table of settings: a row each, from which flags, sweeps, presets, JSON and their page are made.

use std::sync::LazyLock;

use super::form::{Form, Value};
use super::{answer, denoise};
use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::settings::Options;
use crate::{cache, prune};

/// One thing that a request may say about how it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As the flag, without dashes: `cfg-scale`.
    pub name: &'static str,
    /// Where it stands in JSON: `denoise.cfg_scale`.
    pub key: &'static str,
    /// What it is about.
    pub group: Group,
    /// What it does, in a line.
    pub help: &'static str,
    /// What stands for its value in help texts.
    pub value_name: &'static str,
    /// What its value may be.
    pub form: Form,
    /// The value of every model, if there is one.
    pub default: Option<&'static str>,
    /// Names of settings that say the same in other words, or the opposite.
    pub excludes: &'static [&'static str],
    /// Whether a checkpoint brings its own value.
    pub(crate) in_checkpoint: fn(&ModelCard) -> bool,
    /// Its value in resolved options.
    pub get: fn(&Options) -> Value,
    /// Puts a value of its form into options.
    pub(crate) set: fn(&mut Options, &Value) -> Result<()>,
}

impl Setting {
    /// What most rows have in common.
    pub(crate) const ROW: Self = Self {
        name: "",
        key: "",
        group: Group::Denoising,
        help: "",
        value_name: "",
        form: Form::Text,
        default: None,
        excludes: &[],
        in_checkpoint: |_| false,
        get: |_| Value::None,
        set: |_, _| Ok(()),
    };

    /// The setting of a flag's name.
    pub fn named(name: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.name == name)
    }

    /// Whether it and `other` cannot both be said.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.excludes.contains(&other.name) || other.excludes.contains(&self.name)
    }

    /// Whether a list of its values can be compared: commas divide the values, and templates hold commas.
    pub fn is_sweepable(&self) -> bool {
        !matches!(self.form, Form::Switch) && self.group != Group::Template
    }

    /// The variable of the environment that says it too: `FOVEATE_CFG_SCALE`.
    pub fn variable(&self) -> &'static str {
        static NAMES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
            let name = |name: &str| format!("FOVEATE_{}", name.to_uppercase().replace('-', "_"));
            settings()
                .map(|setting| (setting.name, name(setting.name)))
                .collect()
        });
        let known = NAMES.iter().find(|(name, _)| *name == self.name);
        known.map_or("", |(_, variable)| variable)
    }

    /// Reads the text of its flag.
    pub fn parse(&self, text: &str) -> Result<Value> {
        let value = self.form.parse(text);
        value.map_err(|reason| Error::request(self.name, reason))
    }
}

/// What settings are about: the heading of their flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// How an answer is denoised.
    Denoising,
    /// What is kept between denoising steps.
    Cache,
    /// Text of the answer that is given.
    Template,
    /// Which visual tokens leave, and when.
    Pruning,
}

impl Group {
    /// The heading in help texts.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Denoising => "Generation",
            Self::Cache => "Cache",
            Self::Template => "Template",
            Self::Pruning => "Visual-token pruning",
        }
    }
}

/// Every setting, in the order of the help texts.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    [denoise::ROWS, cache::ROWS, answer::ROWS, prune::ROWS]
        .into_iter()
        .flatten()
}

/// A closed list of strategies: an enum whose variants each stand for the row in their own file.
macro_rules! strategies {
    (
        $(#[$list_doc:meta])* $list:ident;
        $(#[$doc:meta])* $name:ident: $row:ty {
            $($(#[$variant_doc:meta])* $variant:ident = $value:expr,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        $(#[$list_doc])*
        pub const $list: [(&str, $name); [$(stringify!($variant)),+].len()] =
            [$(($value.name, $name::$variant)),+];

        impl $name {
            pub(crate) fn row(self) -> &'static $row {
                match self {
                    $(Self::$variant => &$value,)+
                }
            }

            /// The name users type.
            pub fn name(self) -> &'static str {
                self.row().name
            }

            /// What it does, in a line.
            pub fn help(self) -> &'static str {
                self.row().help
            }

            /// The strategy of a name.
            pub fn named(name: &str) -> Option<Self> {
                let known = $list.iter().find(|(known, _)| *known == name);
                known.map(|(_, strategy)| *strategy)
            }

            /// Every name that can be given.
            pub(crate) fn choices() -> Vec<crate::settings::Possible> {
                let choice = |(name, strategy): (&'static str, Self)| crate::settings::Possible {
                    name,
                    help: strategy.help(),
                    alias: "",
                };
                $list.into_iter().map(choice).collect()
            }
        }

        impl crate::settings::Field for $name {
            fn value(&self) -> crate::settings::Value {
                self.name().into()
            }

            fn read(value: &crate::settings::Value) -> crate::error::Result<Self> {
                let unknown = || crate::error::Error::request("settings", "no such strategy");
                Self::named(value.text()).ok_or_else(unknown)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
pub(crate) use strategies;
