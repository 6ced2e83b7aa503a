//! Text to ids and back; only the template's own text can become a special id.
//!
//! Special ids are looked up by name, never assumed. Text from a user is encoded with all special
//! tokens switched off: a prompt that spells out the mask or the end of turn gets ordinary tokens.

use std::path::Path;

use serde_json::Value;
use tokenizers::AddedToken;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::tokenizer_parts::tokenizer_json;

/// A model's tokenizer and the names in its `tokenizer_config.json`.
pub struct Tokenizer {
    /// Always with special tokens switched off.
    inner: tokenizers::Tokenizer,
    /// Longest first, so that the first match is the longest.
    specials: Vec<Special>,
    ids: SpecialIds,
    config: Value,
}

/// The ids that the engine itself needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a prompt.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of the conversation.
    pub eot: Option<u32>,
    /// Stands where nothing has been committed.
    pub mask: u32,
    /// Begins the name of a speaker.
    pub start_header: Option<u32>,
    /// Ends the name of a speaker.
    pub end_header: Option<u32>,
}

/// Whether decoded text shows special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialText {
    /// They appear by name.
    Keep,
    /// They are left out.
    Skip,
}

/// A token that only the template may write.
struct Special {
    content: String,
    id: u32,
    strips_left: bool,
    strips_right: bool,
}

/// A part of a text whose specials were found.
enum Piece<'a> {
    Special(u32),
    Text(&'a str),
}

