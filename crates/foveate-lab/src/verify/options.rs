//! The reference's arguments as options of a request.

use anyhow::{Context, Result, bail};
use foveate_core::{
    CacheMethod, CacheSettings, DEFAULT_SHIFT, Draft, Factor, Method, ModelCard, Options, Policy,
    PruneSettings, Queries, Recorded, Remasking, Schedule,
};
use serde_json::Value;

use super::manifest::Manifest;

/// `max_new_tokens`, `block_length` and `steps` of the references where nothing is said.
const DEFAULT_LENGTH: usize = 128;
/// `max_new_tokens` and `steps` of Dream.
const DREAM_LENGTH: usize = 512;
/// `top_k` of Dream.
const DREAM_TOP_K: usize = 50;

impl Manifest {
    /// Generation options as the reference was called.
    pub(crate) fn options(&self) -> Result<Options> {
        let options = match self.text("family") {
            Some("lavida-llada") => self.lavida_llada(),
            Some("lavida-dream") => self.lavida_dream(),
            _ => self.llada_v(),
        }?;
        Ok(Options {
            temperature: self.arguments()["temperature"].as_f64().unwrap_or(0.0),
            cfg_scale: self.arguments()["cfg_scale"].as_f64().unwrap_or(0.0),
            prune: self.prune_settings()?,
            cache: self.cache()?,
            recorded: self.recorded()?.map(std::sync::Arc::new),
            ..options
        })
    }

    fn llada_v(&self) -> Result<Options> {
        self.only(&[
            "steps",
            "gen_length",
            "block_length",
            "temperature",
            "cfg_scale",
            "remasking",
            "stopping_criteria",
            "generation_suffix",
            "prefix_refresh_interval",
            "threshold",
        ])?;
        let args = self.arguments();
        let gen_length = self.count("gen_length")?.unwrap_or(DEFAULT_LENGTH);
        let stop = args["stopping_criteria"].as_array().into_iter().flatten();
        Ok(Options {
            gen_length,
            block_length: self.count("block_length")?.unwrap_or(gen_length),
            steps: self.count("steps")?.unwrap_or(DEFAULT_LENGTH),
            remasking: self.remasking()?,
            policy: match args["threshold"].as_f64() {
                // The hook calls its factor a threshold.
                Some(factor) => Policy::Factor(Factor { factor }),
                None => Policy::default(),
            },
            stop: stop.filter_map(|s| s.as_str().map(String::from)).collect(),
            generation_suffix: args["generation_suffix"].as_str().map(String::from),
            ..Options::default()
        })
    }

    /// `steps` is overwritten by the length, except in the pruning fork, which has one block.
    fn lavida_llada(&self) -> Result<Options> {
        self.only(&[
            "max_new_tokens",
            "block_length",
            "steps",
            "step_ratio",
            "step_per_block",
            "temperature",
            "remasking",
            "schedule",
            "schedule_kwargs",
            "prefix_lm",
            "draft_tokens",
        ])?;
        let gen_length = self.count("max_new_tokens")?.unwrap_or(DEFAULT_LENGTH);
        let steps = self.count("steps")?.filter(|_| !self.pruning().is_null());
        let block_length = self.count("block_length")?;
        Ok(Options {
            gen_length,
            block_length: block_length.unwrap_or(DEFAULT_LENGTH.min(gen_length)),
            steps: steps.unwrap_or(gen_length),
            step_ratio: self.arguments()["step_ratio"].as_f64(),
            steps_per_block: self.count("step_per_block")?,
            schedule: self.schedule()?.unwrap_or(Schedule::Linear),
            remasking: self.remasking()?,
            stop: Vec::new(),
            ..Options::default()
        })
    }

    fn lavida_dream(&self) -> Result<Options> {
        self.only(&[
            "max_new_tokens",
            "steps",
            "step_ratio",
            "temperature",
            "top_p",
            "top_k",
            "alg",
            "alg_temp",
            "schedule",
            "schedule_kwargs",
            "prefix_lm",
        ])?;
        let args = self.arguments();
        let gen_length = self.count("max_new_tokens")?.unwrap_or(DREAM_LENGTH);
        let steps = self.count("steps")?.unwrap_or(DREAM_LENGTH);
        Ok(Options {
            gen_length,
            block_length: gen_length,
            steps: steps.min(gen_length),
            step_ratio: args["step_ratio"].as_f64(),
            schedule: self.schedule()?.unwrap_or(Schedule::Timesteps),
            remasking: match args["alg"].as_str() {
                None | Some("entropy") => Remasking::Entropy,
                Some("maskgit_plus") => Remasking::LowConfidence,
                Some("topk_margin") => Remasking::Margin,
                Some("origin") => Remasking::Origin,
                Some(other) => bail!("generate_args.alg: {other} is not known"),
            },
            alg_temp: args["alg_temp"].as_f64().unwrap_or(0.0),
            top_p: args["top_p"].as_f64(),
            top_k: Some(self.count("top_k")?.unwrap_or(DREAM_TOP_K)),
            stop: Vec::new(),
            ..Options::default()
        })
    }

