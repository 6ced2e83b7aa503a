//! `foveate eval`: questions with known answers under one setting or a sweep of them, and how often the
//! model is right.

mod answering;
mod asked;
mod beginning;
mod bootstrap;
mod curves;
mod fingerprint;
mod journal;
mod metric;
mod page;
mod questions;
mod reports;
mod sheets;
mod suite;
mod summary;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use foveate::Opened;
use foveate_core::{Settings, Tokenizer};

use crate::args::{ModelArgs, SettingsArgs, Untemplated};
use crate::exit::{self, usage};
use crate::report::{Outputs, all_refused};
use crate::sweep::{self, Setup, Sweep, setups};
use crate::{load, progress};
use answering::{Run, answer_all};
pub(crate) use asked::AskedArgs;
pub(crate) use fingerprint::of_model as fingerprint_of;
use journal::{Header, Journal};
use page::{About, Page};
pub(crate) use questions::Questions;

/// Measure how often a model is right, pruned or not
#[derive(clap::Args, Debug)]
pub struct EvalArgs {
    #[command(flatten)]
    asked: AskedArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    settings: SettingsArgs<Untemplated>,
}

/// What is compared, and what is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Evaluation")]
struct WhatArgs {
    /// Lists that combine as a product, of any flag that says how to answer; several, or repeated
    #[arg(long, value_name = "FLAG=VALUE,…", num_args = 1..)]
    sweep: Vec<Sweep>,
    /// Append every answer to this file, and reuse those that it has
    #[arg(long, env = "FOVEATE_RESUME", value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print one JSON object a row
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Draw accuracy against speed, or against the layer where --sweep prune-layer is given
    #[arg(long, env = "FOVEATE_CHART", value_name = "OUT.svg|OUT.png")]
    chart: Option<PathBuf>,
    /// Write a report with every table
    #[arg(long, env = "FOVEATE_MARKDOWN", value_name = "OUT.md")]
    markdown: Option<PathBuf>,
}

/// Asks, scores and prints.
pub fn main(args: &EvalArgs, repeated: &str) -> Result<ExitCode> {
    let what = &args.what;
    let settings = args.settings.settings()?;
    check(what, &settings)?;
    let outputs = Outputs {
        json: what.json,
        charts: vec![("--chart", what.chart.as_deref())],
        markdown: what.markdown.as_deref(),
    };
    outputs.check()?;
    let questions = args.asked.questions()?;
    let model = load::open(&args.model.source)?;
    let setups = if what.sweep.is_empty() {
        vec![single(&settings, &model)?]
    } else {
        let tokenizer = || Tokenizer::open(&model.checkpoint);
        setups(&settings, &what.sweep, &model.card, &tokenizer)?
    };
    if let Some(reason) = setups.first().and_then(|setup| setup.refused.as_ref()) {
        return Err(usage(format!("the baseline cannot be run: {reason}")));
    }
    let about = About {
        model: &model.name,
        model_fingerprint: &fingerprint_of(&model.checkpoint)?,
        machine: args.model.machine,
        layers: model.card.decoder.layers,
        questions: &questions,
        sweeps: &what.sweep,
    };
    let (rows, mut runs) = answering::plan(setups, &questions, about.machine);
    let mut journal = match &what.resume {
        Some(path) => Some(resume(path, &about, &mut runs)?),
        None => None,
    };
    let left: usize = runs.iter().map(Run::left).sum();
    if left > 0 {
        let job = answering::Job {
            engine: &load::weights(&model, &args.model)?,
            questions: &questions,
            bar: &progress::counted("answering", left),
        };
        answer_all(&job, &mut runs, journal.as_mut())?;
        job.bar.finish_and_clear();
    }
    let page = Page::new(about, rows, &runs)?;
    outputs.write(&page, repeated)?;
    let refused = all_refused(page.rows.iter().map(|row| &row.setup));
    Ok(exit::unless_refused(refused))
}

/// Refuses flags that could only fail later.
fn check(what: &WhatArgs, settings: &Settings) -> Result<()> {
    sweep::refuse(&what.sweep, settings)?;
    let swept = |flag: &str| what.sweep.iter().any(|sweep| sweep.flag == flag);
    if !swept("prune") && !swept("preset") && !settings.says("preset") {
        settings.refuse_strays()?;
    }
    Ok(())
}

/// Opens the file of answers and puts back what an earlier run answered.
fn resume(path: &Path, about: &About<'_>, runs: &mut [Run]) -> Result<Journal> {
    let header = Header {
        model: about.model.to_owned(),
        model_fingerprint: about.model_fingerprint.to_owned(),
        questions: about.questions.name.clone(),
        questions_fingerprint: about.questions.fingerprint()?,
    };
    let settings: Vec<&str> = runs.iter().map(|run| run.settings.as_str()).collect();
    let (journal, mut known) = Journal::open(path, &header, &settings)?;
    for run in runs {
        for (index, answer) in run.answers.iter_mut().enumerate() {
            *answer = known.remove(&(run.settings.clone(), index));
        }
    }
    Ok(journal)
}

/// The one row without a sweep.
fn single(settings: &Settings, model: &Opened) -> Result<Setup> {
    Ok(Setup {
        combination: Vec::new(),
        options: model.options(settings)?,
        refused: None,
    })
}
