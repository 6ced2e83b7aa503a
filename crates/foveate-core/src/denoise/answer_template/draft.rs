//! Drafts: the beginning of an answer with holes, of which only the holes and what follows are filled.

use super::encode;
use super::parse::{Part, split};
use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::tokenizer::Tokenizer;

/// The beginning of an answer, in a model's tokens. What follows it is answered as always.
///
/// Source: `LaViDa`, `draft_tokens` of `generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    text: String,
    holes: Holes,
    /// Masks in the holes.
    ids: Vec<u32>,
}

/// What follows each hole of a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// Nothing.
    #[default]
    Plain,
    /// The token by which `LaViDa`'s infilling model was taught where a hole ends.
    Marked,
}

/// `predict_fim.py` of `LaViDa`.
const HOLE_END: &str = "<|reserved_token_1|>";

impl Draft {
    /// Turns text into ids; a hole is written `{slot:8}`, a literal brace twice. No part of the text
    /// becomes a special token.
    pub fn new(text: &str, holes: Holes, tokenizer: &Tokenizer, card: &ModelCard) -> Result<Self> {
        let marker = match holes {
            Holes::Plain => None,
            Holes::Marked => Some(tokenizer.id(HOLE_END).ok_or_else(|| {
                let reason = format!("this model's tokenizer has no {HOLE_END}; leave it out");
                Error::request("fim", reason)
            })?),
        };
        let mut tokens = Vec::new();
        let (parts, _) = split(text, &[]).map_err(of_draft)?;
        for part in parts {
            match part {
                Part::Text(text) => {
                    let ids = encode(&text, tokenizer, card.mask).map_err(of_draft)?;
                    tokens.extend(ids.into_iter().map(Some));
                }
                Part::Slot(length) if length <= card.max_rows.saturating_sub(tokens.len()) => {
                    tokens.extend(std::iter::repeat_n(None, length));
                    tokens.extend(marker.map(Some));
                }
                Part::Slot(length) => {
                    return Err(refused(format!(
                        "expected at most {} tokens, the rows that the model reads, got a hole of \
                         {length}; use shorter holes",
                        card.max_rows
                    )));
                }
                Part::Choice(_) => {
                    return Err(refused(
                        "expected holes such as {slot:8}; a {choice} belongs to a template",
                    ));
                }
            }
        }
        Self::of(&tokens, card).map(|draft| Self {
            text: text.to_owned(),
            holes,
            ..draft
        })
    }

    /// A draft of ids, a hole for each `None`.
    pub fn of(tokens: &[Option<u32>], card: &ModelCard) -> Result<Self> {
        if tokens.is_empty() {
            return Err(refused(
                "expected text or holes such as {slot:8}, got nothing",
            ));
        }
        let id = |token: &Option<u32>| match *token {
            None => Ok(card.mask),
            Some(id) if id == card.mask => Err(refused(
                "the mask token cannot be given; a hole is written {slot:8}",
            )),
            Some(id) if id as usize >= card.decoder.vocabulary => Err(refused(format!(
                "expected ids below {}, got {id}",
                card.decoder.vocabulary
            ))),
            Some(id) => Ok(id),
        };
        Ok(Self {
            text: String::new(),
            holes: Holes::Plain,
            ids: tokens.iter().map(id).collect::<Result<_>>()?,
        })
    }

    /// As it was written; empty for a draft of ids.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What follows each hole.
    pub fn holes(&self) -> Holes {
        self.holes
    }

    /// Tokens, holes included.
    #[expect(clippy::len_without_is_empty, reason = "an empty draft is refused")]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The whole canvas before the first step.
    pub(crate) fn canvas(&self, length: usize, mask: u32) -> Vec<u32> {
        let mut ids = self.ids.clone();
        ids.resize(length, mask);
        ids
    }

    /// Refuses an answer that the draft does not fit into.
    pub(crate) fn check_length(&self, gen_length: usize) -> Result<()> {
        let tokens = self.len();
        if tokens <= gen_length {
            return Ok(());
        }
        Err(refused(format!(
            "expected at most {gen_length} tokens (gen-length), got {tokens}; use a longer answer"
        )))
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::request("draft", reason)
}

/// The same error, of the draft.
fn of_draft(error: Error) -> Error {
    match error {
        Error::Request { reason, .. } => refused(reason),
        other => other,
    }
}
