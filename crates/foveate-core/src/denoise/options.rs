//! What a request may choose about its denoising, and the validated form.

use std::sync::Arc;

use super::answer_template::{AnswerTemplate, Draft};
use super::filter::Filter;
use super::policy::Policy;
use super::{Remasking, Schedule};
use crate::cache::{CacheSettings, Caching};
use crate::error::{Error, Result};
use crate::models::{ModelCard, Predicts};
use crate::prune::{PruneSettings, Pruning};

/// Options of one request. [`Options::default`] is LLaDA-V's document setting (32 tokens, 16 steps).
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the answer canvas, in tokens.
    pub gen_length: usize,
    /// Tokens per block; divides `gen_length`.
    pub block_length: usize,
    /// Denoising steps over all blocks; a multiple of the number of blocks. Without effect where
    /// `step_ratio` or `steps_per_block` says otherwise, but [`Schedule::Timesteps`] still divides
    /// its times by it.
    pub steps: usize,
    /// Steps per token of the answer, above 0 and at most 1: `⌊block_length · ratio⌋` per block.
    pub step_ratio: Option<f64>,
    /// Steps of each block, at most one per token; excludes `step_ratio`.
    pub steps_per_block: Option<usize>,
    /// How many tokens each step commits.
    pub schedule: Schedule,
    /// Ranking of positions.
    pub remasking: Remasking,
    /// Above 0, positions are drawn by `softmax(confidence / alg_temp)` instead of ranked.
    pub alg_temp: f64,
    /// How many candidates a step commits. Any but `fixed` lets a block go on until it has no masks.
    pub policy: Policy,
    /// Most forwards that the answer may take; a guided step takes two.
    pub max_forwards: Option<usize>,
    /// Finish as soon as an end token is committed and nothing before it is masked.
    pub stop_at_end: bool,
    /// Temperature of the candidates; 0 is greedy.
    pub temperature: f64,
    /// Only the most probable ids up to this mass are candidates; above 0 and at most 1.
    pub top_p: Option<f64>,
    /// Only the `k` most probable ids are candidates.
    pub top_k: Option<usize>,
    /// Classifier-free guidance; 0 is off.
    pub cfg_scale: f64,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// Text placed after the answer canvas and visible to all of it.
    pub generation_suffix: Option<String>,
    /// Text of the answer that is given, with slots to fill; `gen_length` is its length.
    pub template: Option<Arc<AnswerTemplate>>,
    /// The beginning of the answer, with holes to fill; excludes a template.
    pub draft: Option<Arc<Draft>>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Visual-token pruning, or none.
    pub prune: Option<PruneSettings>,
    /// What is kept between steps.
    pub cache: CacheSettings,
    /// Draws recorded elsewhere instead of the seed's.
    pub recorded: Option<Arc<Recorded>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gen_length: 32,
            block_length: 32,
            steps: 16,
            step_ratio: None,
            steps_per_block: None,
            schedule: Schedule::Linear,
            remasking: Remasking::LowConfidence,
            alg_temp: 0.0,
            policy: Policy::default(),
            max_forwards: None,
            stop_at_end: false,
            temperature: 0.0,
            top_p: None,
            top_k: None,
            cfg_scale: 0.0,
            stop: vec!["<|eot_id|>".into()],
            generation_suffix: None,
            template: None,
            draft: None,
            seed: 0,
            prune: None,
            cache: CacheSettings::default(),
            recorded: None,
        }
    }
}

/// Draws of a recorded run, per step over the whole answer.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// `[steps][response position · vocabulary]` uniform draws of the Gumbel noise.
    pub gumbel: Vec<Vec<f64>>,
    /// Columns of one position in `gumbel`.
    pub vocabulary: usize,
    /// `[steps][response position]` draws of random remasking.
    pub confidence: Vec<Vec<f64>>,
}

/// Options after validation, with text turned into ids.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) gen_length: usize,
    pub(crate) block_length: usize,
    pub(crate) steps_per_block: usize,
    /// Steps of a block that [`Schedule::Timesteps`] divides its times by.
    pub(crate) grid: usize,
    pub(crate) schedule: Schedule,
    pub(crate) remasking: Remasking,
    pub(crate) alg_temp: f64,
    pub(crate) policy: Policy,
    pub(crate) max_forwards: Option<usize>,
    /// Ids that end the answer early; empty when it is not to.
    pub(crate) end: Vec<u32>,
    /// Ids that end a slot of a template.
    pub(crate) slot_ends: Vec<u32>,
    pub(crate) template: Option<Arc<AnswerTemplate>>,
    /// The answer before the first step: masks where there is something to fill.
    pub(crate) canvas: Vec<u32>,
    /// Tokens of its draft.
    pub(crate) draft: usize,
    pub(crate) forbidden: Vec<u32>,
    pub(crate) temperature: f64,
    /// The candidates of families that filter; none where Gumbel noise goes over all ids.
    pub(crate) filter: Option<Filter>,
    pub(crate) cfg_scale: f64,
    pub(crate) stop: Vec<Vec<u32>>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) seed: u64,
    pub(crate) pruning: Option<Pruning>,
    pub(crate) caching: Option<Caching>,
    pub(crate) recorded: Option<Arc<Recorded>>,
    pub(crate) mask: u32,
    pub(crate) predicts: Predicts,
}

impl Options {
    /// The pruning settings, validated and completed.
    pub fn pruning(&self, layers: usize) -> Result<Option<Pruning>> {
        let settings = self.prune.as_ref();
        settings.map(|settings| settings.build(layers)).transpose()
    }

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
            caching: self.cache.build(pruning.as_ref())?,
            gen_length: self.gen_length,
            block_length: self.block_length,
            steps_per_block: self.steps_of_a_block(blocks)?,
            grid: (self.steps / blocks).min(self.block_length),
            schedule: self.schedule,
            remasking: self.remasking,
            alg_temp: self.alg_temp,
            policy: self.policy,
            max_forwards: self.max_forwards,
            // The end of a slot is not the end of a template.
            end: if self.stop_at_end && self.template.is_none() {
                card.end.clone()
            } else {
                Vec::new()
            },
            slot_ends: card.end.clone(),
            template: self.template.clone(),
            canvas: match (&self.template, &self.draft) {
                (Some(template), _) => template.ids().to_vec(),
                (None, Some(draft)) => draft.canvas(self.gen_length, mask),
                (None, None) => vec![mask; self.gen_length],
            },
            draft: self.draft.as_ref().map_or(0, |draft| draft.len()),
            forbidden: card.forbidden.clone(),
            temperature: self.temperature,
            filter: self.filter(card)?,
            cfg_scale: self.cfg_scale,
            stop,
            suffix,
            seed: self.seed,
            pruning,
            recorded: self.recorded.clone(),
            mask,
            predicts: card.predicts,
        })
    }

    /// The same with a template: its canvas in one block, two tokens of its slots a step.
    #[must_use]
    pub fn with_template(self, template: AnswerTemplate) -> Self {
        Self {
            gen_length: template.len(),
            block_length: template.len(),
            steps: template.open_tokens().div_ceil(2).max(1),
            template: Some(Arc::new(template)),
            ..self
        }
    }
}
