//! `foveate bench --matrix`: the same questions under every combination of settings, and how far each
//! answer is from the unpruned, uncached one.

mod page;
mod questions;
mod row;
mod sweep;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use foveate_core::{CacheSettings, Engine, ModelCard, Options, Policy};

use super::BenchArgs;
use super::subject::Subject;
use crate::args::DEFAULT_KEEP;
use crate::exit::{self, note, usage};
use crate::preset::{self, Origin, Origins, Preset};
use crate::{Cli, Command, load, progress, report};
use page::Page;
use questions::{Question, Text};
use row::{Row, Setup};
pub(crate) use sweep::Sweep;
use sweep::{Combination, combinations};

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
pub(crate) fn main(
    args: &BenchArgs,
    arguments: &[OsString],
    origins: &Origins,
) -> Result<ExitCode> {
    let sweeps = sweeps(args, origins)?;
    if let Some(chart) = &args.matrix.chart {
        crate::chart::check(chart)?;
    }
    let (model, engine, questions) = ask(args)?;
    let (card, engine) = (engine.card().clone(), &engine);
    let mut rows = setups(args, arguments, &sweeps, &card)?;
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
    if let Some(reason) = rows.first().and_then(|row| row.refused.as_ref()) {
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
        layers: card.decoder.layers,
        questions: questions.len(),
        sweeps: &sweeps,
        rows: &rows,
    };
    exit::print(&if args.json {
        page.json_lines()?
    } else {
        page.text()
    })?;
    if let Some(path) = &args.matrix.chart {
        page.chart().save(path)?;
        note(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The lists to combine, checked against the flags that there are.
fn sweeps(args: &BenchArgs, origins: &Origins) -> Result<Vec<Sweep>> {
    let given = |flag: &str| matches!(origins.get(&flag.replace('-', "_")), Some(Origin::Flag));
    let sweeps = if args.matrix.sweep.is_empty() {
        let all = DEFAULT_SWEEPS.iter().map(|text| text.parse::<Sweep>());
        let all: Vec<Sweep> = all.collect::<Result<_, _>>().map_err(usage)?;
        all.into_iter()
            .filter(|sweep| !given(&sweep.flag))
            .collect()
    } else {
        args.matrix.sweep.clone()
    };
    let command = Cli::command();
    if let Some(bench) = command.find_subcommand("bench") {
        sweep::check(&sweeps, bench).map_err(usage)?;
    }
    if let Some(sweep) = sweeps.iter().find(|sweep| given(&sweep.flag)) {
        let flag = &sweep.flag;
        return Err(usage(format!(
            "--{flag} is given and swept; give one of the two"
        )));
    }
    let swept = |flag: &str| sweeps.iter().any(|sweep| sweep.flag == flag);
    if swept("keep") && !swept("prune") && args.prune.prune.is_none() && !swept("preset") {
        return Err(usage(
            "--sweep keep says how to prune; add --prune METHOD or sweep prune too",
        ));
    }
    Ok(sweeps)
}

/// The model and what it is asked; the built-in model unless another or a shape is given.
fn ask(args: &BenchArgs) -> Result<(String, Engine, Vec<Question>)> {
    let images = !args.images.images.is_empty();
    if args.shape.is_given() {
        if images || args.matrix.jsonl.is_some() || args.model.model.is_some() {
            return Err(usage(
                "a shape has random weights and looks at nothing; leave -m, --image and --jsonl out",
            ));
        }
        let subject = Subject::new(&args.shape, &args.model, &args.images, &args.question)?;
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
    let pictures = crate::pictures::read(&args.images)?;
    let model = load::open(&args.model)?;
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

/// The baseline, then every combination that is not a repetition.
fn setups(
    args: &BenchArgs,
    arguments: &[OsString],
    sweeps: &[Sweep],
    card: &ModelCard,
) -> Result<Vec<Row>> {
    let layers = card.decoder.layers;
    let plain = baseline(options(args, card)?);
    let mut seen = vec![report::options(&plain, layers)?];
    let mut rows = vec![Row::new(Setup {
        combination: Vec::new(),
        options: plain.clone(),
        think: args.generation.think.into(),
    })];
    for combination in combinations(sweeps) {
        let setup = |combination, options, args: &BenchArgs| Setup {
            combination,
            options,
            think: args.generation.think.into(),
        };
        let (row_args, combination) = match reparsed(arguments, &combination)? {
            Ok(row_args) => (row_args, combination),
            Err(reason) => {
                let mut row = Row::new(setup(combination, plain.clone(), args));
                row.refused = Some(reason);
                rows.push(row);
                continue;
            }
        };
        let checked = options(&row_args, card).and_then(|options| {
            let resolved = report::options(&options, layers)?;
            options.check(card)?;
            Ok((options, resolved))
        });
        match checked {
            Ok((_, resolved)) if seen.contains(&resolved) => {}
            Ok((options, resolved)) => {
                seen.push(resolved);
                let combination = effective(combination, &options);
                rows.push(Row::new(setup(combination, options, &row_args)));
            }
            Err(error) => {
                let mut row = Row::new(setup(combination, plain.clone(), &row_args));
                row.refused = Some(error.to_string());
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// The command line with a combination's flags; the inner error is a combination that cannot be.
fn reparsed(
    arguments: &[OsString],
    combination: &Combination,
) -> Result<std::result::Result<BenchArgs, String>> {
    let mut arguments = arguments.to_vec();
    arguments.extend(
        combination
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}").into()),
    );
    let parsed = preset::parse(&Cli::command(), &arguments)
        .and_then(|(matches, _)| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(Cli {
            command: Command::Bench(args),
        }) => Ok(Ok(*args)),
        Ok(_) => Err(usage("only bench has a matrix")),
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Ok(Err(first.trim_start_matches("error: ").to_owned()))
        }
        Err(error) => {
            let text = error.to_string();
            Err(usage(format!(
                "--sweep: {}",
                text.trim_start_matches("error: ").trim_end()
            )))
        }
    }
}

/// The same question without anything that makes an answer faster.
fn baseline(options: Options) -> Options {
    Options {
        prune: None,
        cache: CacheSettings::default(),
        policy: Policy::default(),
        stop_at_end: false,
        max_forwards: None,
        ..options
    }
}

fn options(args: &BenchArgs, card: &ModelCard) -> Result<Options> {
    if let Some(preset) = args.generation.preset.as_deref().and_then(Preset::find) {
        preset.check(card.family)?;
    }
    let keep = match args.keep.as_slice() {
        [] => DEFAULT_KEEP,
        [keep] => *keep,
        _ => {
            return Err(usage(
                "--keep takes one value here; write --sweep keep=1,0.5",
            ));
        }
    };
    let prune = args.prune.settings(keep);
    args.generation.options(card.default_options(), prune)
}

/// Without a method, what is said about pruning has no effect and is left out.
fn effective(combination: Combination, options: &Options) -> Combination {
    let about_pruning = [
        "keep",
        "positions",
        "prune-layer",
        "prune-queries",
        "prune-at",
    ];
    let matters = |flag: &str| options.prune.is_some() || !about_pruning.contains(&flag);
    combination
        .into_iter()
        .filter(|(flag, _)| matters(flag))
        .collect()
}
