//! The picture with its visual tokens on it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use foveate_core::{Engine, Method, Picture, PruneSettings, Pruned, VisualTokens};

pub(crate) fn check(_has_images: bool, _prune: Option<&PruneSettings>) -> Result<()> {
    Ok(())
}

pub(crate) fn write(
    _path: &Path,
    _engine: &Engine,
    _pictures: &[Picture],
    _images: &[Arc<VisualTokens>],
    _pruned: &[Pruned],
    _method: Option<Method>,
) -> Result<()> {
    Ok(())
}
