//! `foveate run`: one question, one answer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use console::Term;
use foveate::report::{Ran, Report, Timings, milliseconds};
use foveate::{Engine, Observer, Opened, Options, Settings, overlay, pictures};
use foveate_core::{FinishReason, VisualTokens};
use foveate_lab::args::{All, ImageArgs, ModelArgs, SettingsArgs};
use foveate_lab::exit::{self, usage};
use foveate_lab::load;

use crate::explain::Explanation;
use crate::steps::Steps;
use crate::visual::{Frames, harmless};

/// Ask a question about images and print the answer
#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// The question
    #[arg(
        short = 'i',
        long = "input",
        env = "FOVEATE_INPUT",
        value_name = "QUESTION"
    )]
    question: Option<String>,
    /// Show the answer being denoised
    #[arg(long, env = "FOVEATE_VISUAL", value_parser = FalseyValueParser::new())]
    visual: bool,
    /// Draw which visual tokens were pruned; several images make OUT-1.png, OUT-2.png …
    #[arg(long, env = "FOVEATE_OVERLAY", value_name = "OUT.png")]
    overlay: Option<PathBuf>,
    /// Print one JSON object instead of the answer
    #[arg(long, env = "FOVEATE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Print every setting with where it comes from, and answer nothing
    #[arg(long, env = "FOVEATE_EXPLAIN", value_parser = FalseyValueParser::new())]
    explain: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    settings: SettingsArgs<All>,
}

/// Answers the question.
pub(crate) fn main(args: &RunArgs) -> Result<ExitCode> {
    let begin = Instant::now();
    let settings = args.settings.settings()?;
    if args.explain {
        return explain(args, &settings);
    }
    let question = question(args)?;
    // What can fail at once fails before the weights are read.
    let mut timings = Timings::default();
    let (model, options) = timed(&mut timings.load, || open(args, &settings))?;
    let files = &args.images;
    if let Some(path) = &args.overlay {
        overlay::check(path, files.images.len(), &options)?;
    }
    let pictures = timed(&mut timings.image, || {
        Ok(pictures::read(&files.images, files.orientation())?)
    })?;
    let engine = timed(&mut timings.load, || load::weights(&model, &args.model))?;
    let images = timed(&mut timings.vision, || {
        Ok(foveate::encode(&engine, &pictures)?)
    })?;
    let denoiser = foveate::start(&engine, question, &images, &options)?;
    let mut observer = observer(args, &engine, &options, &images)?;
    let answered = foveate::answer(&engine, denoiser, observer.as_mut())?;
    timings.total = milliseconds(begin.elapsed());

    if answered.outcome.finish_reason == FinishReason::MaxForwards {
        exit::note(
            "the answer has gaps: --max-forwards was reached while tokens were still masked",
        );
    }
    if args.json {
        let ran = Ran {
            model: model.name,
            backend: engine.kernels().0.into(),
            dtype: args.model.machine.dtype,
            timings_ms: timings,
        };
        let report = Report::new(&answered, &options, ran);
        exit::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        exit::print(&format!("{}\n", for_reader(&answered.text)))?;
    }
    if let Some(path) = &args.overlay {
        let images = pictures.iter().zip(images.iter().map(Arc::as_ref));
        for path in overlay::write(path, &engine, images, &answered.pruned, &options)? {
            exit::note(&format!("wrote {}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn question(args: &RunArgs) -> Result<&str> {
    let question = args.question.as_deref().ok_or_else(|| {
        usage("no question: a chat is not built yet, ask one question with -i \"…\"")
    })?;
    if question.trim().is_empty() {
        return Err(usage("the question is blank; ask one with -i \"…\""));
    }
    Ok(question)
}

/// Does something and adds the milliseconds that it took.
fn timed<T>(spent: &mut f64, done: impl FnOnce() -> Result<T>) -> Result<T> {
    let clock = Instant::now();
    let made = done();
    *spent += milliseconds(clock.elapsed());
    made
}

/// The model without its weights, and the options, checked.
fn open(args: &RunArgs, settings: &Settings) -> Result<(Opened, Options)> {
    let model = load::open(&args.model.source)?;
    let options = model.options(settings)?;
    Ok((model, options))
}

fn explain(args: &RunArgs, settings: &Settings) -> Result<ExitCode> {
    let (model, options) = open(args, settings)?;
    let explanation = Explanation::new(&model.name, &model.card, settings, &options)?;
    exit::print(&if args.json {
        format!("{}\n", explanation.object())
    } else {
        explanation.text()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn observer<'e>(
    args: &RunArgs,
    engine: &'e Engine,
    options: &Options,
    images: &[Arc<VisualTokens>],
) -> Result<Box<dyn Observer + 'e>> {
    let visual_tokens = images.iter().map(|image| image.len()).sum();
    Ok(if args.visual {
        Box::new(Frames::new(engine, options, visual_tokens)?)
    } else {
        let (steps, layers) = (options.most_steps()?, engine.card().decoder.layers);
        Box::new(Steps::new(steps, layers, visual_tokens))
    })
}

/// The answer as it is, or without control characters for a terminal that would obey them.
fn for_reader(text: &str) -> String {
    if Term::stdout().is_term() {
        harmless(text)
    } else {
        text.to_owned()
    }
}