    /// The tokens that the reference wrote at the beginning of the answer, masks for holes.
    pub(crate) fn draft(&self, card: &ModelCard) -> Result<Option<Draft>> {
        let Some(tokens) = self.arguments()["draft_tokens"].as_array() else {
            return Ok(None);
        };
        let token = |token: &Value| -> Result<Option<u32>> {
            let id = token.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.context("generate_args.draft_tokens: not a list of ids")?;
            Ok((id != card.mask).then_some(id))
        };
        let tokens = tokens.iter().map(token).collect::<Result<Vec<_>>>()?;
        Ok(Some(Draft::of(&tokens, card)?))
    }

    fn only(&self, known: &[&str]) -> Result<()> {
        let names = self
            .arguments()
            .as_object()
            .into_iter()
            .flat_map(|o| o.keys());
        match names
            .into_iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(unknown) => bail!("generate_args.{unknown}: this setting is not known"),
            None => Ok(()),
        }
    }

    fn count(&self, key: &str) -> Result<Option<usize>> {
        count(self.arguments(), key).context("generate_args")
    }

    fn remasking(&self) -> Result<Remasking> {
        Ok(match self.arguments()["remasking"].as_str() {
            None | Some("low_confidence") => Remasking::LowConfidence,
            Some("random") => Remasking::Random,
            Some("entrophy") => Remasking::Entropy,
            Some("margin") => Remasking::Margin,
            Some(other) => bail!("generate_args.remasking: {other} is not known"),
        })
    }

    /// The reference treats a name that it does not know as `σ(t) = t`.
    fn schedule(&self) -> Result<Option<Schedule>> {
        let args = self.arguments();
        let shift = &args["schedule_kwargs"]["shift"];
        Ok(match args["schedule"].as_str() {
            None if args["schedule"].is_null() => None,
            None => bail!("generate_args.schedule: not a text"),
            Some("shift") => Some(Schedule::Shift(shift.as_f64().unwrap_or(DEFAULT_SHIFT))),
            Some("cosine") => Some(Schedule::Cosine),
            Some("logit_normal") => Some(Schedule::LogitNormal),
            Some(_) => Some(Schedule::Even),
        })
    }

    fn cache(&self) -> Result<CacheSettings> {
        if self.prefix() {
            return Ok(CacheSettings::new(CacheMethod::Prefix));
        }
        match self.text("cache") {
            None => Ok(CacheSettings::default()),
            Some("fast") => Ok(CacheSettings {
                refresh: self.count("prefix_refresh_interval")?,
                ..CacheSettings::new(CacheMethod::FastDllm)
            }),
            Some("dllm") => {
                let hook = self.dllm_cache();
                Ok(CacheSettings {
                    refresh: count(hook, "prompt_interval_steps")?,
                    response_refresh: count(hook, "gen_interval_steps")?,
                    share: hook["transfer_ratio"].as_f64(),
                    ..CacheSettings::new(CacheMethod::DllmCache)
                })
            }
            Some(other) => bail!("cache: {other} is not known"),
        }
    }

    fn prune_settings(&self) -> Result<Option<PruneSettings>> {
        let pruning = self.pruning();
        if pruning.is_null() {
            return Ok(None);
        }
        let number = |key: &str| {
            pruning[key]
                .as_f64()
                .with_context(|| format!("pruning.{key}: not a number"))
        };
        match pruning["method"].as_str() {
            Some("redvtp") => Ok(Some(PruneSettings::new(
                Method::Redvtp,
                number("keep_ratio")?,
            ))),
            Some("llada-fastv") => {
                // The reference subtracts first: 1 - R in f64.
                let mut settings =
                    PruneSettings::new(Method::LladaFastv, 1.0 - number("drop_ratio")?);
                settings.layer = Some(number("layer_K_1based")? as usize);
                settings.queries = Some(match pruning["query"].as_str() {
                    Some("all") => Queries::All,
                    Some("response") => Queries::Response,
                    other => bail!("pruning.query: expected all or response, got {other:?}"),
                });
                Ok(Some(settings))
            }
            other => bail!("pruning.method: {other:?} is not known"),
        }
    }

    fn recorded(&self) -> Result<Option<Recorded>> {
        let mut recorded = Recorded::default();
        if self.has("random_confidence") {
            let (shape, values) = self.floats("random_confidence")?;
            let rows = values.chunks(shape[1].max(1));
            recorded.confidence = rows
                .map(|r| r.iter().map(|v| f64::from(*v)).collect())
                .collect();
        }
        if self.has("gumbel_uniform_noise") {
            let (shape, values) = self.doubles("gumbel_uniform_noise")?;
            recorded.vocabulary = shape[2];
            recorded.gumbel = values
                .chunks((shape[1] * shape[2]).max(1))
                .map(<[f64]>::to_vec)
                .collect();
        }
        let any = !recorded.confidence.is_empty() || !recorded.gumbel.is_empty();
        Ok(any.then_some(recorded))
    }
}

fn count(of: &Value, key: &str) -> Result<Option<usize>> {
    match &of[key] {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(count) => Ok(Some(count as usize)),
            None => bail!("{key}: not a count"),
        },
    }
}
