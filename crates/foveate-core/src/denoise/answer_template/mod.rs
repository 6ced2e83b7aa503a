//! Answer templates: literal text that is pinned and slots that are denoised around it.

mod draft;
mod parse;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::tokenizer::{SpecialText, Tokenizer};
pub use draft::{Draft, Holes};
use parse::{Part, refused};

/// A template in a model's tokens. Its canvas is as long as its text and slots together.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerTemplate {
    text: String,
    /// Options that stand beside the text.
    given: Vec<String>,
    /// Masks in the slots.
    ids: Vec<u32>,
    pieces: Vec<Piece>,
    /// Fills what is left of a slot whose content ended early.
    filler: Option<u32>,
}

/// A stretch of a template's canvas.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Response positions.
    pub(crate) at: Range<usize>,
    pub(crate) kind: Kind,
}

/// What a piece holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Pinned: never committed, never revoked.
    Text,
    /// Denoised token by token.
    Slot,
    /// The ids of each option; one is committed as a whole.
    Choice(Vec<Vec<u32>>),
}

impl AnswerTemplate {
    /// Checks how a template is written, before there is a tokenizer. A template that is not given is
    /// one choice among `choices`.
    pub fn check(text: Option<&str>, choices: &[String]) -> Result<()> {
        parse::parse(text.unwrap_or("{choice}"), choices).map(drop)
    }

    /// Turns text and options into ids; no part of them becomes a special token.
    pub fn new(
        text: Option<&str>,
        choices: &[String],
        tokenizer: &Tokenizer,
        card: &ModelCard,
    ) -> Result<Self> {
        let text = text.unwrap_or("{choice}");
        let mut template = Self {
            text: text.to_owned(),
            given: choices.to_vec(),
            ids: Vec::new(),
            pieces: Vec::new(),
            filler: card.end.first().copied(),
        };
        for part in parse::parse(text, choices)? {
            let encode = |text: &str| encode(text, tokenizer, card.mask);
            let (ids, kind) = match part {
                Part::Text(text) => (encode(&text)?, Kind::Text),
                Part::Slot(tokens) => {
                    template.fits(tokens, card.max_rows)?;
                    (vec![card.mask; tokens], Kind::Slot)
                }
                Part::Choice(options) => {
                    let options = template.options(&options, encode)?;
                    let longest = options.iter().map(Vec::len).max().unwrap_or(0);
                    (vec![card.mask; longest], Kind::Choice(options))
                }
            };
            template.fits(ids.len(), card.max_rows)?;
            let start = template.ids.len();
            template.ids.extend(ids);
            let at = start..template.ids.len();
            template.pieces.push(Piece { at, kind });
        }
        Ok(template)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The options that were given beside the text.
    pub fn given(&self) -> &[String] {
        &self.given
    }

    /// Tokens of the whole answer: the length of its canvas.
    #[expect(clippy::len_without_is_empty, reason = "a template has a slot")]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Tokens that are denoised one by one.
    pub fn open_tokens(&self) -> usize {
        let slots = self.pieces.iter().filter(|p| p.kind == Kind::Slot);
        slots.map(|p| p.at.len()).sum()
    }

    /// The canvas before the first step.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn filler(&self) -> Option<u32> {
        self.filler
    }

    /// Whether a position is denoised token by token.
    pub(crate) fn is_open(&self, position: usize) -> bool {
        let holds = |p: &&Piece| p.at.contains(&position);
        let piece = self.pieces.iter().find(holds);
        piece.is_some_and(|p| p.kind == Kind::Slot)
    }

    /// The choices in order: where they are and their options.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (&Range<usize>, &[Vec<u32>])> {
        self.pieces.iter().filter_map(|piece| match &piece.kind {
            Kind::Choice(options) => Some((&piece.at, options.as_slice())),
            Kind::Text | Kind::Slot => None,
        })
    }

    /// Refuses a canvas or blocks that do not suit the template.
    pub(crate) fn check_lengths(&self, gen_length: usize, block_length: usize) -> Result<()> {
        let tokens = self.len();
        if gen_length != tokens {
            return Err(Error::request(
                "gen-length",
                format!("expected {tokens}, the tokens of the template, got {gen_length}"),
            ));
        }
        let cut = |at: &Range<usize>| at.start / block_length != (at.end - 1) / block_length;
        match self.choices().find(|(at, _)| cut(at)) {
            Some((at, _)) => Err(Error::request(
                "block-length",
                format!(
                    "blocks of {block_length} cut the choice at tokens {} to {}; use one block of {tokens}",
                    at.start + 1,
                    at.end
                ),
            )),
            None => Ok(()),
        }
    }

    /// Refuses `more` tokens that the model could not read.
    fn fits(&self, more: usize, most: usize) -> Result<()> {
        match self.ids.len().checked_add(more) {
            Some(tokens) if tokens <= most => Ok(()),
            _ => Err(refused(format!(
                "expected at most {most} tokens, the rows that the model reads, got more; \
                 use shorter slots"
            ))),
        }
    }

    fn options(
        &self,
        options: &[String],
        encode: impl Fn(&str) -> Result<Vec<u32>>,
    ) -> Result<Vec<Vec<u32>>> {
        let bad = |reason: String| Err(Error::request("choices", reason));
        let mut all: Vec<Vec<u32>> = Vec::new();
        for option in options {
            let ids = encode(option)?;
            if ids.is_empty() {
                return bad(format!("expected text, got {option:?}, which has no token"));
            }
            if all.contains(&ids) {
                return bad(format!("{option:?} is there twice"));
            }
            all.push(ids);
        }
        let uneven = all.iter().any(|ids| ids.len() != all[0].len());
        if uneven && self.filler.is_none() {
            return bad(
                "this model has no end token to fill up shorter ones; use options of as many \
                        tokens each"
                    .into(),
            );
        }
        Ok(all)
    }
}

/// Ids of literal text, which decode to it again.
fn encode(text: &str, tokenizer: &Tokenizer, mask: u32) -> Result<Vec<u32>> {
    let name = tokenizer.decode(&[mask], SpecialText::Keep)?;
    if !name.is_empty() && text.contains(&name) {
        return Err(refused("the mask token cannot be given as text"));
    }
    let ids = tokenizer.encode_user(text)?;
    let back = tokenizer.decode(&ids, SpecialText::Keep)?;
    if back != text {
        return Err(refused(format!(
            "this model's tokens cannot spell {text:?}, only {back:?}; use other text"
        )));
    }
    Ok(ids)
}
