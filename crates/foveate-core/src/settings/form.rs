//! What a setting's value may be: read from a flag's text or from JSON, and printed again.

use serde::Serialize;
use serde_json::Value as Json;

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing is said, or there is no such thing; `null` in JSON.
    None,
    /// Of a switch.
    Switch(bool),
    /// A whole number.
    Count(u64),
    /// Any number.
    Number(f64),
    /// A name or a text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

impl Value {
    /// The count; 0 for anything else.
    pub fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            _ => 0,
        }
    }

    /// The count in memory's size.
    pub fn size(&self) -> usize {
        usize::try_from(self.count()).unwrap_or(usize::MAX)
    }

    /// The number; not a number for anything else.
    pub fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            _ => f64::NAN,
        }
    }

    /// The text; empty for anything else.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The texts; none for anything else.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// Whether a switch is on.
    pub fn is_on(&self) -> bool {
        *self == Self::Switch(true)
    }
}

/// `kind => how a value of it is made`.
macro_rules! made_from {
    ($($kind:ty => $made:expr;)+) => {
        $(impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                let made: fn($kind) -> Self = $made;
                made(value)
            }
        })+
    };
}

made_from! {
    bool => Self::Switch;
    u64 => Self::Count;
    usize => |count| Self::Count(count as u64);
    f64 => Self::Number;
    String => Self::Text;
    &str => |text| Self::Text(text.to_owned());
    Vec<String> => Self::Texts;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// A name that can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Possible {
    /// As it is written.
    pub name: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// Another name for it; empty for none.
    pub alias: &'static str,
}

/// What the value of a setting may be.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// On, or off.
    Switch,
    /// A whole number from this one on.
    Count(u64),
    /// A number.
    Number,
    /// Any text.
    Text,
    /// Several texts: the flag is repeated, or its text is divided at the delimiter.
    Texts {
        /// What divides the texts of one flag.
        delimiter: Option<char>,
    },
    /// One of these names.
    OneOf(fn() -> Vec<Possible>),
    /// Text of a form of its own, turned into how it is usually written.
    Written(fn(&str) -> Result<String, String>),
}

impl Form {
    /// The names to choose from; none where there is more to say.
    pub fn choices(self) -> Vec<Possible> {
        match self {
            Self::OneOf(choices) => choices(),
            _ => Vec::new(),
        }
    }

    /// Reads the text of a flag; the error is what was expected, and what was got.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let number = |form: Self| form.misfit(&format!("{text:?}"));
        match self {
            Self::Switch => match text {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err(self.misfit(&format!("{text:?}"))),
            },
            Self::Count(from) => match text.parse::<u64>() {
                Ok(count) if count >= from => Ok(Value::Count(count)),
                _ => Err(number(self)),
            },
            Self::Number => text.parse().map(Value::Number).map_err(|_| number(self)),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Texts { delimiter } => Ok(Value::Texts(match delimiter {
                Some(delimiter) => text.split(delimiter).map(str::to_owned).collect(),
                None => vec![text.to_owned()],
            })),
            Self::OneOf(choices) => {
                let named = |choice: &&Possible| {
                    !text.is_empty() && [choice.name, choice.alias].contains(&text)
                };
                let choices = choices();
                let chosen = choices.iter().find(named);
                chosen.map(|choice| choice.name.into()).ok_or_else(|| {
                    let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
                    format!(
                        "expected one of the possible values {}, got {text:?}",
                        names.join(", ")
                    )
                })
            }
            Self::Written(canonical) => canonical(text).map(Value::Text),
        }
    }

    /// Reads a value of JSON that is not null; the error is what was expected, and what was got.
    pub fn read(self, json: &Json) -> Result<Value, String> {
        let misfit = || self.misfit(&json.to_string());
        match self {
            Self::Switch => json.as_bool().map(Value::Switch).ok_or_else(misfit),
            Self::Count(from) => {
                let count = json.as_u64().filter(|count| *count >= from);
                count.map(Value::Count).ok_or_else(misfit)
            }
            Self::Number => json.as_f64().map(Value::Number).ok_or_else(misfit),
            Self::Text => json.as_str().map(Value::from).ok_or_else(misfit),
            Self::Texts { .. } => match json {
                Json::String(text) => Ok(Value::Texts(vec![text.clone()])),
                Json::Array(texts) => {
                    let text = |one: &Json| one.as_str().map(str::to_owned);
                    let texts: Option<Vec<String>> = texts.iter().map(text).collect();
                    texts.map(Value::Texts).ok_or_else(misfit)
                }
                _ => Err(misfit()),
            },
            Self::OneOf(_) | Self::Written(_) => self.parse(json.as_str().ok_or_else(misfit)?),
        }
    }

    fn misfit(self, got: &str) -> String {
        let expected = match self {
            Self::Switch => "true or false",
            Self::Count(0) => "a whole number from 0 on",
            Self::Count(_) => "a whole number from 1 on",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Texts { .. } => "a text or a list of texts",
            Self::OneOf(_) | Self::Written(_) => "a name as a text",
        };
        format!("expected {expected}, got {got}")
    }
}
