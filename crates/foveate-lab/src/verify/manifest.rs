//! A golden case on disk: settings in `manifest.json`, tensors in `tensors.safetensors`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
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
        let family = self.text("family").unwrap_or("llada-v");
        if !["llada-v", "lavida-llada", "lavida-dream"].contains(&family) {
            return Some(format!("family {family} is not built yet"));
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

    /// Differs from the reference on purpose: as released, RedVTP-LaViDa never writes the prompt into
    /// the sequence. The repaired cases say what was patched.
    pub(crate) fn blind(&self) -> bool {
        self.text("family") == Some("lavida-llada")
            && !self.json["pruning"].is_null()
            && self.text("reference_patched") == Some("")
    }

    /// Whether the prompt is computed once and by itself.
    pub(crate) fn prefix(&self) -> bool {
        self.arguments()["prefix_lm"] == Value::Bool(true)
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

    /// Which rows of queries a LLaDA-FastV case averages over.
    pub(crate) fn fastv_query(&self) -> Option<&str> {
        self.json["pruning"]["query"].as_str()
    }

    /// The layer (from 1) of a LLaDA-FastV case.
    pub(crate) fn fastv_layer(&self) -> Option<usize> {
        Some(self.json["pruning"]["layer_K_1based"].as_u64()? as usize)
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

    /// Arguments of the reference's `generate`.
    pub(super) fn arguments(&self) -> &Value {
        &self.json["generate_args"]
    }

    /// How the case prunes; null for not at all.
    pub(super) fn pruning(&self) -> &Value {
        &self.json["pruning"]
    }

    /// Settings of LLaDA-V's hook for dLLM-Cache.
    pub(super) fn dllm_cache(&self) -> &Value {
        &self.json["dllm_cache"]
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.json[key].as_str()
    }
}

/// Some values of a tensor of a case, which may have fewer.
pub(super) fn cut<'v, T>(name: &str, values: &'v [T], range: Range<usize>) -> Result<&'v [T]> {
    values.get(range.clone()).with_context(|| {
        format!(
            "tensor {name}: expected values {range:?}, but it has {}; does it belong to the case?",
            values.len()
        )
    })
}
