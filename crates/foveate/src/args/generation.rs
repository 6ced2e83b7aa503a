//! How an answer is denoised: the flags and their names.

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::builder::{FalseyValueParser, PossibleValuesParser};
use clap::{Args, ValueEnum};
use foveate_core::{
    DEFAULT_SHIFT, ModelCard, Options, Policy, PruneSettings, Remasking, Schedule, ThinkMode,
};

use crate::caching::CacheArgs;
use crate::exit::usage;
use crate::preset::{PRESETS, Preset};

/// How an answer is denoised; absent values are the model's own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Generation")]
pub(crate) struct GenerationArgs {
    /// The settings of a published run; flags that are given win over it
    #[arg(long, env = "FOVEATE_PRESET", value_parser = PossibleValuesParser::new(PRESETS.iter().map(|p| p.name)))]
    pub(crate) preset: Option<String>,
    /// Length of the answer canvas, in tokens
    #[arg(long, env = "FOVEATE_GEN_LENGTH", value_name = "N")]
    pub(crate) gen_length: Option<NonZeroUsize>,
    /// Tokens per block; divides the length
    #[arg(long, env = "FOVEATE_BLOCK_LENGTH", value_name = "N")]
    pub(crate) block_length: Option<NonZeroUsize>,
    /// Denoising steps over all blocks
    #[arg(long, env = "FOVEATE_STEPS", value_name = "N")]
    pub(crate) steps: Option<NonZeroUsize>,
    /// Steps per token of the answer, above 0 and at most 1, in place of --steps
    #[arg(
        long,
        env = "FOVEATE_STEP_RATIO",
        value_name = "R",
        conflicts_with = "steps"
    )]
    pub(crate) step_ratio: Option<f64>,
    /// Denoising steps of each block, in place of --steps
    #[arg(
        long,
        env = "FOVEATE_STEPS_PER_BLOCK",
        value_name = "N",
        conflicts_with_all = ["steps", "step_ratio"]
    )]
    pub(crate) steps_per_block: Option<NonZeroUsize>,
    /// How many tokens each step commits
    #[arg(long, env = "FOVEATE_SCHEDULE")]
    pub(crate) schedule: Option<ScheduleName>,
    /// Bend of --schedule shift: below 1 many tokens early, above 1 many late
    #[arg(long, env = "FOVEATE_SCHEDULE_SHIFT", value_name = "S")]
    pub(crate) schedule_shift: Option<f64>,
    /// How masked positions are ranked for committing
    #[arg(long, env = "FOVEATE_REMASKING")]
    pub(crate) remasking: Option<RemaskingName>,
    /// Draw the positions to commit by softmax(confidence / T) instead of ranking them
    #[arg(
        long,
        env = "FOVEATE_ALG_TEMP",
        value_name = "T",
        default_value_t = 0.0
    )]
    pub(crate) alg_temp: f64,
    /// How many candidates a step commits; all but `fixed` go on until nothing is masked
    #[arg(
        long,
        env = "FOVEATE_POLICY",
        default_value = "fixed",
        value_name = "POLICY"
    )]
    pub(crate) policy: Policy,
    /// Most forwards that an answer may take; a guided step takes two
    #[arg(long, env = "FOVEATE_MAX_FORWARDS", value_name = "N")]
    pub(crate) max_forwards: Option<usize>,
    /// Finish as soon as an end token is committed and nothing before it is masked
    #[arg(long, env = "FOVEATE_STOP_AT_END", value_parser = FalseyValueParser::new())]
    pub(crate) stop_at_end: bool,
    /// Temperature of the candidates; 0 is greedy
    #[arg(long, env = "FOVEATE_TEMPERATURE", value_name = "T")]
    pub(crate) temperature: Option<f64>,
    /// Only the most probable ids up to this mass are candidates (lavida-dream)
    #[arg(long, env = "FOVEATE_TOP_P", value_name = "P")]
    pub(crate) top_p: Option<f64>,
    /// Only the K most probable ids are candidates (lavida-dream)
    #[arg(long, env = "FOVEATE_TOP_K", value_name = "K")]
    pub(crate) top_k: Option<NonZeroUsize>,
    /// Classifier-free guidance; 0 is off
    #[arg(
        long,
        env = "FOVEATE_CFG_SCALE",
        value_name = "S",
        default_value_t = 0.0
    )]
    pub(crate) cfg_scale: f64,
    /// End the answer before this text; repeatable, replaces the model's own
    #[arg(long, env = "FOVEATE_STOP", value_name = "STR")]
    pub(crate) stop: Vec<String>,
    /// Text that follows the answer and is visible to it
    #[arg(long, env = "FOVEATE_GENERATION_SUFFIX", value_name = "STR")]
    pub(crate) generation_suffix: Option<String>,
    /// Seed of every random choice
    #[arg(long, env = "FOVEATE_SEED", value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How the prompt asks for reasoning
    #[arg(long, env = "FOVEATE_THINK", default_value = "none")]
    pub(crate) think: ThinkName,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
}

