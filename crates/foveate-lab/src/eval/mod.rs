//! `foveate eval`: questions with known answers under one setting or a sweep of them, and how often the
//! model is right.

mod answering;
mod asked;
mod beginning;
mod bootstrap;
mod curves;
mod fingerprint;
mod journal;
mod markdown;
mod metric;
mod page;
mod questions;
mod sheets;
mod suite;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use foveate::Opened;
use foveate_core::{Settings, Tokenizer};

use crate::args::{ModelArgs, SettingsArgs, Untemplated};
use crate::exit::{self, note, usage};
use crate::sweep::{self, Setup, Sweep, setups};
use crate::{load, progress};
use answering::{Run, answer_all};
pub(crate) use asked::AskedArgs;
pub(crate) use fingerprint::of_model as fingerprint_of;
use journal::{Header, Journal};
pub(crate) use markdown::table as markdown_table;
use page::Page;
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
    let machine = args.model.machine;
    let (rows, mut runs) = answering::plan(setups, &questions, machine);
    let model_fingerprint = fingerprint_of(&model.checkpoint)?;
    let mut journal = match &what.resume {
        Some(path) => {
            let header = Header {
                model: model.name.clone(),
                model_fingerprint: model_fingerprint.clone(),
                questions: questions.name.clone(),
                questions_fingerprint: questions.fingerprint(args.asked.orientation())?,
            };
            let settings: Vec<&str> = runs.iter().map(|run| run.settings.as_str()).collect();
            let (journal, known) = Journal::open(path, &header, &settings)?;
            recall(&mut runs, known);
            Some(journal)
        }
        None => None,
    };
    let left: usize = runs.iter().map(Run::left).sum();
    if left > 0 {
        let engine = load::weights(&model, &args.model)?;
        let bar = progress::counted("answering", left);
        let job = answering::Job {
            engine: &engine,
            questions: &questions,
            orientation: args.asked.orientation(),
            batch: args.asked.batch.get(),
            bar: &bar,
        };
        answer_all(&job, &mut runs, journal.as_mut())?;
        bar.finish_and_clear();
    }
    let page = Page::new(
        &model,
        &model_fingerprint,
        machine,
        &questions,
        &what.sweep,
        rows,
        &runs,
    )?;
    exit::print(&if what.json {
        page.json_lines()?
    } else {
        page.text()
    })?;
    if let Some(path) = &what.chart {
        page.chart().save(path)?;
        note(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &what.markdown {
        let chart = what.chart.as_deref();
        let report = markdown::report(&page, repeated, chart);
        std::fs::write(path, report).with_context(|| format!("writing {}", path.display()))?;
        note(&format!("wrote {}", path.display()));
    }
    Ok(exit::unless_refused(page.all_refused()))
}

/// Refuses flags that could only fail later.
fn check(what: &WhatArgs, settings: &Settings) -> Result<()> {
    sweep::refuse(&what.sweep, settings)?;
    let swept = |flag: &str| what.sweep.iter().any(|sweep| sweep.flag == flag);
    if !swept("prune") && !swept("preset") && !settings.says("preset") {
        settings.refuse_strays()?;
    }
    if let Some(chart) = &what.chart {
        crate::chart::check("--chart", chart)?;
    }
    if let Some(page) = &what.markdown {
        crate::chart::check_folder("--markdown", page)?;
    }
    Ok(())
}

/// The one row without a sweep.
fn single(settings: &Settings, model: &Opened) -> Result<Setup> {
    let options = settings.resolve(&model.card, || Tokenizer::open(&model.checkpoint))?;
    options.check(&model.card)?;
    Ok(Setup {
        combination: Vec::new(),
        options,
        refused: None,
    })
}

/// Puts back what an earlier run answered.
fn recall(runs: &mut [Run], mut known: journal::Known) {
    for run in runs {
        for (index, answer) in run.answers.iter_mut().enumerate() {
            *answer = known.remove(&(run.settings.clone(), index));
        }
    }
}
