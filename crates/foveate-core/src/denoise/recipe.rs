//! Options after validation, with text turned into ids: what a denoiser goes by.

use std::ops::Deref;

use super::filter::Filter;
use crate::cache::Caching;
use crate::error::{Error, Result};
use crate::models::{ModelCard, Predicts};
use crate::prune::Pruning;
use crate::settings::Options;

/// Checked options and what they come to with one model.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(super) options: Options,
    pub(crate) steps_per_block: usize,
    /// Steps of a block that [`super::Schedule::Timesteps`] divides its times by.
    pub(crate) grid: usize,
    /// Ids that end the answer early; empty when it is not to.
    pub(crate) end: Vec<u32>,
    /// Ids that end a slot of a template.
    pub(crate) slot_ends: Vec<u32>,
    /// The answer before the first step: masks where there is something to fill.
    pub(crate) canvas: Vec<u32>,
    /// Tokens of its draft.
    pub(crate) draft: usize,
    pub(crate) forbidden: Vec<u32>,
    /// The candidates of families that filter; none where Gumbel noise goes over all ids.
    pub(crate) filter: Option<Filter>,
    pub(crate) stop: Vec<Vec<u32>>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) pruning: Option<Pruning>,
    pub(crate) caching: Option<Caching>,
    pub(crate) mask: u32,
    pub(crate) predicts: Predicts,
}

/// What a request chose is read as it was chosen.
impl Deref for Recipe {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl Options {
    /// Checks everything and tokenises the stop strings and the suffix.
    pub(crate) fn build(
        &self,
        card: &ModelCard,
        encode: impl Fn(&str) -> Result<Vec<u32>>,
    ) -> Result<Recipe> {
        self.check(card)?;
        if self.stop_at_end && card.end.is_empty() {
            return Err(Error::request(
                "stop-at-end",
                "this model has no end token; name what ends an answer with stop",
            ));
        }
        let (mask, blocks) = (card.mask, self.blocks()?);
        let stop: Vec<Vec<u32>> = self.stop.iter().map(|s| encode(s)).collect::<Result<_>>()?;
        if stop.iter().any(Vec::is_empty) {
            return Err(Error::request("stop", "a stop string is empty"));
        }
        if stop.iter().any(|ids| ids.contains(&mask)) {
            return Err(Error::request(
                "stop",
                "the mask token cannot be given as text",
            ));
        }
        let suffix = match &self.generation_suffix {
            Some(text) => encode(text)?,
            None => Vec::new(),
        };
        if suffix.contains(&mask) {
            return Err(Error::request(
                "generation-suffix",
                "the mask token cannot be given as text",
            ));
        }
        let pruning = self.pruning(card.decoder.layers)?;
        Ok(Recipe {
            options: self.clone(),
            caching: self.cache.build(pruning.as_ref())?,
            steps_per_block: self.steps_of_a_block(blocks)?,
            grid: (self.steps / blocks).min(self.block_length),
            // The end of a slot is not the end of a template.
            end: if self.stop_at_end && self.template.is_none() {
                card.end.clone()
            } else {
                Vec::new()
            },
            slot_ends: card.end.clone(),
            canvas: match (&self.template, &self.draft) {
                (Some(template), _) => template.ids().to_vec(),
                (None, Some(draft)) => draft.canvas(self.gen_length, mask),
                (None, None) => vec![mask; self.gen_length],
            },
            draft: self.draft.as_ref().map_or(0, |draft| draft.len()),
            forbidden: card.forbidden.clone(),
            filter: self.filter(card)?,
            stop,
            suffix,
            pruning,
            mask,
            predicts: card.predicts,
        })
    }
}
