//! Reads one JSON object key by key, so that every error names the file and the key.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// No published size comes near; products of two still fit any integer used.
const MAX_COUNT: usize = 1_000_000;

/// A JSON object and the file it came from.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    file: &'a Path,
}

/// Parses a file that must hold JSON.
pub(super) fn parse(json: &[u8], file: &Path) -> Result<Value> {
    serde_json::from_slice(json)
        .map_err(|error| Error::malformed(file, format!("not valid JSON: {error}")))
}

impl<'a> Fields<'a> {
    pub(super) fn new(value: &'a Value, file: &'a Path) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, file }),
            _ => Err(Error::malformed(file, "expected a JSON object")),
        }
    }

    /// The value, unless absent or null.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The object under a key, read in the same way.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self {
                map,
                file: self.file,
            })),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<usize> {
        let none = || self.error(key, "expected a number, got nothing");
        self.optional_count(key)?.ok_or_else(none)
    }

    pub(super) fn count_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.optional_count(key)?.unwrap_or(default))
    }

    pub(super) fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        match count.filter(|count| (1..=MAX_COUNT).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(self.wrong(key, &format!("a whole number from 1 to {MAX_COUNT}"), value)),
        }
    }

    pub(super) fn positive(&self, key: &str) -> Result<f64> {
        let none = || self.error(key, "expected a number, got nothing");
        let number = self.number(key)?.ok_or_else(none)?;
        // Also as the f32 that the arithmetic uses.
        if (number as f32) > 0.0 && (number as f32).is_finite() {
            Ok(number)
        } else {
            Err(self.error(key, format!("expected a positive number, got {number}")))
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        value
            .as_f64()
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a number", value))
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        value
            .as_bool()
            .ok_or_else(|| self.wrong(key, "true or false", value))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = value.as_str().map(|text| Some(text.to_owned()));
        text.ok_or_else(|| self.wrong(key, "a text", value))
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let texts = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
        });
        texts
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a list of texts", value))
    }

    /// Absent, null, or the one value that is implemented.
    pub(super) fn must_be(&self, key: &str, only: &Value) -> Result<()> {
        match self.value(key) {
            Some(value) if value != only => Err(self.wrong(key, &only.to_string(), value)),
            _ => Ok(()),
        }
    }

    /// Absent or null.
    pub(super) fn must_be_absent(&self, key: &str) -> Result<()> {
        self.must_be(key, &Value::Null)
    }

    /// A size computed from `key` is bounded as one that was written.
    pub(super) fn at_most(&self, key: &str, size: usize) -> Result<()> {
        if size <= MAX_COUNT {
            return Ok(());
        }
        Err(self.error(
            key,
            format!("makes a width of {size}, the limit is {MAX_COUNT}"),
        ))
    }

    pub(super) fn must_divide(
        &self,
        key: &str,
        divisor: usize,
        of_key: &str,
        of: usize,
    ) -> Result<()> {
        if of.is_multiple_of(divisor) {
            return Ok(());
        }
        Err(self.error(
            key,
            format!("expected a divisor of {of_key} {of}, got {divisor}"),
        ))
    }

    pub(super) fn error(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        Error::malformed(self.file, format!("{key}: {reason}"))
    }

    fn wrong(&self, key: &str, expected: &str, got: &Value) -> Error {
        let got: String = got.to_string().chars().take(MAX_SHOWN_CHARS).collect();
        self.error(
            key,
            format!("expected {expected}, got {got}; other values are not supported"),
        )
    }
}

/// Enough of a wrong value to recognise it.
const MAX_SHOWN_CHARS: usize = 80;
