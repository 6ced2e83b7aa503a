//! `foveate quantize`: a model folder with fewer bits a weight.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use foveate_core::quantize;

use foveate_lab::args::{SourceArgs, Storage, storages};
use foveate_lab::exit::{self, usage};
use foveate_lab::{load, progress};

/// Write a model folder whose decoder has 8 or 4 bits a weight
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Any command opens the folder; --dtype auto keeps its bits. \
    The original must be there in f32, f16 or bf16."
)]
pub(crate) struct QuantizeArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Bits of the decoder's weights: q8 or q4
    #[arg(
        long,
        env = "FOVEATE_DTYPE",
        default_value = "auto",
        value_parser = storages(),
        hide_possible_values = true,
        hide_default_value = true
    )]
    dtype: Storage,
    /// Worker threads; one per core when absent
    #[arg(long, env = "FOVEATE_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// The new folder
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Writes the folder.
pub(crate) fn main(args: &QuantizeArgs) -> Result<ExitCode> {
    let dtype = args.dtype;
    if !matches!(dtype, Storage::Q8 | Storage::Q4) {
        return Err(usage("nothing to quantize; add --dtype q8 or --dtype q4"));
    }
    let model = load::open(&args.source)?;
    let bar = progress::counted("quantizing", 0);
    let written = quantize(
        &model.checkpoint,
        &model.environment,
        dtype.into(),
        &model.name,
        &args.output,
        args.threads,
        &mut |done, of| progress::set(&bar, done, of),
    );
    bar.finish_and_clear();
    written.with_context(|| format!("quantizing {}", model.name))?;
    exit::note(&format!("wrote {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
