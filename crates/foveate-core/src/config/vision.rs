//! The vision tower's sizes, which the language checkpoint names but does not contain.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fields::{self, Fields};
use crate::checkpoint::{Checkpoint, Environment, cached};
use crate::error::{Error, Result};

/// Sizes of a `SigLIP` tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers of the released tower; `LLaVA` models store and use one less.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels.
    pub num_channels: usize,
    /// Side of the square view, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Added to the variance in layer norm.
    pub layer_norm_eps: f32,
}

impl VisionConfig {
    /// `google/siglip-so400m-patch14-384`; `SigLIP 2` of that name has the same sizes.
    pub const SO400M_PATCH14_384: Self = Self {
        hidden_size: 1152,
        intermediate_size: 4304,
        num_hidden_layers: 27,
        num_attention_heads: 16,
        num_channels: 3,
        image_size: 384,
        patch_size: 14,
        layer_norm_eps: 1e-6,
    };

    /// Reads a tower's `config.json`, with or without the text tower's part beside it.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let value = fields::parse(json, file)?;
        let whole = Fields::new(&value, file)?;
        let fields = whole.object("vision_config")?.unwrap_or(whole);
        fields.must_be("hidden_act", &Value::from("gelu_pytorch_tanh"))?;
        // Defaults of Hugging Face's SiglipVisionConfig: its files leave out what equals them.
        let config = Self {
            hidden_size: fields.count_or("hidden_size", 768)?,
            intermediate_size: fields.count_or("intermediate_size", 3072)?,
            num_hidden_layers: fields.count_or("num_hidden_layers", 12)?,
            num_attention_heads: fields.count_or("num_attention_heads", 12)?,
            num_channels: fields.count_or("num_channels", 3)?,
            image_size: fields.count_or("image_size", 224)?,
            patch_size: fields.count_or("patch_size", 16)?,
            layer_norm_eps: match fields.value("layer_norm_eps") {
                Some(_) => fields.positive("layer_norm_eps")? as f32,
                None => 1e-6,
            },
        };
        let heads = config.num_attention_heads;
        fields.must_divide(
            "num_attention_heads",
            heads,
            "hidden_size",
            config.hidden_size,
        )?;
        if config.patch_size > config.image_size {
            let reason = format!("larger than image_size {}", config.image_size);
            return Err(fields.error("patch_size", reason));
        }
        if config.image_size > MAX_IMAGE_SIDE {
            let reason = format!("{}, the limit is {MAX_IMAGE_SIDE}", config.image_size);
            return Err(fields.error("image_size", reason));
        }
        if config.num_hidden_layers < 2 {
            return Err(fields.error(
                "num_hidden_layers",
                "expected at least 2, the last is unused",
            ));
        }
        Ok(config)
    }

    /// Layers that are stored in the checkpoint and run.
    pub fn used_layers(&self) -> usize {
        self.num_hidden_layers - 1
    }

    /// Patches along one side; pixels beyond the last whole patch are never seen.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }
}

/// Pixels; ten times the published towers.
const MAX_IMAGE_SIDE: usize = 4096;

/// The tower that a model names, as far as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionTower {
    /// Its sizes.
    pub config: VisionConfig,
    /// Its `preprocessor_config.json`, where there is one.
    pub preprocessor: Option<Value>,
    /// Where the sizes come from, for messages.
    pub origin: PathBuf,
}

impl VisionTower {
    /// Finds the tower `name` beside the model, in it, as a path, or in the Hugging Face cache.
    ///
    /// The released sizes stand in for a `SigLIP` so400m tower that is nowhere, since a model's own
    /// folder is then all that is needed.
    pub fn find(name: &str, model: &Checkpoint, environment: &Environment) -> Result<Self> {
        let mut folders = Vec::new();
        // A path from the training machine still names the folder by its last part.
        let last = name
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or(name);
        for name in [name, last] {
            if let Some(tower) = Self::read(&format!("{name}/"), model)? {
                return Ok(tower);
            }
            if let Some(parent) = model.folder().and_then(Path::parent) {
                folders.push(parent.join(name));
            }
        }
        folders.push(PathBuf::from(name));
        folders.extend(cached(name, environment)?);
        for folder in &folders {
            if let Some(tower) = Self::read_folder(folder)? {
                return Ok(tower);
            }
        }
        let lower = name.to_lowercase();
        if lower.contains("siglip") && lower.contains("so400m") {
            return Ok(Self {
                config: VisionConfig::SO400M_PATCH14_384,
                preprocessor: None,
                origin: PathBuf::from("released values of siglip-so400m-patch14-384"),
            });
        }
        let next =
            format!("download it with `hf download {name}`, or put its folder beside the model");
        Err(Error::ModelNotFound {
            model: name.to_owned(),
            tried: folders,
            next,
        })
    }

    fn read(prefix: &str, model: &Checkpoint) -> Result<Option<Self>> {
        let file = |name: &str| format!("{prefix}{name}");
        let Some(json) = model.read(&file(CONFIG))? else {
            return Ok(None);
        };
        let preprocessor = model.read(&file(PREPROCESSOR))?;
        let origin = model.file_path(prefix);
        Self::parse(&json, preprocessor.as_deref(), origin).map(Some)
    }

    fn read_folder(folder: &Path) -> Result<Option<Self>> {
        let Some(json) = crate::checkpoint::read_small(&folder.join(CONFIG))? else {
            return Ok(None);
        };
        let preprocessor = crate::checkpoint::read_small(&folder.join(PREPROCESSOR))?;
        Self::parse(&json, preprocessor.as_deref(), folder.to_path_buf()).map(Some)
    }

    fn parse(json: &[u8], preprocessor: Option<&[u8]>, origin: PathBuf) -> Result<Self> {
        let config = VisionConfig::parse(json, &origin.join(CONFIG))?;
        let file = origin.join(PREPROCESSOR);
        let preprocessor = preprocessor
            .map(|json| fields::parse(json, &file))
            .transpose()?;
        Ok(Self {
            config,
            preprocessor,
            origin,
        })
    }
}

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<VisionConfig> {
        VisionConfig::parse(json.as_bytes(), Path::new("tower/config.json"))
    }

    #[test]
    fn the_released_file_gives_the_released_values() {
        let json = r#"{"model_type": "siglip", "text_config": {}, "vision_config": {
            "hidden_size": 1152, "image_size": 384, "intermediate_size": 4304,
            "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14}}"#;
        let config = parse(json).expect("valid");
        assert_eq!(config, VisionConfig::SO400M_PATCH14_384);
        assert_eq!((config.used_layers(), config.grid()), (26, 27));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for wrong in [
            r#"{"vision_config": {"patch_size": 0}}"#,
            r#"{"vision_config": {"patch_size": 500}}"#,
            r#"{"vision_config": {"num_hidden_layers": 1}}"#,
            r#"{"vision_config": {"num_attention_heads": 7}}"#,
            r#"{"vision_config": {"hidden_act": "relu"}}"#,
            r#"{"vision_config": {"image_size": 100000}}"#,
            r#"{"vision_config": 3}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
