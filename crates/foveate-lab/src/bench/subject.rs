//! What is measured: a named shape with random weights, or a model and an image.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use foveate_core::image::layout;
use foveate_core::{
    Engine, Message, NamedShape, Picture, PromptToken, SHAPES, ThinkMode, VisualTokens,
};
use foveate_kernels::{Ledger, Spent, uniform};

use super::sizes::{MOST, check_memory};
use crate::args::{ImageArgs, MachineArgs, ModelArgs, Storage};
use crate::exit::usage;
use crate::load;
use foveate::{Machine, pictures};

/// A shape by name, and what differs from it.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Shape")]
pub(crate) struct ShapeArgs {
    /// Random weights of this shape; mid when neither a shape nor a model is given
    #[arg(long, env = "FOVEATE_SHAPE", value_parser = PossibleValuesParser::new(SHAPES.map(|s| s.name)))]
    shape: Option<String>,
    /// Decoder layers instead of the shape's
    #[arg(long, env = "FOVEATE_LAYERS", value_name = "N")]
    layers: Option<NonZeroUsize>,
    /// Width of the decoder
    #[arg(long, env = "FOVEATE_HIDDEN", value_name = "N")]
    hidden: Option<NonZeroUsize>,
    /// Attention heads
    #[arg(long, env = "FOVEATE_HEADS", value_name = "N")]
    heads: Option<NonZeroUsize>,
    /// Heads of keys and values
    #[arg(long, env = "FOVEATE_KV_HEADS", value_name = "N")]
    kv_heads: Option<NonZeroUsize>,
    /// Width of the MLP
    #[arg(long, env = "FOVEATE_MLP", value_name = "N")]
    mlp: Option<NonZeroUsize>,
    /// Ids that can be predicted
    #[arg(long, env = "FOVEATE_VOCABULARY", value_name = "N")]
    vocabulary: Option<NonZeroUsize>,
    /// Visual tokens of the question
    #[arg(long, env = "FOVEATE_VISUAL_TOKENS", value_name = "N")]
    visual_tokens: Option<NonZeroUsize>,
    /// Text tokens of the question
    #[arg(long, env = "FOVEATE_TEXT_TOKENS", value_name = "N")]
    text_tokens: Option<NonZeroUsize>,
}

impl ShapeArgs {
    /// Whether a shape rather than a model is asked for.
    pub(super) fn is_given(&self) -> bool {
        self.shape.is_some() || self.numbers().iter().any(|(_, number)| number.is_some())
    }

    /// The sizes by their flags.
    fn numbers(&self) -> [(&'static str, Option<NonZeroUsize>); 8] {
        [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("kv-heads", self.kv_heads),
            ("mlp", self.mlp),
            ("vocabulary", self.vocabulary),
            ("visual-tokens", self.visual_tokens),
            ("text-tokens", self.text_tokens),
        ]
    }

    fn resolve(&self) -> Result<NamedShape> {
        self.named(self.shape.as_deref().unwrap_or("mid"))
    }

    /// The shape of that name with the sizes that are given.
    pub(super) fn named(&self, name: &str) -> Result<NamedShape> {
        let found = SHAPES.into_iter().find(|shape| shape.name == name);
        let mut shape = found.ok_or_else(|| {
            let names = SHAPES.map(|shape| shape.name).join(", ");
            usage(format!("no shape is named {name}; expected one of {names}"))
        })?;
        for (flag, value) in self.numbers() {
            if let Some(value) = value.filter(|value| value.get() > MOST) {
                return Err(usage(format!(
                    "--{flag}: expected at most {MOST}, got {value}"
                )));
            }
        }
        let set = |slot: &mut usize, value: Option<NonZeroUsize>| {
            if let Some(value) = value {
                *slot = value.get();
            }
        };
        let decoder = &mut shape.decoder;
        set(&mut decoder.layers, self.layers);
        set(&mut decoder.hidden, self.hidden);
        set(&mut decoder.mlp, self.mlp);
        set(&mut decoder.vocabulary, self.vocabulary);
        set(&mut decoder.heads.count, self.heads);
        decoder.heads.kv_count = self
            .kv_heads
            .or(self.heads)
            .map_or(decoder.heads.kv_count, usize::from);
        let (hidden, heads) = (decoder.hidden, decoder.heads);
        if !hidden.is_multiple_of(2 * heads.count) {
            let reason = format!(
                "--hidden {hidden} must be an even multiple of --heads {}",
                heads.count
            );
            return Err(usage(reason));
        }
        if !heads.count.is_multiple_of(heads.kv_count) {
            let (count, kv_count) = (heads.count, heads.kv_count);
            return Err(usage(format!(
                "--kv-heads {kv_count} must divide --heads {count}"
            )));
        }
        if decoder.vocabulary < 2 {
            return Err(usage(
                "--vocabulary needs an id beside the mask: at least 2",
            ));
        }
        decoder.heads.dim = hidden / heads.count;
        shape.vision.projected = hidden;
        set(&mut shape.visual_tokens, self.visual_tokens);
        set(&mut shape.text_tokens, self.text_tokens);
        Ok(shape)
    }
}

/// A loaded engine and the question that every row asks.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) prompt: Vec<PromptToken>,
    pub(crate) images: Vec<Arc<VisualTokens>>,
    /// What ends an answer where nothing is said about it.
    pub(crate) stop: Vec<String>,
    /// How the weights are stored.
    pub(crate) dtype: Storage,
    /// Milliseconds in the vision tower, if there is one to run.
    pub(crate) vision_ms: Option<f64>,
    /// Accounts of what every operation costs, if they are wanted.
    pub(crate) accounts: Option<Accounts>,
}

