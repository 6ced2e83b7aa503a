//! `foveate fidelity`: how closely a model with fewer bits a weight follows itself at 32.

mod follow;
mod linears;
mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::FalseyValueParser;

use crate::args::{MachineArgs, ModelArgs, Storage};
use crate::eval::{AskedArgs, fingerprint_of};
use crate::load;
use crate::report::{KeepsArgs, Outputs};
use follow::follow;
use page::{Page, Row};

/// Measure how closely a model with fewer bits a weight follows itself at 32
#[derive(clap::Args, Debug)]
#[command(
    after_help = "At every denoising step of the answers at --dtype (f32 when absent), the other dtypes see \
    the same canvas; their likeliest tokens are compared with those that are committed."
)]
pub struct FidelityArgs {
    #[command(flatten)]
    asked: AskedArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is compared, and what is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Comparison")]
struct WhatArgs {
    /// Storage of the weights that is compared with --dtype
    #[arg(
        long,
        env = "FOVEATE_DTYPES",
        value_name = "DTYPE,…",
        value_delimiter = ',',
        default_value = "bf16,q8,q4",
        value_parser = crate::args::storages()
    )]
    dtypes: Vec<Storage>,
    #[command(flatten)]
    keeps: KeepsArgs,
    /// Print one JSON object
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Write a report with every table
    #[arg(long, env = "FOVEATE_MARKDOWN", value_name = "OUT.md")]
    markdown: Option<PathBuf>,
}

/// Compares and prints; `line` is the command that repeats it.
pub fn main(args: &FidelityArgs, line: &str) -> Result<ExitCode> {
    let what = &args.what;
    let keeps = what.keeps.checked()?;
    let outputs = Outputs {
        json: what.json,
        charts: Vec::new(),
        markdown: what.markdown.as_deref(),
    };
    outputs.check()?;
    let questions = args.asked.questions()?;
    let model = load::open(&args.model.source)?;
    let exact = match args.model.machine.dtype {
        Storage::Auto => Storage::F32,
        said => said,
    };
    let at = |dtype| ModelArgs {
        machine: MachineArgs {
            dtype,
            ..args.model.machine
        },
        ..args.model.clone()
    };
    let teacher = load::weights(&model, &at(exact))?;
    let row = |dtype: &Storage| -> Result<Row> {
        let student = load::weights(&model, &at(*dtype))?;
        Ok(Row {
            dtype: *dtype,
            followed: follow(&teacher, &student, &questions, keeps)?,
            weights: student.memory().weights,
        })
    };
    let rows: Vec<Row> = what.dtypes.iter().map(row).collect::<Result<_>>()?;
    let formats: Vec<_> = what.dtypes.iter().map(|dtype| (*dtype).into()).collect();
    let page = Page {
        model: &model.name,
        fingerprint: &fingerprint_of(&model.checkpoint)?,
        questions: &questions,
        exact,
        exact_weights: teacher.memory().weights,
        keeps,
        rows: &rows,
        linears: &linears::errors(args.model.machine, &model.card.decoder, &formats)?,
    };
    outputs.write(&page, line)?;
    Ok(ExitCode::SUCCESS)
}
