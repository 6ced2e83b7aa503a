//! What a request may choose about its denoising.

use std::sync::Arc;

use super::field::{Field, names, rows};
use super::form::{Form, Value};
use super::preset;
use super::setting::{Group, Setting};
use crate::cache::CacheSettings;
use crate::denoise::{AnswerTemplate, DEFAULT_SHIFT, Draft, Policy, Remasking, Schedule};
use crate::error::{Error, Result};
use crate::prompt::ThinkMode;
use crate::prune::PruneSettings;

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
    /// How the prompt asks for reasoning; whoever builds the prompt of an answer goes by it.
    pub think: ThinkMode,
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
            think: ThinkMode::Unset,
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

/// The settings of denoising.
pub(crate) const ROWS: &[Setting] = rows! { Group::Denoising;
    /// The settings of a published run; what else is said wins over it
    "preset" "preset" "PRESET" Form::OneOf(preset::choices) => [|_| Value::None];
    /// Length of the answer canvas, in tokens
    "gen-length" "max_tokens" "N" Form::Count(1) => (gen_length),
        in_checkpoint: |card| card.defaults.gen_length.is_some();
    /// Tokens per block; divides the length
    "block-length" "denoise.block_length" "N" Form::Count(1) => (block_length),
        in_checkpoint: |card| card.defaults.block_length.is_some();
    /// Denoising steps over all blocks
    "steps" "denoise.steps" "N" Form::Count(1) => [steps, |options, value| {
        options.steps = value.size();
        Ok(())
    }], in_checkpoint: |card| card.defaults.steps.is_some();
    /// Steps per token of the answer, above 0 and at most 1, in place of --steps
    "step-ratio" "denoise.step_ratio" "R" Form::Number => (step_ratio), excludes: &["steps"];
    /// Denoising steps of each block, in place of --steps
    "steps-per-block" "denoise.steps_per_block" "N" Form::Count(1) => (steps_per_block),
        excludes: &["steps", "step-ratio"];
    /// How many tokens each step commits
    "schedule" "denoise.schedule" "SCHEDULE" Form::OneOf(Schedule::choices) => (schedule);
    /// Bend of --schedule shift: below 1 many tokens early, above 1 many late
    "schedule-shift" "denoise.schedule_shift" "S" Form::Number => [shift, set_shift];
    /// How masked positions are ranked for committing
    "remasking" "denoise.remasking" "REMASKING" Form::OneOf(Remasking::choices) => (remasking);
    /// Draw the positions to commit by softmax(confidence / T) instead of ranking them
    "alg-temp" "denoise.alg_temp" "T" Form::Number => (alg_temp), default: Some("0");
    /// How many candidates a step commits; all but `fixed` go on until nothing is masked
    "policy" "denoise.policy" "POLICY" Form::Written(policy) => (policy), default: Some("fixed");
    /// Most forwards that an answer may take; a guided step takes two
    "max-forwards" "denoise.max_forwards" "N" Form::Count(0) => (max_forwards);
    /// Finish as soon as an end token is committed and nothing before it is masked
    "stop-at-end" "denoise.stop_at_end" "" Form::Switch => (stop_at_end);
    /// Temperature of the candidates; 0 is greedy
    "temperature" "temperature" "T" Form::Number => (temperature),
        in_checkpoint: |card| card.defaults.temperature.is_some();
    /// Only the most probable ids up to this mass are candidates (lavida-dream)
    "top-p" "top_p" "P" Form::Number => (top_p);
    /// Only the K most probable ids are candidates (lavida-dream)
    "top-k" "denoise.top_k" "K" Form::Count(1) => (top_k),
        in_checkpoint: |card| card.defaults.top_k.is_some() && card.usual.top_k.is_some();
    /// Classifier-free guidance; 0 is off
    "cfg-scale" "denoise.cfg_scale" "S" Form::Number => (cfg_scale), default: Some("0");
    /// End the answer before this text; repeatable, replaces the model's own
    "stop" "stop" "STR" Form::Texts { delimiter: None } => (stop),
        in_checkpoint: |card| card.defaults.stop.is_some();
    /// Text that follows the answer and is visible to it
    "generation-suffix" "suffix" "STR" Form::Text => (generation_suffix);
    /// Seed of every random choice
    "seed" "seed" "N" Form::Count(0) => (seed), default: Some("0");
    /// How the prompt asks for reasoning
    "think" "think" "THINK" Form::OneOf(ThinkMode::choices) => (think), default: Some("none");
};

/// The steps, where nothing else says how many there are.
fn steps(options: &Options) -> Value {
    let by_block = options.step_ratio.is_some() || options.steps_per_block.is_some();
    (!by_block).then_some(options.steps).value()
}

fn shift(options: &Options) -> Value {
    match options.schedule {
        Schedule::Shift(shift) => shift.into(),
        _ => Value::None,
    }
}

fn set_shift(options: &mut Options, value: &Value) -> Result<()> {
    let Schedule::Shift(shift) = &mut options.schedule else {
        let reason = "bends one schedule; add --schedule shift";
        return Err(Error::request("schedule-shift", reason));
    };
    *shift = value.number();
    Ok(())
}

/// A policy as it is usually written, or why it is none.
fn policy(text: &str) -> std::result::Result<String, String> {
    match text.parse::<Policy>() {
        Ok(policy) => Ok(policy.to_string()),
        Err(Error::Request { reason, .. }) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

names! { Schedule;
    /// The same number at every step, the remainder first
    Self::Linear => Self::Linear, "linear";
    /// The same number at every step, the remainder spread
    Self::Even => Self::Even, "even";
    /// Bent by --schedule-shift
    Self::Shift(_) => Self::Shift(DEFAULT_SHIFT), "shift";
    /// Most tokens in the middle
    Self::Cosine => Self::Cosine, "cosine";
    /// Most tokens in the middle, more sharply
    Self::LogitNormal => Self::LogitNormal, "logit-normal";
    /// Dream's shares of what is left
    Self::Timesteps => Self::Timesteps, "timesteps";
}

names! { Remasking;
    /// The most probable candidates first
    Self::LowConfidence => Self::LowConfidence, "low-confidence" or "maskgit-plus";
    /// A uniform draw per position
    Self::Random => Self::Random, "random";
    /// The distributions of lowest entropy first
    Self::Entropy => Self::Entropy, "entropy";
    /// The largest gap between the two most probable ids first
    Self::Margin => Self::Margin, "margin" or "topk-margin";
    /// Every position by chance, as many as the timesteps ask for
    Self::Origin => Self::Origin, "origin";
}

names! { ThinkMode;
    /// Say nothing about it
    Self::Unset => Self::Unset, "none";
    /// Ask for reasoning
    Self::Think => Self::Think, "think";
    /// Ask for a direct answer
    Self::NoThink => Self::NoThink, "no-think";
}
