//! Private characters stand in for images, and for what could be mistaken for the template's tokens.
//!
//! In text from outside, every character with which a special token begins or ends is replaced
//! before the template is rendered. What the template itself adds is then recognisable, whatever
//! it does with the text, and the text is restored before it is encoded.

use std::collections::HashSet;

use crate::error::{Error, Result};

/// Stand-ins that occur in none of the texts.
pub(super) struct Disguise {
    /// Marks the place of an image.
    pub(super) image: char,
    /// A character that a special token begins or ends with, and its stand-in.
    pairs: Vec<(char, char)>,
}

impl Disguise {
    /// Finds a stand-in for images and for each of `ends`.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>, ends: Vec<char>) -> Result<Self> {
        let used: HashSet<char> = texts
            .flat_map(str::chars)
            .filter(|c| PRIVATE.contains(c))
            .collect();
        let mut free = PRIVATE.filter(|c| !used.contains(c));
        let mut next = || {
            let reason = "the text uses up all private-use characters";
            free.next()
                .ok_or_else(|| Error::request("messages", reason))
        };
        let image = next()?;
        let pairs = ends
            .into_iter()
            .map(|end| Ok((end, next()?)))
            .collect::<Result<_>>()?;
        Ok(Self { image, pairs })
    }

    /// Replaces what could be mistaken.
    pub(super) fn hide(&self, text: &str) -> String {
        let alias = |c| {
            self.pairs
                .iter()
                .find(|pair| pair.0 == c)
                .map(|pair| pair.1)
        };
        text.chars().map(|c| alias(c).unwrap_or(c)).collect()
    }

    /// Restores what `hide` replaced.
    pub(super) fn reveal(&self, text: &str) -> String {
        let original = |c| {
            self.pairs
                .iter()
                .find(|pair| pair.1 == c)
                .map(|pair| pair.0)
        };
        text.chars().map(|c| original(c).unwrap_or(c)).collect()
    }
}

/// Unicode's supplementary private-use area A: no character of any language.
const PRIVATE: std::ops::RangeInclusive<char> = '\u{F0000}'..='\u{FFFFD}';
