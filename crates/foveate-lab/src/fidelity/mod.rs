//! `foveate fidelity`: how closely a model with fewer bits a weight follows itself at 32.

mod follow;
mod linears;
mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;

use crate::args::{MachineArgs, ModelArgs, Storage};
use crate::eval::{AskedArgs, fingerprint_of};
use crate::exit::{self, note, usage};
use crate::{load, progress};
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
    /// Keep ratios at which the choices of redvtp are compared
    #[arg(
        long,
        env = "FOVEATE_KEEPS",
        value_name = "R,…",
        value_delimiter = ',',
        default_value = "0.5,0.25"
    )]
    keeps: Vec<f64>,
    /// Print one JSON object
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Write a report with every table
    #[arg(long, env = "FOVEATE_MARKDOWN", value_name = "OUT.md")]
    markdown: Option<PathBuf>,
}

/// Compares and prints.
pub fn main(args: &FidelityArgs, repeated: &str) -> Result<ExitCode> {
    let what = &args.what;
    if let Some(keep) = what
        .keeps
        .iter()
        .find(|keep| !(**keep > 0.0 && **keep <= 1.0))
    {
        return Err(usage(format!(
            "--keeps: expected shares above 0 and at most 1, got {keep}"
        )));
    }
    if let Some(page) = &what.markdown {
        crate::chart::check_folder("--markdown", page)?;
    }
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
    let mut rows = Vec::new();
    for &dtype in &what.dtypes {
        let student = load::weights(&model, &at(dtype))?;
        let bar = progress::counted("comparing", questions.list.len());
        let job = follow::Job {
            teacher: &teacher,
            student: &student,
            questions: &questions,
            orientation: args.asked.orientation(),
            batch: args.asked.batch.get(),
            keeps: &what.keeps,
            bar: &bar,
        };
        let followed = follow::follow(&job)?;
        bar.finish_and_clear();
        rows.push(Row {
            dtype,
            followed,
            weights: student.memory().weights,
        });
    }
    let formats: Vec<_> = what.dtypes.iter().map(|dtype| (*dtype).into()).collect();
    let linears = linears::errors(args.model.machine, &model.card.decoder, &formats)?;
    let fingerprint = fingerprint_of(&model.checkpoint)?;
    let page = Page {
        model: &model.name,
        fingerprint: &fingerprint,
        questions: &questions,
        exact,
        exact_weights: teacher.memory().weights,
        keeps: &what.keeps,
        rows: &rows,
        linears: &linears,
    };
    exit::print(&if what.json {
        page.json().to_string() + "\n"
    } else {
        page.text()
    })?;
    if let Some(path) = &what.markdown {
        let report = page.markdown(repeated);
        std::fs::write(path, report).with_context(|| format!("writing {}", path.display()))?;
        note(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
