//! `foveate bench --matrix`: the same questions under every combination of settings, and how far each
//! answer is from the unpruned, uncached one.

mod page;
mod questions;
mod row;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use foveate_core::{Engine, Settings};

use super::subject::Subject;
use super::{BenchArgs, no_tokenizer};
use crate::exit::{self, usage};
use crate::report::{Outputs, all_refused};
use crate::sweep::{self, Sweep, one_keep, setups};
use crate::{load, progress};
use page::Page;
use questions::{Question, Text};
use row::Row;

/// The flags of a matrix.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Matrix")]
pub(crate) struct MatrixArgs {
    /// Compare every combination of --sweep on the same questions
    #[arg(long, env = "FOVEATE_MATRIX", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) matrix: bool,
    /// Lists that combine as a product, of any flag that says how to answer; several, or repeated
    #[arg(long, value_name = "FLAG=VALUE,…", num_args = 1.., requires = "matrix")]
    pub(crate) sweep: Vec<Sweep>,
    /// Questions, one object {"image", "question", "answer" or none} a line
    #[arg(long, env = "FOVEATE_JSONL", value_name = "FILE", requires = "matrix")]
    pub(crate) jsonl: Option<PathBuf>,
    /// Draw speed against agreement
    #[arg(
        long,
        env = "FOVEATE_CHART",
        value_name = "OUT.svg|OUT.png",
        requires = "matrix"
    )]
    pub(crate) chart: Option<PathBuf>,
}

/// What is swept when nothing is said.
const DEFAULT_SWEEPS: [&str; 4] = [
    "prune=none,redvtp,llada-fastv",
    "keep=0.5,0.25",
    "cache=none,fast-dllm",
    "policy=fixed,threshold=0.9",
];

/// Runs and prints the matrix.
pub(crate) fn main(args: &BenchArgs, repeated: &str) -> Result<ExitCode> {
    refuse(args)?;
    let settings = one_keep(&args.settings.settings()?, args.settings.keeps())?;
    let sweeps = sweeps(args, &settings)?;
    let outputs = Outputs {
        json: args.json,
        charts: vec![("--chart", args.matrix.chart.as_deref())],
        markdown: None,
    };
    outputs.check()?;
    let (model, engine, questions) = ask(args)?;
    let (card, engine) = (engine.card().clone(), &engine);
    let setups = setups(&settings, &sweeps, &card, &no_tokenizer)?;
    let mut rows: Vec<Row> = setups.into_iter().map(Row::new).collect();
    let bar = progress::counted("measuring", (args.rounds.get() + 1) * rows.len());
    // One round so that no row pays for the first touch of memory.
    for round in 0..=args.rounds.get() {
        for row in &mut rows {
            row.measure(engine, &questions)?;
            bar.inc(1);
        }
        if round == 0 {
            for row in &mut rows {
                row.rounds.clear();
            }
        }
    }
    bar.finish_and_clear();
    if let Some(reason) = rows.first().and_then(|row| row.setup.refused.as_ref()) {
        return Err(usage(format!("the baseline cannot be run: {reason}")));
    }
    let baseline = rows.first().and_then(|row| row.rounds.first()).cloned();
    let baseline = baseline.unwrap_or_default();
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let summary = row.summary(&baseline, &questions);
            (row, summary)
        })
        .collect();
    let page = Page {
        model: &model,
        questions: questions.len(),
        sweeps: &sweeps,
        rows: &rows,
    };
    outputs.write(&page, repeated)?;
    let refused = all_refused(rows.iter().map(|(row, _)| &row.setup));
    Ok(exit::unless_refused(refused))
}

/// Refuses what measures the steps of one answer and means nothing for whole answers side by side.
fn refuse(args: &BenchArgs) -> Result<()> {
    let given = [
        ("--breakdown", args.accounts.breakdown),
        ("--roofline", args.accounts.roofline),
        ("--no-warm-up", args.no_warm_up),
        ("--steps-measured", args.steps_measured.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(usage(format!(
            "{flag} does not go with --matrix, which measures whole answers; leave one out"
        ))),
        None => Ok(()),
    }
}

/// The lists to combine, checked against the flags that there are.
fn sweeps(args: &BenchArgs, settings: &Settings) -> Result<Vec<Sweep>> {
    let sweeps = if args.matrix.sweep.is_empty() {
        let all = DEFAULT_SWEEPS.iter().map(|text| text.parse::<Sweep>());
        let all: Vec<Sweep> = all.collect::<Result<_, _>>().map_err(usage)?;
        all.into_iter()
            .filter(|sweep| !sweep::is_given(&sweep.flag, settings))
            .collect()
    } else {
        args.matrix.sweep.clone()
    };
    sweep::refuse(&sweeps, settings)?;
    Ok(sweeps)
}

/// The model and what it is asked; the built-in model unless another or a shape is given.
fn ask(args: &BenchArgs) -> Result<(String, Engine, Vec<Question>)> {
    let images = !args.images.images.is_empty();
    if args.shape.is_given() {
        if images || args.matrix.jsonl.is_some() || args.model.source.model.is_some() {
            return Err(usage(
                "a shape has random weights and looks at nothing; leave -m, --image and --jsonl out",
            ));
        }
        let (model, images) = (&args.model, &args.images);
        let subject = Subject::new(&args.shape, model, images, &args.question, false)?;
        let text = Text::Prompt(subject.prompt);
        let question = Question {
            text,
            images: subject.images,
            answer: None,
        };
        return Ok((subject.name, subject.engine, vec![question]));
    }
    match (&args.matrix.jsonl, images) {
        (None, false) => {
            return Err(usage(
                "a matrix needs questions: give --image FILE, --jsonl FILE or --shape NAME",
            ));
        }
        (Some(_), true) => return Err(usage("--jsonl names the images itself; leave --image out")),
        _ => {}
    }
    if args.question.trim().is_empty() {
        return Err(usage("the question is blank; ask one with -i \"…\""));
    }
    let pictures = foveate::pictures::read(&args.images.images, args.images.orientation())?;
    let model = load::open(&args.model.source)?;
    let engine = load::weights(&model, &args.model)?;
    let questions = match &args.matrix.jsonl {
        Some(path) => questions::read(path, args.images.orientation(), &engine)?,
        None => vec![Question {
            text: Text::Words(args.question.clone()),
            images: pictures
                .iter()
                .map(|picture| engine.encode(picture))
                .collect::<Result<_, _>>()?,
            answer: None,
        }],
    };
    Ok((model.name, engine, questions))
}
