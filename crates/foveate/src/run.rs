//! `foveate run`: one question, one answer.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use console::Term;
use foveate_core::{
    Engine, FinishReason, Message, Options, Picture, PruneSettings, Request, VisualTokens,
};
use serde_json::json;

use crate::answer::{Answered, Watcher, answer};
use crate::args::{DEFAULT_KEEP, GenerationArgs, ImageArgs, ModelArgs, PruneArgs, Storage};
use crate::exit::{self, usage};
use crate::preset::{self, Origins, Preset};
use crate::report::{self, Report, Timings, VisualTokenCounts, milliseconds, to_milliseconds};
use crate::template::TemplateArgs;
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
    generation: GenerationArgs,
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    prune: PruneArgs,
    /// Share of each image's visual tokens that survives, above 0 and at most 1
    #[arg(
        long,
        env = "FOVEATE_KEEP",
        value_name = "R",
        allow_negative_numbers = true
    )]
    #[arg(help_heading = "Visual-token pruning")]
    keep: Option<f64>,
}

/// Answers the question.
pub(crate) fn main(args: &RunArgs, origins: &Origins) -> Result<ExitCode> {
    let begin = Instant::now();
    let prune = pruning(args)?;
    if args.explain {
        return explain(args, prune, origins);
    }
    let question = args.question.as_deref().ok_or_else(|| {
        usage("no question: a chat is not built yet, ask one question with -i \"…\"")
    })?;
    if question.trim().is_empty() {
        return Err(usage("the question is blank; ask one with -i \"…\""));
    }
    if let Some(path) = &args.overlay {
        overlay::check(path, args.images.images.len(), prune.as_ref())?;
    }

    // What can fail at once fails before the weights are read.
    let clock = Instant::now();
    let (model, options) = open(args, prune)?;
    let layers = model.card.decoder.layers;
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
        think: args.generation.think.into(),
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
            ..account(&answered, text, &options, layers)?
        };
        exit::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        exit::print(&format!("{}\n", for_reader(&text)))?;
    }
    if let (Some(path), Some(settings)) = (&args.overlay, &options.prune) {
        let images = pictures.iter().zip(images.iter().map(Arc::as_ref));
        overlay::write(path, &engine, images, &answered.pruned, settings.method)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The model without its weights, and the options, checked.
fn open(args: &RunArgs, prune: Option<PruneSettings>) -> Result<(load::Model, Options)> {
    let model = load::open(&args.model.source)?;
    if let Some(preset) = args.generation.preset.as_deref().and_then(Preset::find) {
        preset.check(model.card.family)?;
    }
    let options = args
        .generation
        .options(model.card.default_options(), prune)?;
    let options = if args.template.check()? {
        args.template.fit(options, &args.generation, &model)?
    } else {
        args.template.begin(options, &model)?
    };
    options.check(&model.card)?;
    Ok((model, options))
}

fn explain(args: &RunArgs, prune: Option<PruneSettings>, origins: &Origins) -> Result<ExitCode> {
    let (model, options) = open(args, prune)?;
    let mut settings = report::options(&options, model.card.decoder.layers)?;
    settings["think"] = json!(args.generation.think);
    let preset = args.generation.preset.as_deref();
    let explanation = preset::explain(&model.name, &model.card, preset, origins, &settings);
    exit::print(&if args.json {
        format!("{}\n", explanation.object())
    } else {
        explanation.text()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The pruning flags together.
fn pruning(args: &RunArgs) -> Result<Option<PruneSettings>> {
    let settings = args.prune.settings(args.keep.unwrap_or(DEFAULT_KEEP));
    if settings.is_none() {
        let stray = args.keep.map(|_| "--keep").or(args.prune.stray());
        if let Some(flag) = stray.filter(|_| args.prune.prune.is_none()) {
            let reason = format!("{flag} says how to prune; add --prune METHOD, such as redvtp");
            return Err(usage(reason));
        }
    }
    Ok(settings)
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
fn account(
    answered: &Answered,
    answer: String,
    options: &Options,
    layers: usize,
) -> Result<Report> {
    let outcome = &answered.outcome;
    Ok(Report {
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
        options: report::options(options, layers)?,
    })
}

/// The answer as it is, or without control characters for a terminal that would obey them.
fn for_reader(text: &str) -> String {
    if Term::stdout().is_term() {
        crate::visual::harmless(text)
    } else {
        text.to_owned()
    }
}
