//! Image sizes → tile grid and number of visual tokens, with the real configurations.

use std::path::Path;

use anyhow::{Context, Result};
use foveate_core::TilingConfig;
use foveate_core::image::{AspectMode, MergeType, OneView, Pooling, geometry, parse_pinpoints};
use serde_json::Value;

use super::check::Report;

/// Compares every row of a geometry file.
pub(crate) fn verify(path: &Path, report: &mut Report) -> Result<()> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: Value = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not JSON; expected a geometry file", path.display()))?;
    let config = tiling(&file["config"])?;
    let rows = file["rows"].as_array().context("no \"rows\"")?;
    let mut got = Vec::with_capacity(rows.len());
    let mut want = Vec::with_capacity(rows.len());
    for row in rows {
        let number = |key: &str| {
            row[key]
                .as_u64()
                .with_context(|| format!("rows.{key}: not a count"))
        };
        let (width, height) = (number("w")? as u32, number("h")? as u32);
        let found = geometry(width, height, &config)?;
        let best = found.best_resolution.unwrap_or_default();
        let grid = found.grid.unwrap_or_default();
        // The file writes no columns where unpadding leaves no row.
        let columns = if found.grid_rows == 0 {
            0
        } else {
            found.grid_cols
        };
        let found = [
            best.0 as usize,
            best.1 as usize,
            grid.1 as usize,
            grid.0 as usize,
            found.views,
            found.base_tokens,
            found.grid_rows,
            columns,
            found.visual_tokens,
        ];
        let best = |i: usize| {
            row["best_resolution"][i]
                .as_u64()
                .context("rows.best_resolution")
        };
        let expected = [
            best(0)?,
            best(1)?,
            number("grid_w")?,
            number("grid_h")?,
            number("tiles_with_base")?,
            number("base_tokens")?,
            number("grid_rows")?,
            number("grid_cols")?,
            number("visual_tokens")?,
        ];
        got.push((width, height, found));
        want.push((width, height, expected.map(|v| v as usize)));
    }
    report.same("rows", &got, &want);
    Ok(())
}

fn tiling(config: &Value) -> Result<TilingConfig> {
    let number = |key: &str| {
        config[key]
            .as_u64()
            .with_context(|| format!("config.{key}: not a count"))
    };
    let text = |key: &str| {
        config[key]
            .as_str()
            .with_context(|| format!("config.{key}: not a text"))
    };
    let image_size = number("image_size")? as u32;
    Ok(TilingConfig {
        image_size,
        patch_size: number("patch_size")? as u32,
        aspect: AspectMode::parse(text("image_aspect_ratio")?)?,
        pinpoints: parse_pinpoints(&config["image_grid_pinpoints"], image_size)?,
        merge: MergeType::parse(text("mm_patch_merge_type")?)?,
        pooling: if text("pooling")? == "none" {
            Pooling::None
        } else {
            Pooling::HalfBilinear
        },
        one_view: OneView::Bare,
    })
}