impl GenerationArgs {
    /// The request's options over the model's defaults.
    ///
    /// A length without a block length makes one block; without steps, as many tokens a step as the
    /// model's own.
    pub(crate) fn options(
        &self,
        defaults: Options,
        prune: Option<PruneSettings>,
    ) -> Result<Options> {
        let gen_length = self.gen_length.map_or(defaults.gen_length, usize::from);
        let resized = gen_length != defaults.gen_length;
        let block_length = match self.block_length {
            Some(given) => given.get(),
            None if resized => gen_length,
            None => defaults.block_length,
        };
        let steps = match self.steps {
            Some(given) => given.get(),
            None if resized || block_length != defaults.block_length => {
                let blocks = (gen_length / block_length).max(1);
                let steps = gen_length.saturating_mul(defaults.steps);
                let steps = steps.div_ceil(defaults.gen_length);
                steps.checked_next_multiple_of(blocks).unwrap_or(steps)
            }
            None => defaults.steps,
        };
        Ok(Options {
            gen_length,
            block_length,
            steps,
            step_ratio: self.step_ratio,
            steps_per_block: self.steps_per_block.map(usize::from),
            schedule: self.schedule(defaults.schedule)?,
            remasking: match self.remasking {
                Some(given) => given.into(),
                // The others go by probabilities; a family's own ranking may be another.
                None if self.policy != Policy::default() => Remasking::LowConfidence,
                None => defaults.remasking,
            },
            alg_temp: self.alg_temp,
            policy: self.policy,
            max_forwards: self.max_forwards,
            stop_at_end: self.stop_at_end,
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.or(defaults.top_p),
            top_k: self.top_k.map(usize::from).or(defaults.top_k),
            cfg_scale: self.cfg_scale,
            stop: if self.stop.is_empty() {
                defaults.stop
            } else {
                self.stop.clone()
            },
            generation_suffix: self.generation_suffix.clone(),
            template: None,
            draft: None,
            seed: self.seed,
            prune,
            cache: self.cache.settings(),
            recorded: None,
        })
    }

    /// The same over a model's defaults, with a preset that fits it.
    pub(crate) fn checked(
        &self,
        card: &ModelCard,
        prune: Option<PruneSettings>,
    ) -> Result<Options> {
        if let Some(preset) = self.preset.as_deref().and_then(Preset::find) {
            preset.check(card.family)?;
        }
        self.options(card.default_options(), prune)
    }

    fn schedule(&self, default: Schedule) -> Result<Schedule> {
        let schedule = match (self.schedule, self.schedule_shift) {
            (None, None) => default,
            (Some(ScheduleName::Shift), shift) => Schedule::Shift(shift.unwrap_or(DEFAULT_SHIFT)),
            (_, Some(_)) => {
                return Err(usage(
                    "--schedule-shift bends one schedule; add --schedule shift",
                ));
            }
            (Some(ScheduleName::Linear), _) => Schedule::Linear,
            (Some(ScheduleName::Even), _) => Schedule::Even,
            (Some(ScheduleName::Cosine), _) => Schedule::Cosine,
            (Some(ScheduleName::LogitNormal), _) => Schedule::LogitNormal,
            (Some(ScheduleName::Timesteps), _) => Schedule::Timesteps,
        };
        Ok(schedule)
    }
}

/// Names of [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleName {
    /// The same number at every step, the remainder first
    Linear,
    /// The same number at every step, the remainder spread
    Even,
    /// Bent by --schedule-shift
    Shift,
    /// Most tokens in the middle
    Cosine,
    /// Most tokens in the middle, more sharply
    LogitNormal,
    /// Dream's shares of what is left
    Timesteps,
}

/// Names of [`Remasking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RemaskingName {
    /// The most probable candidates first
    #[value(alias = "maskgit-plus")]
    LowConfidence,
    /// A uniform draw per position
    Random,
    /// The distributions of lowest entropy first
    Entropy,
    /// The largest gap between the two most probable ids first
    #[value(alias = "topk-margin")]
    Margin,
    /// Every position by chance, as many as the timesteps ask for
    Origin,
}

impl From<RemaskingName> for Remasking {
    fn from(name: RemaskingName) -> Self {
        match name {
            RemaskingName::LowConfidence => Self::LowConfidence,
            RemaskingName::Random => Self::Random,
            RemaskingName::Entropy => Self::Entropy,
            RemaskingName::Margin => Self::Margin,
            RemaskingName::Origin => Self::Origin,
        }
    }
}

/// Names of [`ThinkMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThinkName {
    /// Say nothing about it
    None,
    /// Ask for reasoning
    Think,
    /// Ask for a direct answer
    NoThink,
}

impl From<ThinkName> for ThinkMode {
    fn from(name: ThinkName) -> Self {
        match name {
            ThinkName::None => Self::Unset,
            ThinkName::Think => Self::Think,
            ThinkName::NoThink => Self::NoThink,
        }
    }
}
