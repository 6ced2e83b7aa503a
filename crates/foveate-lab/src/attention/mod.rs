//! `foveate attention`: how much of its attention an answer pays to the picture, layer by layer, and
//! whether the visual tokens that it looks at change from step to step.

mod gather;
mod page;
mod ranks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;

use crate::args::ModelArgs;
use crate::eval::{AskedArgs, fingerprint_of};
use crate::exit::{self, note, usage};
use crate::{load, progress};
use page::Page;

/// Measure what answers look at, layer by layer and step by step
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Reads the attention mass that pruning strategies go by, at every denoising step of unpruned \
    answers; no attention map is stored."
)]
pub struct AttentionArgs {
    #[command(flatten)]
    asked: AskedArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Comparison")]
struct WhatArgs {
    /// Keep ratios at which the choices of two steps are compared
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
    /// Draw the share of attention on visual tokens by layer
    #[arg(long, env = "FOVEATE_LAYER_CHART", value_name = "OUT.svg|OUT.png")]
    layer_chart: Option<PathBuf>,
    /// Draw how alike the scores of step 1 and of later steps are
    #[arg(long, env = "FOVEATE_STEP_CHART", value_name = "OUT.svg|OUT.png")]
    step_chart: Option<PathBuf>,
    /// Write a report with every table
    #[arg(long, env = "FOVEATE_MARKDOWN", value_name = "OUT.md")]
    markdown: Option<PathBuf>,
}

/// Measures and prints.
pub fn main(args: &AttentionArgs, repeated: &str) -> Result<ExitCode> {
    let what = &args.what;
    let possible = |keep: &f64| *keep > 0.0 && *keep <= 1.0;
    if let Some(keep) = what.keeps.iter().find(|keep| !possible(keep)) {
        return Err(usage(format!(
            "--keeps: expected shares above 0 and at most 1, got {keep}"
        )));
    }
    let charts = [
        ("--layer-chart", &what.layer_chart),
        ("--step-chart", &what.step_chart),
    ];
    for (flag, chart) in charts {
        if let Some(chart) = chart {
            crate::chart::check(flag, chart)?;
        }
    }
    if let Some(page) = &what.markdown {
        crate::chart::check_folder("--markdown", page)?;
    }
    let questions = args.asked.questions()?;
    let model = load::open(&args.model.source)?;
    let engine = load::weights(&model, &args.model)?;
    let bar = progress::counted("watching", questions.list.len());
    let job = gather::Job {
        engine: &engine,
        questions: &questions,
        orientation: args.asked.orientation(),
        batch: args.asked.batch.get(),
        keeps: &what.keeps,
        bar: &bar,
    };
    let gathered = gather::gather(&job)?;
    bar.finish_and_clear();
    let fingerprint = fingerprint_of(&model.checkpoint)?;
    let page = Page {
        model: &model.name,
        fingerprint: &fingerprint,
        questions: &questions,
        keeps: &what.keeps,
        gathered: &gathered,
    };
    exit::print(&if what.json {
        page.json().to_string() + "\n"
    } else {
        page.text()
    })?;
    let charts = [
        (&what.layer_chart, page.layer_chart()),
        (&what.step_chart, page.step_chart()),
    ];
    for (path, chart) in charts {
        if let Some(path) = path {
            chart.save(path)?;
            note(&format!("wrote {}", path.display()));
        }
    }
    if let Some(path) = &what.markdown {
        let charts = [what.layer_chart.as_deref(), what.step_chart.as_deref()];
        let report = page.markdown(repeated, charts);
        std::fs::write(path, report).with_context(|| format!("writing {}", path.display()))?;
        note(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