/// What operations cost.
pub(crate) struct Accounts {
    /// Filled by every step.
    pub(crate) ledger: Ledger,
    /// What the vision tower cost.
    pub(crate) vision: Vec<Spent>,
}

/// The picture that a shape with a vision tower looks at.
const PICTURE: (u32, u32) = (640, 480);

impl Subject {
    /// Refuses what could only fail after other work.
    pub(crate) fn check(shape: &ShapeArgs, model: &ModelArgs, images: &ImageArgs) -> Result<()> {
        match (looks(model, images), shape.is_given()) {
            (true, true) => Err(usage(
                "a shape has random weights and looks at nothing; give --shape and its sizes, or -m and --image",
            )),
            (true, false) => Ok(()),
            (false, _) => check_memory(&shape.resolve()?, &model.machine),
        }
    }

    /// Loads what the flags name; with `timed`, so that its operations are accounted for.
    pub(crate) fn new(
        shape: &ShapeArgs,
        model: &ModelArgs,
        images: &ImageArgs,
        question: &str,
        timed: bool,
    ) -> Result<Self> {
        Self::check(shape, model, images)?;
        if looks(model, images) {
            Self::of_model(model, images, question, timed)
        } else {
            Self::of_shape(&shape.resolve()?, model.machine, timed)
        }
    }

    fn of_model(
        model: &ModelArgs,
        images: &ImageArgs,
        question: &str,
        timed: bool,
    ) -> Result<Self> {
        let pictures = pictures::read(&images.images, images.orientation())?;
        let opened = load::open(&model.source)?;
        let (engine, ledger) = if timed {
            let (engine, ledger) = load::timed_weights(&opened, model)?;
            (engine, Some(ledger))
        } else {
            (load::weights(&opened, model)?, None)
        };
        let (images, vision_ms) = look(&engine, &pictures)?;
        let message = Message::user(question, images.len());
        Ok(Self {
            name: opened.name,
            prompt: engine.prompt(&[message], ThinkMode::Unset)?,
            // A stop would end the measurement early.
            stop: Vec::new(),
            dtype: model.machine.dtype,
            engine,
            images,
            vision_ms,
            accounts: ledger.map(Accounts::open),
        })
    }

    fn of_shape(shape: &NamedShape, machine: MachineArgs, timed: bool) -> Result<Self> {
        let (engine, ledger) = load::watched("drawing weights", |progress| {
            let on = Machine::from(machine);
            if timed {
                let (engine, ledger) = on.random_timed(shape, 0, progress)?;
                Ok((engine, Some(ledger)))
            } else {
                on.random(shape, 0, progress).map(|engine| (engine, None))
            }
        })?;
        // The mask is the last id.
        let ids = shape.decoder.vocabulary - 1;
        let id = |i: usize| PromptToken::Text((uniform(0, 0, i as u32, 0) * ids as f64) as u32);
        let half = shape.text_tokens / 2;
        let mut prompt: Vec<PromptToken> = (0..half).map(id).collect();
        prompt.push(PromptToken::Image(0));
        prompt.extend((half..shape.text_tokens).map(id));
        let tokens = layout(PICTURE.0, PICTURE.1, &engine.card().tiling)?
            .rects
            .len();
        let (images, vision_ms) = if shape.vision.layers > 0 && tokens == shape.visual_tokens {
            look(&engine, &[noise(PICTURE)?])?
        } else {
            let visual = VisualTokens::random(shape.visual_tokens, shape.decoder.hidden, 0);
            (vec![Arc::new(visual)], None)
        };
        Ok(Self {
            name: format!("{} (random weights)", shape.name),
            stop: engine.default_options().stop,
            dtype: machine.dtype,
            engine,
            prompt,
            images,
            vision_ms,
            accounts: ledger.map(Accounts::open),
        })
    }

    /// Rows of the question that are no visual tokens.
    pub(crate) fn text_tokens(&self) -> usize {
        self.prompt.len() - self.images.len()
    }

    pub(crate) fn visual_tokens(&self) -> usize {
        self.images.iter().map(|image| image.len()).sum()
    }
}

impl Accounts {
    /// Whatever is entered already was spent on the pictures.
    fn open(ledger: Ledger) -> Self {
        let vision = ledger.take();
        Self { ledger, vision }
    }
}

/// Whether a model looks at pictures, rather than random weights of a shape.
fn looks(model: &ModelArgs, images: &ImageArgs) -> bool {
    model.source.model.is_some() || !images.images.is_empty()
}

/// Encodes pictures, and how many milliseconds that took if there were any.
fn look(engine: &Engine, pictures: &[Picture]) -> Result<(Vec<Arc<VisualTokens>>, Option<f64>)> {
    let clock = Instant::now();
    let images = pictures
        .iter()
        .map(|picture| engine.encode(picture))
        .collect::<Result<Vec<_>, _>>()?;
    let vision_ms = (!images.is_empty()).then(|| clock.elapsed().as_secs_f64() * 1e3);
    Ok((images, vision_ms))
}

/// A picture of coloured noise.
fn noise((width, height): (u32, u32)) -> Result<Picture> {
    let level = |i: u32| (256.0 * uniform(0, 1, i, 0)) as u8;
    let rgb = (0..3 * width * height).map(level).collect();
    Ok(Picture::new("noise", width, height, rgb)?)
}