impl Tokenizer {
    /// Opens `tokenizer.json`, or `vocab.json` and `merges.txt`, and, where there is one,
    /// `tokenizer_config.json`.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.read("tokenizer_config.json")?;
        let json = tokenizer_json(checkpoint, config.as_deref())?;
        Self::from_bytes(&json, config.as_deref(), &checkpoint.path())
    }

    /// Reads the two files; `folder` is for messages.
    pub fn from_bytes(json: &[u8], config: Option<&[u8]>, folder: &Path) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        let malformed = |error: tokenizers::Error| Error::malformed(&file, error.to_string());
        let config: Value = match config {
            Some(json) => serde_json::from_slice(json).map_err(|error| {
                Error::malformed(folder.join("tokenizer_config.json"), error.to_string())
            })?,
            None => Value::Null,
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(malformed)?;
        inner.with_truncation(None).map_err(malformed)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);

        let named = |configured: Option<&str>, names: &[&'static str]| {
            configured
                .into_iter()
                .chain(names.iter().copied())
                .find_map(|name| inner.token_to_id(name))
        };
        let Some(mask) = named(
            token_name(&config, "mask_token"),
            &["<|mdm_mask|>", "<|mask|>"],
        ) else {
            let reason = "no mask token (<|mdm_mask|>, <|mask|>, or mask_token in \
                          tokenizer_config.json); is this a diffusion model?";
            return Err(Error::malformed(file, reason));
        };
        let ids = SpecialIds {
            bos: named(
                token_name(&config, "bos_token"),
                &["<|startoftext|>", "<|beginoftext|>"],
            ),
            eos: named(token_name(&config, "eos_token"), &["<|endoftext|>"]),
            eot: named(None, &["<|eot_id|>", "<|im_end|>"]),
            mask,
            start_header: named(None, &["<|start_header_id|>", "<|im_start|>"]),
            end_header: named(None, &["<|end_header_id|>"]),
        };
        declare_special(&mut inner, ids).map_err(malformed)?;
        let specials =
            collect_specials(&inner).map_err(|reason| Error::malformed(&file, reason))?;
        Ok(Self {
            inner,
            specials,
            ids,
            config,
        })
    }

    /// Vocabulary with added tokens: the rows of embedding and head that are used.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a tokenizer without tokens has no mask either"
    )]
    pub fn len(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token by its exact name.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    /// The ids that the engine itself needs.
    pub fn special_ids(&self) -> SpecialIds {
        self.ids
    }

    /// The name of the token that begins a prompt, as `tokenizer_config.json` gives it.
    pub fn bos_token(&self) -> Option<&str> {
        token_name(&self.config, "bos_token")
    }

    /// The name of the token that ends a text.
    pub fn eos_token(&self) -> Option<&str> {
        token_name(&self.config, "eos_token")
    }

    /// Encodes trusted text: the names of special tokens become their ids, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_pieces(text, |piece| self.encode_user(piece))
    }

    /// Encodes text from a user: no part of it becomes a special id.
    pub fn encode_user(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::request("text", error.to_string()))?;
        let ids = encoding.get_ids();
        if ids
            .iter()
            .any(|id| self.specials.iter().any(|special| special.id == *id))
        {
            let reason = "contains text that this tokenizer can only encode as a special token";
            return Err(Error::request("text", reason));
        }
        Ok(ids.to_vec())
    }

    /// Splits at the special tokens that `text` names and encodes what lies between by `ordinary`.
    pub(crate) fn encode_pieces(
        &self,
        text: &str,
        ordinary: impl Fn(&str) -> Result<Vec<u32>>,
    ) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for piece in self.split(text) {
            match piece {
                Piece::Special(id) => ids.push(id),
                Piece::Text(text) => ids.extend(ordinary(text)?),
            }
        }
        Ok(ids)
    }

    /// The characters that special tokens begin or end with.
    pub(crate) fn special_ends(&self) -> Vec<char> {
        let ends = |special: &Special| {
            let content = special.content.chars();
            content.clone().next().into_iter().chain(content.last())
        };
        let mut ends: Vec<char> = self.specials.iter().flat_map(ends).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Ids back to text.
    pub fn decode(&self, ids: &[u32], special: SpecialText) -> Result<String> {
        let decoded = self.inner.decode(ids, special == SpecialText::Skip);
        decoded.map_err(|error| Error::request("text", error.to_string()))
    }

    fn split<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let (mut done, mut at) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(special) = self.specials.iter().find(|s| rest.starts_with(&s.content)) else {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let before = &text[done..at];
            let before = if special.strips_left {
                before.trim_end()
            } else {
                before
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            pieces.push(Piece::Special(special.id));
            let after = &rest[special.content.len()..];
            let after = if special.strips_right {
                after.trim_start()
            } else {
                after
            };
            at = text.len() - after.len();
            done = at;
        }
        if done < text.len() {
            pieces.push(Piece::Text(&text[done..]));
        }
        pieces
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Marks the engine's own ids as special even where the file forgets to, so that text from a user
/// cannot reach them.
fn declare_special(inner: &mut tokenizers::Tokenizer, ids: SpecialIds) -> tokenizers::Result<()> {
    let needed = [
        ids.bos,
        ids.eos,
        ids.eot,
        Some(ids.mask),
        ids.start_header,
        ids.end_header,
    ];
    let added = inner.get_added_tokens_decoder();
    let missing: Vec<AddedToken> = needed
        .into_iter()
        .flatten()
        .filter(|id| added.get(id).is_none_or(|token| !token.special))
        .filter_map(|id| inner.id_to_token(id))
        .map(|name| AddedToken::from(name, true))
        .collect();
    inner.add_special_tokens(missing).map(drop)
}

fn collect_specials(inner: &tokenizers::Tokenizer) -> std::result::Result<Vec<Special>, String> {
    let mut specials = Vec::new();
    for (id, token) in inner.get_added_tokens_decoder() {
        if !token.special || token.content.is_empty() {
            continue;
        }
        if token.single_word {
            return Err(format!(
                "special token {:?}: single_word is not supported",
                token.content
            ));
        }
        let (strips_left, strips_right) = (token.lstrip, token.rstrip);
        specials.push(Special {
            content: token.content,
            id,
            strips_left,
            strips_right,
        });
    }
    specials.sort_by(|a, b| b.content.len().cmp(&a.content.len()).then(a.id.cmp(&b.id)));
    Ok(specials)
}

/// A token in `tokenizer_config.json`: a text, or an object with its `content`.
pub(crate) fn token_name<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    let token = config.get(key)?;
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .filter(|name| !name.is_empty())
}
