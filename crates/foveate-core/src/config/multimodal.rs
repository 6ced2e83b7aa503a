//! The part of a `config.json` that says how images become tokens.

use serde_json::Value;

use super::fields::Fields;
use crate::error::Result;

/// How images are cut and how their features reach the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct MultimodalConfig {
    /// Width of the vision features.
    pub mm_hidden_size: usize,
    /// For example `spatial_unpad`; `flat` when absent.
    pub mm_patch_merge_type: String,
    /// Folder or repository that holds the tower's config.
    pub mm_vision_tower: String,
    /// For example `anyres_max_4`.
    pub image_aspect_ratio: Option<String>,
    /// List, Python literal or range notation of (width, height); see the tiling code.
    pub image_grid_pinpoints: Option<Value>,
    /// Pooling of the views, `bilinear` when absent.
    pub mm_spatial_pool_mode: String,
    /// Pooling step; the `LLaDA-V` evaluation overrides it with 2.
    pub mm_spatial_pool_stride: Option<usize>,
}

impl MultimodalConfig {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self> {
        fields.must_be("mm_projector_type", &Value::from("mlp2x_gelu"))?;
        fields.must_be_absent("mm_resampler_type")?;
        fields.must_be("mm_newline_position", &Value::from("grid"))?;
        fields.must_be("mm_use_im_start_end", &Value::Bool(false))?;
        fields.must_be("mm_use_im_patch_token", &Value::Bool(false))?;
        let Some(tower) = fields
            .text("mm_vision_tower")?
            .filter(|tower| !tower.is_empty())
        else {
            return Err(fields.error("mm_vision_tower", "expected a name, got nothing"));
        };
        Ok(Self {
            mm_hidden_size: fields.count("mm_hidden_size")?,
            mm_patch_merge_type: fields.text("mm_patch_merge_type")?.unwrap_or("flat".into()),
            mm_vision_tower: tower,
            image_aspect_ratio: fields.text("image_aspect_ratio")?,
            image_grid_pinpoints: fields.value("image_grid_pinpoints").cloned(),
            mm_spatial_pool_mode: fields
                .text("mm_spatial_pool_mode")?
                .unwrap_or("bilinear".into()),
            mm_spatial_pool_stride: fields.optional_count("mm_spatial_pool_stride")?,
        })
    }
}
