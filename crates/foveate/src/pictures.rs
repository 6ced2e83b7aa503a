//! Reading the pictures of a question, from files or from standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use foveate_core::Orientation;
use foveate_core::image::{DecodeLimits, Picture, decode_bytes, decode_file};

use crate::error::{Error, Result, While as _};

/// Decodes every picture in order; `-` is standard input.
pub fn read(paths: &[PathBuf], orientation: Orientation) -> Result<Vec<Picture>> {
    let piped = paths.iter().filter(|path| is_stdin(path)).count();
    if piped > 1 {
        return Err(Error::Usage(format!(
            "--image - was given {piped} times; standard input holds one picture"
        )));
    }
    paths
        .iter()
        .map(|path| read_one(path, orientation))
        .collect()
}

fn read_one(path: &Path, orientation: Orientation) -> Result<Picture> {
    let limits = DecodeLimits::default();
    if !is_stdin(path) {
        return Ok(decode_file(path, orientation, &limits)?);
    }
    let mut bytes = Vec::new();
    // One byte beyond the limit is enough to know.
    std::io::stdin()
        .lock()
        .take(limits.max_file_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .doing(|| "reading an image from standard input")?;
    let name = "standard input";
    Ok(decode_bytes(name, &bytes, orientation, &limits)?)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
