//! `foveate run`: one question, one answer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use console::Term;
use foveate_core::{
    Engine, FinishReason, Message, Options, Picture, Request, Settings, Tokenizer, VisualTokens,
};

use crate::answer::{Answered, Watcher, answer};
use crate::args::{All, ImageArgs, ModelArgs, SettingsArgs, Storage};
use crate::exit::{self, usage};
use crate::explain::Explanation;
use crate::report::{self, Report, Timings, VisualTokenCounts, milliseconds, to_milliseconds};
use crate::visual::Frames;
use crate::{load, overlay, pictures, progress};

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
    let question = args.question.as_deref().ok_or_else(|| {
        usage("no question: a chat is not built yet, ask one question with -i \"…\"")
    })?;
    if question.trim().is_empty() {
        return Err(usage("the question is blank; ask one with -i \"…\""));
    }

    // What can fail at once fails before the weights are read.
    let clock = Instant::now();
    let (model, options) = open(args, &settings)?;
    if let Some(path) = &args.overlay {
        overlay::check(path, args.images.images.len(), &options)?;
    }
    let opening = clock.elapsed();
    let clock = Instant::now();
    let pictures = pictures::read(&args.images)?;
    let reading = clock.elapsed();
    let clock = Instant::now();
    let engine = load::weights(&model, &args.model)?;
    let loading = opening + clock.elapsed();

    let clock = Instant::now();
    let images = encode(&engine, &pictures)?;
    let vision = clock.elapsed();
    let denoiser = engine.start(&Request {
        messages: vec![Message::user(question, images.len())],
        images: images.clone(),
        think: options.think,
        options: options.clone(),
    })?;
    let mut watcher = watcher(args, &engine, &options, &images)?;
    let answered = answer(&engine, denoiser, watcher.as_mut())?;
    let total = begin.elapsed();

    let text = engine.answer(&answered.outcome)?;
    if answered.outcome.finish_reason == FinishReason::MaxForwards {
        exit::note(
            "the answer has gaps: --max-forwards was reached while tokens were still masked",
        );
    }
    if args.json {
        let report = Report {
            timings_ms: Timings {
                load: milliseconds(loading),
                image: milliseconds(reading),
                vision: milliseconds(vision),
                decoder: to_milliseconds(answered.times.decoder),
                head: to_milliseconds(answered.times.head),
                prune: to_milliseconds(answered.times.prune),
                total: milliseconds(total),
            },
            model: model.name.clone(),
            backend: engine.kernels().0.into(),
            dtype: args.model.machine.dtype,
            ..account(&answered, text, &options)
        };
        exit::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        exit::print(&format!("{}\n", for_reader(&text)))?;
    }
    if let Some(path) = &args.overlay {
        let images = pictures.iter().zip(images.iter().map(Arc::as_ref));
        overlay::write(path, &engine, images, &answered.pruned, &options)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The model without its weights, and the options, checked.
fn open(args: &RunArgs, settings: &Settings) -> Result<(load::Model, Options)> {
    let model = load::open(&args.model.source)?;
    let options = settings.resolve(&model.card, || Tokenizer::open(&model.checkpoint))?;
    options.check(&model.card)?;
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

fn encode(engine: &Engine, pictures: &[Picture]) -> Result<Vec<Arc<VisualTokens>>> {
    let encode = |(index, picture)| {
        engine
            .encode(picture)
            .with_context(|| format!("encoding image {}", index + 1))
    };
    pictures.iter().enumerate().map(encode).collect()
}

fn watcher<'e>(
    args: &RunArgs,
    engine: &'e Engine,
    options: &Options,
    images: &[Arc<VisualTokens>],
) -> Result<Box<dyn Watcher + 'e>> {
    let visual_tokens = images.iter().map(|image| image.len()).sum();
    Ok(if args.visual {
        Box::new(Frames::new(engine, options, visual_tokens)?)
    } else {
        let (steps, layers) = (options.most_steps()?, engine.card().decoder.layers);
        Box::new(progress::Steps::new(steps, layers, visual_tokens))
    })
}

/// Everything but the times of the phases before the first step.
fn account(answered: &Answered, answer: String, options: &Options) -> Report {
    let outcome = &answered.outcome;
    Report {
        answer,
        finish_reason: outcome.finish_reason,
        visual_tokens: VisualTokenCounts {
            seen: outcome.visual_tokens_seen,
            kept: outcome.visual_tokens_kept,
        },
        choices: outcome.choices.clone(),
        steps: outcome.steps,
        forwards: outcome.forwards,
        tokens_per_forward: outcome.settled as f64 / outcome.forwards.max(1) as f64,
        rows_computed: answered.rows_computed,
        timings_ms: Timings::default(),
        peak_bytes: report::peak_bytes(),
        model: String::new(),
        backend: String::new(),
        dtype: Storage::Auto,
        options: options.to_json(),
    }
}

/// The answer as it is, or without control characters for a terminal that would obey them.
fn for_reader(text: &str) -> String {
    if Term::stdout().is_term() {
        crate::visual::harmless(text)
    } else {
        text.to_owned()
    }
}
