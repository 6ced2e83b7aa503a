//! Files of one JSON object a line, and what goes wrong with them.

use std::marker::PhantomData;
use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, bail};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::exit::usage;

/// One text, or a list of them.
pub(crate) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    /// A list either way.
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts(PhantomData))
    }
}

struct Texts<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Texts<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(text.into_deserializer()).map(OneOrMore::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        let list = Vec::deserialize(SeqAccessDeserializer::new(list));
        list.map(OneOrMore::More)
    }
}

/// Every object with the number of its line, from 1; blank lines are none.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    expected: &str,
) -> anyhow::Result<Vec<(usize, T)>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // Some editors begin a file with a mark of its byte order.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut objects = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let object = serde_json::from_str(line).map_err(|error| {
            // The line that it counts is the only one that it sees.
            let error = error
                .to_string()
                .replace(" at line 1 column ", " at column ");
            usage(format!("{}: {error}; {expected}", place(path, index + 1)))
        })?;
        objects.push((index + 1, object));
    }
    if objects.is_empty() {
        bail!(
            "{} has no question; write one JSON object a line",
            path.display()
        );
    }
    Ok(objects)
}

/// `questions.jsonl, line 3`.
pub(crate) fn place(path: &Path, number: usize) -> String {
    format!("{}, line {number}", path.display())
}
