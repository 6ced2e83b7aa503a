//! What a request may choose about its denoising, and the validated form.

use std::sync::Arc;

use super::policy::Policy;
use super::template::AnswerTemplate;
use crate::cache::{CacheSettings, Caching};
use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::prune::{PruneSettings, Pruning};

/// How masked positions are ranked for committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remasking {
    /// The candidates of highest probability are committed, the uncertain ones stay masked.
    #[default]
    LowConfidence,
    /// A uniform draw per position.
    Random,
}

/// Options of one request. [`Options::default`] is LLaDA-V's document setting (32 tokens, 16 steps).
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the answer canvas, in tokens.
    pub gen_length: usize,
    /// Tokens per block; divides `gen_length`.
    pub block_length: usize,
    /// Denoising steps over all blocks; a multiple of the number of blocks.
    pub steps: usize,
    /// Ranking of positions.
    pub remasking: Remasking,
    /// How many candidates a step commits. Any but `fixed` lets a block go on until it has no masks.
    pub policy: Policy,
    /// Most forwards that the answer may take; a guided step takes two.
    pub max_forwards: Option<usize>,
    /// Finish as soon as an end token is committed and nothing before it is masked.
    pub stop_at_end: bool,
    /// Gumbel temperature; 0 is greedy.
    pub temperature: f64,
    /// Classifier-free guidance; 0 is off.
    pub cfg_scale: f64,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// Text placed after the answer canvas and visible to all of it.
    pub generation_suffix: Option<String>,
    /// Text of the answer that is given, with slots to fill; `gen_length` is its length.
    pub template: Option<Arc<AnswerTemplate>>,
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
            remasking: Remasking::LowConfidence,
            policy: Policy::default(),
            max_forwards: None,
            stop_at_end: false,
            temperature: 0.0,
            cfg_scale: 0.0,
            stop: vec!["<|eot_id|>".into()],
            generation_suffix: None,
            template: None,
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
    pub(crate) remasking: Remasking,
    pub(crate) policy: Policy,
    pub(crate) max_forwards: Option<usize>,
    /// Ids that end the answer early; empty when it is not to.
    pub(crate) end: Vec<u32>,
    /// Ids that end a slot of a template.
    pub(crate) slot_ends: Vec<u32>,
    pub(crate) template: Option<Arc<AnswerTemplate>>,
    /// The answer before the first step: masks where there is something to fill.
    pub(crate) canvas: Vec<u32>,
    pub(crate) forbidden: Vec<u32>,
    pub(crate) temperature: f64,
    pub(crate) cfg_scale: f64,
    pub(crate) stop: Vec<Vec<u32>>,
    pub(crate) suffix: Vec<u32>,
    pub(crate) seed: u64,
    pub(crate) pruning: Option<Pruning>,
    pub(crate) caching: Option<Caching>,
    pub(crate) recorded: Option<Arc<Recorded>>,
    pub(crate) mask: u32,
}

impl Options {
    /// Checks every number, so that a wrong one fails before the weights are read.
    ///
    /// `layers` is the number of decoder layers. [`crate::Engine::start`] checks again.
    pub fn check(&self, layers: usize) -> Result<()> {
        let positive = |field, value: usize| match value {
            0 => Err(Error::request(field, "expected at least 1, got 0")),
            _ => Ok(value),
        };
        let gen_length = positive("gen-length", self.gen_length)?;
        let block_length = positive("block-length", self.block_length)?;
        let steps = positive("steps", self.steps)?;
        if gen_length % block_length != 0 {
            return Err(Error::request(
                "block-length",
                format!("expected a divisor of gen-length ({gen_length}), got {block_length}"),
            ));
        }
        let blocks = gen_length / block_length;
        if steps % blocks != 0 {
            return Err(Error::request(
                "steps",
                format!("expected a multiple of the {blocks} blocks, got {steps}"),
            ));
        }
        check_scale("temperature", self.temperature)?;
        check_scale("cfg-scale", self.cfg_scale)?;
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::request("stop", "a stop string is empty"));
        }
        self.check_policy()?;
        if let Some(template) = &self.template {
            template.check_lengths(gen_length, block_length)?;
        }
        let pruning = self.pruning(layers)?;
        self.cache.build(pruning.as_ref()).map(drop)
    }

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
        let layers = card.decoder.layers;
        self.check(layers)?;
        if self.stop_at_end && card.end.is_empty() {
            return Err(Error::request(
                "stop-at-end",
                "this model has no end token; name what ends an answer with stop",
            ));
        }
        let mask = card.mask;
        let stop: Vec<Vec<u32>> = self.stop.iter().map(|s| encode(s)).collect::<Result<_>>()?;
        if stop.iter().any(Vec::is_empty) {
            return Err(Error::request("stop", "a stop string is empty"));
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
        let pruning = self.pruning(layers)?;
        Ok(Recipe {
            caching: self.cache.build(pruning.as_ref())?,
            gen_length: self.gen_length,
            block_length: self.block_length,
            steps_per_block: self.steps / (self.gen_length / self.block_length),
            remasking: self.remasking,
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
            canvas: match &self.template {
                Some(template) => template.ids().to_vec(),
                None => vec![mask; self.gen_length],
            },
            forbidden: card.forbidden.clone(),
            temperature: self.temperature,
            cfg_scale: self.cfg_scale,
            stop,
            suffix,
            seed: self.seed,
            pruning,
            recorded: self.recorded.clone(),
            mask,
        })
    }

    /// Steps that the answer takes at most, for progress bars: a policy other than `fixed` takes as
    /// many as it needs, each of which commits a token.
    pub fn most_steps(&self) -> usize {
        let steps = if self.policy.keeps_schedule() {
            self.steps
        } else {
            self.gen_length
        };
        let most = self.max_forwards.unwrap_or(usize::MAX);
        steps.min(most / self.forwards_per_step())
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

    /// A guided step runs two sequences.
    fn forwards_per_step(&self) -> usize {
        1 + usize::from(self.cfg_scale > 0.0)
    }

    fn check_policy(&self) -> Result<()> {
        self.policy.check()?;
        if !self.policy.keeps_schedule() && self.remasking != Remasking::LowConfidence {
            return Err(Error::request(
                "policy",
                format!(
                    "{} goes by the candidates' probabilities, expected remasking low-confidence; \
                     use that, or the policy fixed",
                    self.policy
                ),
            ));
        }
        let one_step = self.forwards_per_step();
        match self.max_forwards {
            Some(most) if most < one_step => Err(Error::request(
                "max-forwards",
                format!("expected at least {one_step}, what one step takes, got {most}"),
            )),
            _ => Ok(()),
        }
    }
}

fn check_scale(field: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && (0.0..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::request(
            field,
            format!("expected a number from 0 to 100, got {value}"),
        ))
    }
}
