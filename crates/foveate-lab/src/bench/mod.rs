//! `foveate bench`: time, arithmetic and memory per phase, plain and pruned in one run.

mod breakdown;
mod ceiling;
mod flops;
mod folder;
mod matrix;
mod measure;
mod page;
mod roofline;
mod sizes;
mod subject;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use foveate_core::{DEFAULT_KEEP, Error, Options, Origin, Settings, Tokenizer};
use indicatif::ProgressBar;

use crate::args::{ImageArgs, ManyKeeps, ModelArgs, SettingsArgs};
use crate::progress;
use crate::report::Outputs;
use breakdown::Breakdown;
use ceiling::Ceiling;
use foveate::report;
use measure::{MedianMs, Sample, sample};
use subject::{ShapeArgs, Subject};

/// Measure a model, or a shape with random weights
#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    images: ImageArgs,
    /// The question about the images of a model
    #[arg(
        short = 'i',
        long = "input",
        env = "FOVEATE_INPUT",
        default_value = "Describe this image."
    )]
    #[arg(help_heading = "Images")]
    question: String,
    #[command(flatten)]
    settings: SettingsArgs<ManyKeeps>,
    /// Measure this many steps and estimate the rest; all when absent
    #[arg(long, env = "FOVEATE_STEPS_MEASURED", value_name = "N")]
    #[arg(help_heading = "Measurement")]
    steps_measured: Option<NonZeroUsize>,
    /// Repetitions, with the rows taking turns; medians are printed
    #[arg(long, env = "FOVEATE_ROUNDS", value_name = "N", default_value = "3")]
    #[arg(help_heading = "Measurement")]
    rounds: NonZeroUsize,
    /// Print one JSON object; of a matrix one object per row
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    #[arg(help_heading = "Measurement")]
    json: bool,
    /// Measure at once, without a step of every row before, for requests whose steps take minutes
    #[arg(long, env = "FOVEATE_NO_WARM_UP", value_parser = FalseyValueParser::new())]
    #[arg(help_heading = "Measurement")]
    no_warm_up: bool,
    #[command(flatten)]
    accounts: AccountArgs,
    /// Write a folder of bfloat16 random weights of this shape, to be quantized and measured, and end
    #[arg(long, num_args = 2, value_names = ["SHAPE", "DIR"], conflicts_with = "shape")]
    #[arg(help_heading = "Shape")]
    write_random: Vec<String>,
    #[command(flatten)]
    matrix: matrix::MatrixArgs,
}

/// What is told of single operations.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct AccountArgs {
    /// Say what every operation costs: time, share of the measured peaks, bytes, kernel
    #[arg(long, env = "FOVEATE_BREAKDOWN", value_parser = FalseyValueParser::new())]
    #[arg(help_heading = "Measurement")]
    pub(crate) breakdown: bool,
    /// Compare with the time that arithmetic and bytes take at the machine's measured peaks
    #[arg(long, env = "FOVEATE_ROOFLINE", value_parser = FalseyValueParser::new())]
    #[arg(help_heading = "Measurement")]
    pub(crate) roofline: bool,
}

/// One row of the comparison.
struct Row {
    label: String,
    keep: f64,
    options: Options,
    samples: Vec<Sample>,
}

/// A finished row.
struct Measured {
    label: String,
    keep: f64,
    sample: Sample,
    median: MedianMs,
    breakdown: Breakdown,
}

