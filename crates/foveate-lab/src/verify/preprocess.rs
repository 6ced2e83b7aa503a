//! Cases that compare pixels only.

use anyhow::{Context, Result};
use foveate_core::{
    Checkpoint, DecodeLimits, Environment, Orientation, Picture, Views, card, image::decode_file,
};

use super::check::{Report, tolerance};
use super::manifest::Manifest;

/// Decodes the case's images without turning them.
pub(crate) fn pictures(manifest: &Manifest) -> Result<Vec<Picture>> {
    let limits = DecodeLimits::default();
    let decode = |p: &std::path::PathBuf| Ok(decode_file(p, Orientation::Ignore, &limits)?);
    manifest.images().iter().map(decode).collect()
}

/// Compares the views of every image.
pub(crate) fn verify(manifest: &Manifest, report: &mut Report) -> Result<()> {
    let checkpoint = Checkpoint::open(manifest.checkpoint()?)?;
    let card = card(&checkpoint, &Environment::default())?;
    let pictures = pictures(manifest)?;
    anyhow::ensure!(!pictures.is_empty(), "the case has no image_0.png");
    for (i, picture) in pictures.iter().enumerate() {
        let views = Views::new(picture, &card.tiling)?;
        compare(manifest, i, &views.pixels, report)?;
    }
    Ok(())
}

/// Compares the normalised pixels of image `i` with what the case stores.
pub(crate) fn compare(
    manifest: &Manifest,
    i: usize,
    pixels: &[f32],
    report: &mut Report,
) -> Result<()> {
    let stored = format!("pixel_values_{i}");
    if manifest.has(&stored) {
        let (_, want) = manifest.floats(&stored)?;
        report.close(stored, pixels, &want, tolerance::PIXELS);
        return Ok(());
    }
    let rgb_first = format!("pixel_u8_{i}_rgb_first");
    let name = if manifest.has(&rgb_first) {
        rgb_first
    } else {
        format!("pixel_u8_{i}")
    };
    let (_, want) = manifest
        .bytes(&name)
        .with_context(|| format!("image {i} has no pixels"))?;
    // Back to levels: (v · 0.5 + 0.5) · 255 is exact to far less than half a level.
    let got: Vec<u8> = pixels
        .iter()
        .map(|v| ((v * 0.5 + 0.5) * 255.0).round() as u8)
        .collect();
    report.same(name, &got, &want);
    Ok(())
}
