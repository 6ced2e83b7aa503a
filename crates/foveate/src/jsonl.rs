//! Files of one JSON object a line, and what goes wrong with them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::exit::usage;

/// One thing, or a list of them.
#[derive(serde::Deserialize)]
#[serde(untagged)]
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

/// Every object with the number of its line, from 1; blank lines are none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<Vec<(usize, T)>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut objects = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let object = serde_json::from_str(line)
            .map_err(|error| usage(format!("{}: {error}; {expected}", place(path, index + 1))))?;
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
