//! `foveate attention`: how much of its attention an answer pays to the picture, layer by layer, and
//! whether the visual tokens that it looks at change from step to step.

mod gather;
mod page;
mod ranks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::builder::FalseyValueParser;

use crate::args::ModelArgs;
use crate::eval::{AskedArgs, fingerprint_of};
use crate::load;
use crate::report::{KeepsArgs, Outputs};
use gather::gather;
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

/// What is compared, and what is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Comparison")]
struct WhatArgs {
    #[command(flatten)]
    keeps: KeepsArgs,
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

/// Measures and prints; `line` is the command that repeats it.
pub fn main(args: &AttentionArgs, line: &str) -> Result<ExitCode> {
    let what = &args.what;
    let keeps = what.keeps.checked()?;
    let outputs = Outputs {
        json: what.json,
        charts: vec![
            ("--layer-chart", what.layer_chart.as_deref()),
            ("--step-chart", what.step_chart.as_deref()),
        ],
        markdown: what.markdown.as_deref(),
    };
    outputs.check()?;
    let questions = args.asked.questions()?;
    let model = load::open(&args.model.source)?;
    let engine = load::weights(&model, &args.model)?;
    let page = Page {
        model: &model.name,
        fingerprint: &fingerprint_of(&model.checkpoint)?,
        questions: &questions,
        keeps,
        gathered: &gather(&engine, &questions, keeps)?,
    };
    outputs.write(&page, line)?;
    Ok(ExitCode::SUCCESS)
}