/// Measures and prints.
pub fn main(args: &BenchArgs, repeated: &str) -> Result<ExitCode> {
    if let [shape, folder] = &args.write_random[..] {
        return folder::main(args, shape, folder);
    }
    if args.matrix.matrix {
        return matrix::main(args, repeated);
    }
    let timed = args.accounts.breakdown || args.accounts.roofline;
    let (model, images) = (&args.model, &args.images);
    Subject::check(&args.shape, model, images)?;
    let ceiling = timed.then(|| Ceiling::measure(model.machine)).transpose()?;
    report::forget_peak();
    let subject = Subject::new(&args.shape, model, images, &args.question, timed)?;
    let mut rows = rows(args, &subject)?;
    let steps = match rows.first() {
        Some(row) => row.options.most_steps()?,
        None => 0,
    };
    let limit = args.steps_measured.map_or(steps, usize::from).min(steps);
    let bar = progress::counted("measuring", args.rounds.get() * rows.len());
    if !args.no_warm_up {
        warm_up(&subject, &rows)?;
    }
    for _ in 0..args.rounds.get() {
        for row in &mut rows {
            row.measure(&subject, limit, &bar)?;
        }
    }
    bar.finish_and_clear();
    let measured: Vec<Measured> = rows.into_iter().filter_map(Row::finish).collect();
    let page = page::Page {
        subject: &subject,
        rows: &measured,
        steps,
        rounds: args.rounds.get(),
        ceiling,
        accounts: args.accounts,
    };
    let outputs = Outputs {
        json: args.json,
        charts: Vec::new(),
        markdown: None,
    };
    outputs.write(&page, repeated)?;
    Ok(ExitCode::SUCCESS)
}

/// A row per `--keep`, and one without pruning when nothing is said.
fn rows(args: &BenchArgs, subject: &Subject) -> Result<Vec<Row>> {
    let family = subject.engine.card().family;
    let mut settings = args.settings.settings()?.with_preset(family)?;
    let method = settings
        .get("prune")
        .map(|said| said.value.text() != "none");
    let mut keeps = args.settings.keeps().to_vec();
    if keeps.is_empty() {
        keeps = match (settings.get("keep"), method) {
            (Some(keep), _) => vec![keep.value.number()],
            (None, Some(true)) => vec![1.0, DEFAULT_KEEP],
            (None, _) => vec![1.0],
        };
    }
    if settings.says("keep") && method.is_none() {
        settings.set("prune", "redvtp", Origin::Flag)?;
    }
    let row = |keep| row(&settings, keep, subject);
    keeps.into_iter().map(row).collect()
}

fn row(settings: &Settings, keep: f64, subject: &Subject) -> Result<Row> {
    let mut settings = settings.clone();
    if settings.says("prune") {
        settings.set("keep", &keep.to_string(), Origin::Flag)?;
    }
    let mut options = settings.resolve(subject.engine.card(), no_tokenizer)?;
    #[expect(clippy::float_cmp, reason = "exactly 1 is how unpruned is written")]
    if keep == 1.0 {
        options.prune = None;
    }
    if !settings.says("stop") {
        options.stop.clone_from(&subject.stop);
    }
    let method = options.prune.as_ref().map(|prune| prune.method.name());
    Ok(Row {
        label: method.unwrap_or("none").to_owned(),
        keep,
        options,
        samples: Vec::new(),
    })
}

/// Measurements know no text of an answer.
fn no_tokenizer() -> foveate_core::Result<Tokenizer> {
    Err(Error::Request {
        field: "template",
        reason: "a measurement has no template and no draft; leave them out".into(),
    })
}

/// One step of every row, so that no row pays for the first touch of memory.
fn warm_up(subject: &Subject, rows: &[Row]) -> Result<()> {
    for row in rows {
        sample(subject, &row.options, 1).context("starting the measurement")?;
    }
    Ok(())
}

impl Row {
    fn measure(&mut self, subject: &Subject, limit: usize, bar: &ProgressBar) -> Result<()> {
        self.samples.push(sample(subject, &self.options, limit)?);
        bar.inc(1);
        Ok(())
    }

    fn finish(self) -> Option<Measured> {
        Some(Measured {
            median: MedianMs::of(&self.samples),
            breakdown: Breakdown::mean(
                self.samples
                    .iter()
                    .map(|sample| (&sample.spent[..], sample.steps.iter().sum())),
            ),
            label: self.label,
            keep: self.keep,
            // Everything but time is the same in every round.
            sample: self.samples.into_iter().next()?,
        })
    }
}

impl Measured {
    fn tokens_per_second(&self) -> f64 {
        1e3 * self.sample.committed as f64 / self.median.total
    }

    fn gflops_per_second(&self) -> f64 {
        self.sample.flops.total() / 1e6 / self.median.total
    }

    /// Steps that were not measured are taken to last as long as the last one.
    fn answer_ms(&self, steps: usize) -> f64 {
        let rest = steps.saturating_sub(self.sample.steps.len());
        self.median.total + rest as f64 * self.median.last_step
    }
}
