//! `foveate bench --write-random`: a model folder of a shape, as if it were downloaded.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use foveate_core::write_random;

use super::BenchArgs;
use crate::exit::{note, usage};
use crate::progress;

/// Writes the folder; `shape` is a name, and the flags of a shape change its sizes.
pub(super) fn main(args: &BenchArgs, shape: &str, folder: &str) -> Result<ExitCode> {
    if args.model.source.model.is_some() || !args.images.images.is_empty() || args.matrix.matrix {
        return Err(usage(
            "--write-random writes a folder and measures nothing; leave -m, --image and --matrix out",
        ));
    }
    let shape = args.shape.named(shape)?;
    let bar = progress::written("writing");
    let written = write_random(&shape, 0, Path::new(folder), &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    written.with_context(|| format!("writing {folder}"))?;
    note(&format!("wrote {folder}"));
    Ok(ExitCode::SUCCESS)
}
