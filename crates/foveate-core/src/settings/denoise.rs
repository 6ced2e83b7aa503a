//! What a request may choose about its denoising.

use std::sync::Arc;

use super::form::{Form, Possible, Value};
use super::preset;
use super::setting::{Group, Named, Setting, choices, name_of, named, put, value_of};
use crate::cache::CacheSettings;
use crate::denoise::{AnswerTemplate, DEFAULT_SHIFT, Draft, Policy, Remasking, Schedule};
use crate::error::Error;
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

const ROW: Setting = Setting {
    group: Group::Denoising,
    ..Setting::ROW
};

/// The settings of denoising.
pub(crate) const ROWS: &[Setting] = &[
    Setting {
        name: "preset",
        key: "preset",
        help: "The settings of a published run; what else is said wins over it",
        value_name: "PRESET",
        form: Form::OneOf(preset::choices),
        ..ROW
    },
    Setting {
        name: "gen-length",
        key: "max_tokens",
        help: "Length of the answer canvas, in tokens",
        value_name: "N",
        form: Form::Count(1),
        in_checkpoint: |card| card.defaults.gen_length.is_some(),
        get: |options| options.gen_length.into(),
        set: |options, value| put(&mut options.gen_length, value.size()),
        ..ROW
    },
    Setting {
        name: "block-length",
        key: "denoise.block_length",
        help: "Tokens per block; divides the length",
        value_name: "N",
        form: Form::Count(1),
        in_checkpoint: |card| card.defaults.block_length.is_some(),
        get: |options| options.block_length.into(),
        set: |options, value| put(&mut options.block_length, value.size()),
        ..ROW
    },
    Setting {
        name: "steps",
        key: "denoise.steps",
        help: "Denoising steps over all blocks",
        value_name: "N",
        form: Form::Count(1),
        in_checkpoint: |card| card.defaults.steps.is_some(),
        get: |options| {
            let by_block = options.step_ratio.is_some() || options.steps_per_block.is_some();
            (!by_block).then_some(options.steps).into()
        },
        set: |options, value| put(&mut options.steps, value.size()),
        ..ROW
    },
    Setting {
        name: "step-ratio",
        key: "denoise.step_ratio",
        help: "Steps per token of the answer, above 0 and at most 1, in place of --steps",
        value_name: "R",
        form: Form::Number,
        excludes: &["steps"],
        get: |options| options.step_ratio.into(),
        set: |options, value| put(&mut options.step_ratio, Some(value.number())),
        ..ROW
    },
    Setting {
        name: "steps-per-block",
        key: "denoise.steps_per_block",
        help: "Denoising steps of each block, in place of --steps",
        value_name: "N",
        form: Form::Count(1),
        excludes: &["steps", "step-ratio"],
        get: |options| options.steps_per_block.into(),
        set: |options, value| put(&mut options.steps_per_block, Some(value.size())),
        ..ROW
    },
    Setting {
        name: "schedule",
        key: "denoise.schedule",
        help: "How many tokens each step commits",
        value_name: "SCHEDULE",
        form: Form::OneOf(|| choices(SCHEDULES)),
        get: |options| options.schedule.name().into(),
        set: |options, value| {
            let schedule = value_of(SCHEDULES, value);
            put(&mut options.schedule, schedule.unwrap_or_default())
        },
        ..ROW
    },
    Setting {
        name: "schedule-shift",
        key: "denoise.schedule_shift",
        help: "Bend of --schedule shift: below 1 many tokens early, above 1 many late",
        value_name: "S",
        form: Form::Number,
        get: |options| match options.schedule {
            Schedule::Shift(shift) => shift.into(),
            _ => Value::None,
        },
        set: |options, value| match &mut options.schedule {
            Schedule::Shift(shift) => put(shift, value.number()),
            _ => Err(Error::request(
                "schedule-shift",
                "bends one schedule; add --schedule shift",
            )),
        },
        ..ROW
    },
    Setting {
        name: "remasking",
        key: "denoise.remasking",
        help: "How masked positions are ranked for committing",
        value_name: "REMASKING",
        form: Form::OneOf(|| choices(REMASKINGS)),
        get: |options| name_of(REMASKINGS, &options.remasking),
        set: |options, value| {
            let remasking = value_of(REMASKINGS, value);
            put(&mut options.remasking, remasking.unwrap_or_default())
        },
        ..ROW
    },
    Setting {
        name: "alg-temp",
        key: "denoise.alg_temp",
        help: "Draw the positions to commit by softmax(confidence / T) instead of ranking them",
        value_name: "T",
        form: Form::Number,
        default: Some("0"),
        get: |options| options.alg_temp.into(),
        set: |options, value| put(&mut options.alg_temp, value.number()),
        ..ROW
    },
    Setting {
        name: "policy",
        key: "denoise.policy",
        help: "How many candidates a step commits; all but `fixed` go on until nothing is masked",
        value_name: "POLICY",
        form: Form::Written(|text| match text.parse::<Policy>() {
            Ok(policy) => Ok(policy.to_string()),
            Err(Error::Request { reason, .. }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }),
        default: Some("fixed"),
        get: |options| options.policy.to_string().into(),
        set: |options, value| put(&mut options.policy, value.text().parse()?),
        ..ROW
    },
    Setting {
        name: "max-forwards",
        key: "denoise.max_forwards",
        help: "Most forwards that an answer may take; a guided step takes two",
        value_name: "N",
        form: Form::Count(0),
        get: |options| options.max_forwards.into(),
        set: |options, value| put(&mut options.max_forwards, Some(value.size())),
        ..ROW
    },
    Setting {
        name: "stop-at-end",
        key: "denoise.stop_at_end",
        help: "Finish as soon as an end token is committed and nothing before it is masked",
        form: Form::Switch,
        get: |options| options.stop_at_end.into(),
        set: |options, value| put(&mut options.stop_at_end, value.is_on()),
        ..ROW
    },
    Setting {
        name: "temperature",
        key: "temperature",
        help: "Temperature of the candidates; 0 is greedy",
        value_name: "T",
        form: Form::Number,
        in_checkpoint: |card| card.defaults.temperature.is_some(),
        get: |options| options.temperature.into(),
        set: |options, value| put(&mut options.temperature, value.number()),
        ..ROW
    },
    Setting {
        name: "top-p",
        key: "top_p",
        help: "Only the most probable ids up to this mass are candidates (lavida-dream)",
        value_name: "P",
        form: Form::Number,
        get: |options| options.top_p.into(),
        set: |options, value| put(&mut options.top_p, Some(value.number())),
        ..ROW
    },
    Setting {
        name: "top-k",
        key: "denoise.top_k",
        help: "Only the K most probable ids are candidates (lavida-dream)",
        value_name: "K",
        form: Form::Count(1),
        in_checkpoint: |card| card.defaults.top_k.is_some() && card.usual.top_k.is_some(),
        get: |options| options.top_k.into(),
        set: |options, value| put(&mut options.top_k, Some(value.size())),
        ..ROW
    },
    Setting {
        name: "cfg-scale",
        key: "denoise.cfg_scale",
        help: "Classifier-free guidance; 0 is off",
        value_name: "S",
        form: Form::Number,
        default: Some("0"),
        get: |options| options.cfg_scale.into(),
        set: |options, value| put(&mut options.cfg_scale, value.number()),
        ..ROW
    },
    Setting {
        name: "stop",
        key: "stop",
        help: "End the answer before this text; repeatable, replaces the model's own",
        value_name: "STR",
        form: Form::Texts { delimiter: None },
        in_checkpoint: |card| card.defaults.stop.is_some(),
        get: |options| options.stop.as_slice().into(),
        set: |options, value| put(&mut options.stop, value.texts().to_vec()),
        ..ROW
    },
    Setting {
        name: "generation-suffix",
        key: "suffix",
        help: "Text that follows the answer and is visible to it",
        value_name: "STR",
        form: Form::Text,
        get: |options| options.generation_suffix.as_deref().into(),
        set: |options, value| put(&mut options.generation_suffix, Some(value.text().into())),
        ..ROW
    },
    Setting {
        name: "seed",
        key: "seed",
        help: "Seed of every random choice",
        value_name: "N",
        form: Form::Count(0),
        default: Some("0"),
        get: |options| options.seed.into(),
        set: |options, value| put(&mut options.seed, value.count()),
        ..ROW
    },
    Setting {
        name: "think",
        key: "think",
        help: "How the prompt asks for reasoning",
        value_name: "THINK",
        form: Form::OneOf(|| choices(THINK_MODES)),
        default: Some("none"),
        get: |options| name_of(THINK_MODES, &options.think),
        set: |options, value| {
            let think = value_of(THINK_MODES, value);
            put(&mut options.think, think.unwrap_or_default())
        },
        ..ROW
    },
];

const SCHEDULES: &[Named<Schedule>] = &[
    named(
        Schedule::Linear,
        "linear",
        "The same number at every step, the remainder first",
    ),
    named(
        Schedule::Even,
        "even",
        "The same number at every step, the remainder spread",
    ),
    named(
        Schedule::Shift(DEFAULT_SHIFT),
        "shift",
        "Bent by --schedule-shift",
    ),
    named(Schedule::Cosine, "cosine", "Most tokens in the middle"),
    named(
        Schedule::LogitNormal,
        "logit-normal",
        "Most tokens in the middle, more sharply",
    ),
    named(
        Schedule::Timesteps,
        "timesteps",
        "Dream's shares of what is left",
    ),
];

const REMASKINGS: &[Named<Remasking>] = &[
    Named(
        Remasking::LowConfidence,
        Possible {
            name: "low-confidence",
            help: "The most probable candidates first",
            alias: "maskgit-plus",
        },
    ),
    named(Remasking::Random, "random", "A uniform draw per position"),
    named(
        Remasking::Entropy,
        "entropy",
        "The distributions of lowest entropy first",
    ),
    Named(
        Remasking::Margin,
        Possible {
            name: "margin",
            help: "The largest gap between the two most probable ids first",
            alias: "topk-margin",
        },
    ),
    named(
        Remasking::Origin,
        "origin",
        "Every position by chance, as many as the timesteps ask for",
    ),
];

const THINK_MODES: &[Named<ThinkMode>] = &[
    named(ThinkMode::Unset, "none", "Say nothing about it"),
    named(ThinkMode::Think, "think", "Ask for reasoning"),
    named(ThinkMode::NoThink, "no-think", "Ask for a direct answer"),
];
