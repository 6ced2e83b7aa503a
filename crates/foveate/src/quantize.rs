//! `foveate quantize`: a model folder with fewer bits a weight.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use foveate_core::quantise;

use crate::args::{ModelArgs, Storage};
use crate::exit::{self, usage};
use crate::{load, progress};

/// Write a model folder whose decoder has 8 or 4 bits a weight
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Any command opens the folder; --dtype auto keeps its bits. \
    The original must be there in f32, f16 or bf16."
)]
pub(crate) struct QuantizeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The new folder
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Writes the folder.
pub(crate) fn main(args: &QuantizeArgs) -> Result<ExitCode> {
    let dtype = args.model.machine.dtype;
    if !matches!(dtype, Storage::Q8 | Storage::Q4) {
        return Err(usage("nothing to quantise; add --dtype q8 or --dtype q4"));
    }
    let model = load::open(&args.model)?;
    let bar = progress::counted("quantising", 0);
    let written = quantise(
        &model.checkpoint,
        &model.environment,
        dtype.into(),
        &model.name,
        &args.output,
        &mut |done, of| progress::set(&bar, done, of),
    );
    bar.finish_and_clear();
    written.with_context(|| format!("quantising {}", model.name))?;
    exit::note(&format!("wrote {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
