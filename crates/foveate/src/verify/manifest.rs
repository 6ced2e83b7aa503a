//! A golden case on disk: settings in `manifest.json`, tensors in `tensors.safetensors`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use foveate_core::{
    CacheMethod, CacheSettings, Factor, Method, Options, Policy, PruneSettings, Queries, Recorded,
    Remasking,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Similarities closer than this are ordered by float noise.
const TIED: f32 = 1e-6;

/// Settings and tensors of one case.
pub(crate) struct Manifest {
    folder: PathBuf,
    json: Value,
    tensors: Vec<u8>,
}

impl Manifest {
    /// Reads the folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("manifest.json");
        let text =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let json = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not JSON", file.display()))?;
        let file = folder.join("tensors.safetensors");
        let tensors =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        SafeTensors::deserialize(&tensors)
            .map_err(|e| anyhow!("{} is not a safetensors file: {e}", file.display()))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            json,
            tensors,
        })
    }

    /// What of this case is not built yet.
    pub(crate) fn unsupported(&self) -> Option<String> {
        match self.text("family") {
            Some("llada-v") | None => {}
            Some(family) => return Some(format!("family {family} is not built yet")),
        }
        None
    }

    /// The first step (from 0) in which float noise decides which rows dLLM-Cache refreshes.
    pub(crate) fn tied_refresh(&self) -> Result<Option<usize>> {
        if !self.has("dllm_refresh_gap") {
            return Ok(None);
        }
        let (_, gaps) = self.floats("dllm_refresh_gap")?;
        let (_, steps) = self.integers("dllm_refresh_step_layer")?;
        let tied = gaps.iter().position(|gap| *gap < TIED);
        Ok(tied.and_then(|row| steps.get(2 * row)).map(|s| *s as usize))
    }

    /// Whether only pixels are compared.
    pub(crate) fn is_preprocessing(&self) -> bool {
        self.text("kind")
            .is_some_and(|k| k.starts_with("preprocessing"))
    }

    /// Differs from the reference on purpose: its pruning window is wrong for several images.
    pub(crate) fn wrong_window(&self) -> bool {
        self.images().len() > 1 && !self.json["pruning"].is_null()
    }

    /// The checkpoint's folder, a sibling of the cases.
    pub(crate) fn checkpoint(&self) -> Result<PathBuf> {
        let name = self
            .text("checkpoint")
            .context("manifest: no \"checkpoint\"")?;
        let root = self.folder.parent().unwrap_or(Path::new("."));
        Ok(root.join("checkpoints").join(name))
    }

    /// Image files in order.
    pub(crate) fn images(&self) -> Vec<PathBuf> {
        let image = |i: usize| self.folder.join(format!("image_{i}.png"));
        let mut images = Vec::new();
        while image(images.len()).is_file() {
            images.push(image(images.len()));
        }
        images
    }

    /// The question.
    pub(crate) fn question(&self) -> Result<&str> {
        self.text("question").context("manifest: no \"question\"")
    }

    /// The decoded answer, special tokens kept.
    pub(crate) fn output_text(&self) -> Option<&str> {
        self.text("output_text")
    }

    /// Generation options as the reference was called.
    pub(crate) fn options(&self) -> Result<Options> {
        let args = &self.json["generate_args"];
        let known = [
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
        ];
        if let Some(unknown) = args
            .as_object()
            .and_then(|o| o.keys().find(|k| !known.contains(&k.as_str())))
        {
            bail!("generate_args.{unknown}: this setting is not known");
        }
        let count = |key: &str, default: usize| -> Result<usize> {
            match &args[key] {
                Value::Null => Ok(default),
                value => Ok(value
                    .as_u64()
                    .with_context(|| format!("generate_args.{key}: not a count"))?
                    as usize),
            }
        };
        let gen_length = count("gen_length", 128)?;
        let remasking = match args["remasking"].as_str() {
            None | Some("low_confidence") => Remasking::LowConfidence,
            Some("random") => Remasking::Random,
            Some(other) => bail!("generate_args.remasking: {other} is not built yet"),
        };
        let stop = args["stopping_criteria"].as_array().into_iter().flatten();
        Ok(Options {
            gen_length,
            block_length: count("block_length", gen_length)?,
            steps: count("steps", 128)?,
            remasking,
            policy: match args["threshold"].as_f64() {
                // The hook calls its factor a threshold.
                Some(factor) => Policy::Factor(Factor { factor }),
                None => Policy::default(),
            },
            max_forwards: None,
            stop_at_end: false,
            temperature: args["temperature"].as_f64().unwrap_or(0.0),
            cfg_scale: args["cfg_scale"].as_f64().unwrap_or(0.0),
            stop: stop.filter_map(|s| s.as_str().map(String::from)).collect(),
            generation_suffix: args["generation_suffix"].as_str().map(String::from),
            template: None,
            seed: 0,
            prune: self.pruning()?,
            cache: self.cache()?,
            recorded: self.recorded()?.map(std::sync::Arc::new),
        })
    }

    fn pruning(&self) -> Result<Option<PruneSettings>> {
        let pruning = &self.json["pruning"];
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

    fn cache(&self) -> Result<CacheSettings> {
        let args = &self.json["generate_args"];
        let count = |of: &Value, key: &str| -> Result<Option<usize>> {
            match &of[key] {
                Value::Null => Ok(None),
                value => Ok(Some(
                    value
                        .as_u64()
                        .with_context(|| format!("{key}: not a count"))?
                        as usize,
                )),
            }
        };
        match self.text("cache") {
            None => Ok(CacheSettings::default()),
            Some("fast") => Ok(CacheSettings {
                refresh: count(args, "prefix_refresh_interval")?,
                ..CacheSettings::new(CacheMethod::FastDllm)
            }),
            Some("dllm") => {
                let hook = &self.json["dllm_cache"];
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

    /// Which rows of queries a LLaDA-FastV case averages over.
    pub(crate) fn fastv_query(&self) -> Option<&str> {
        self.json["pruning"]["query"].as_str()
    }

    /// The layer (from 1) of a LLaDA-FastV case.
    pub(crate) fn fastv_layer(&self) -> Option<usize> {
        Some(self.json["pruning"]["layer_K_1based"].as_u64()? as usize)
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

    /// Whether the case stores this tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.open().is_ok_and(|t| t.tensor(name).is_ok())
    }

    /// Shape and values of an f32 tensor.
    pub(crate) fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let (shape, bytes) = self.raw(name, Dtype::F32)?;
        Ok((
            shape,
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        ))
    }

    /// Shape and values of an f64 tensor.
    pub(crate) fn doubles(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        let (shape, bytes) = self.raw(name, Dtype::F64)?;
        Ok((
            shape,
            bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect(),
        ))
    }

    /// Shape and values of an i64 tensor.
    pub(crate) fn integers(&self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let (shape, bytes) = self.raw(name, Dtype::I64)?;
        Ok((
            shape,
            bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b))
                .collect(),
        ))
    }

    /// Shape and values of a u8 tensor.
    pub(crate) fn bytes(&self, name: &str) -> Result<(Vec<usize>, Vec<u8>)> {
        let (shape, bytes) = self.raw(name, Dtype::U8)?;
        Ok((shape, bytes.to_vec()))
    }

    fn raw(&self, name: &str, dtype: Dtype) -> Result<(Vec<usize>, &[u8])> {
        let tensors = self.open()?;
        let tensor = tensors
            .tensor(name)
            .map_err(|e| anyhow!("tensor {name}: {e}"))?;
        if tensor.dtype() != dtype {
            bail!(
                "tensor {name}: expected {dtype:?}, got {:?}",
                tensor.dtype()
            );
        }
        Ok((tensor.shape().to_vec(), tensor.data()))
    }

    fn open(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.tensors).map_err(|e| anyhow!("tensors.safetensors: {e}"))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.json[key].as_str()
    }
}
