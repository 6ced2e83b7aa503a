//! Reading the pictures of a question, from files or from standard input.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use foveate_core::image::{DecodeLimits, Picture, decode_bytes, decode_file};

use crate::args::ImageArgs;
use crate::exit::usage;

/// Decodes every picture in order.
pub(crate) fn read(args: &ImageArgs) -> Result<Vec<Picture>> {
    let piped = args.images.iter().filter(|path| is_stdin(path)).count();
    if piped > 1 {
        return Err(usage(format!(
            "--image - was given {piped} times; standard input holds one picture"
        )));
    }
    args.images
        .iter()
        .map(|path| read_one(path, args))
        .collect()
}

fn read_one(path: &Path, args: &ImageArgs) -> Result<Picture> {
    let limits = DecodeLimits::default();
    if !is_stdin(path) {
        return Ok(decode_file(path, args.orientation(), &limits)?);
    }
    let mut bytes = Vec::new();
    // One byte beyond the limit is enough to know.
    std::io::stdin()
        .lock()
        .take(limits.max_file_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .context("reading an image from standard input")?;
    Ok(decode_bytes(
        "standard input",
        &bytes,
        args.orientation(),
        &limits,
    )?)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
