//! What is measured: a named shape with random weights, or a model and an image.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use foveate_core::{
    Engine, Message, NamedShape, Options, PromptToken, SHAPES, ThinkMode, VisualTokens,
};
use foveate_kernels::uniform;

use crate::args::{ImageArgs, MachineArgs, ModelArgs, Storage};
use crate::exit::usage;
use crate::{backend, load, pictures, progress};

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
        let numbers = [
            self.layers,
            self.hidden,
            self.heads,
            self.kv_heads,
            self.mlp,
            self.vocabulary,
            self.visual_tokens,
            self.text_tokens,
        ];
        self.shape.is_some() || numbers.iter().any(Option::is_some)
    }

    fn resolve(&self) -> Result<NamedShape> {
        let named = |name: &str| SHAPES.into_iter().find(|shape| shape.name == name);
        let name = self.shape.as_deref().unwrap_or("mid");
        let mut shape = named(name).ok_or_else(|| usage(format!("no shape is named {name}")))?;
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
    /// Options before the flags.
    pub(crate) defaults: Options,
    /// How the weights are stored.
    pub(crate) dtype: Storage,
    /// Milliseconds in the vision tower, if there is one to run.
    pub(crate) vision_ms: Option<f64>,
}

impl Subject {
    pub(crate) fn new(
        shape: &ShapeArgs,
        model: &ModelArgs,
        images: &ImageArgs,
        question: &str,
    ) -> Result<Self> {
        let looks = model.model.is_some() || !images.images.is_empty();
        match (looks, shape.is_given()) {
            (true, true) => Err(usage(
                "a shape has random weights and looks at nothing; give --shape and its sizes, or -m and --image",
            )),
            (true, false) => Self::of_model(model, images, question),
            (false, _) => Self::of_shape(&shape.resolve()?, model.machine),
        }
    }

    fn of_model(model: &ModelArgs, images: &ImageArgs, question: &str) -> Result<Self> {
        let pictures = pictures::read(images)?;
        let opened = load::open(model)?;
        let engine = load::weights(&opened, model)?;
        let clock = Instant::now();
        let images: Vec<Arc<VisualTokens>> = pictures
            .iter()
            .map(|picture| engine.encode(picture))
            .collect::<Result<_, _>>()?;
        let vision_ms = (!images.is_empty()).then(|| clock.elapsed().as_secs_f64() * 1e3);
        let message = Message::user(question, images.len());
        Ok(Self {
            name: opened.name,
            prompt: engine.prompt(&[message], ThinkMode::Unset)?,
            // A stop would end the measurement early.
            defaults: Options {
                stop: Vec::new(),
                ..engine.default_options()
            },
            dtype: model.machine.dtype,
            engine,
            images,
            vision_ms,
        })
    }

    fn of_shape(shape: &NamedShape, machine: MachineArgs) -> Result<Self> {
        let bar = progress::layers("drawing weights");
        let engine = backend::random(shape, 0, machine, &mut |done, of| {
            progress::set(&bar, done, of);
        });
        bar.finish_and_clear();
        let engine = engine?;
        // The mask is the last id.
        let ids = shape.decoder.vocabulary - 1;
        let id = |i: usize| PromptToken::Text((uniform(0, 0, i as u32, 0) * ids as f64) as u32);
        let half = shape.text_tokens / 2;
        let mut prompt: Vec<PromptToken> = (0..half).map(id).collect();
        prompt.push(PromptToken::Image(0));
        prompt.extend((half..shape.text_tokens).map(id));
        let visual = VisualTokens::random(shape.visual_tokens, shape.decoder.hidden, 0);
        Ok(Self {
            name: format!("{} (random weights)", shape.name),
            defaults: engine.default_options(),
            dtype: machine.dtype,
            engine,
            prompt,
            images: vec![Arc::new(visual)],
            vision_ms: None,
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
