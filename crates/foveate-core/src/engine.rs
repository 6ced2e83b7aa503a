//! `Engine`: a loaded model that encodes images, starts answers and steps any number of them at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use foveate_kernels::{Backend, Format, KernelName, Memory};

use crate::checkpoint::{Checkpoint, Environment};
use crate::denoise::{Commit, Denoiser, Options, Outcome, PhaseTimes, Seen, Step};
use crate::error::{Error, Result};
use crate::image::{Picture, Views, layout};
use crate::models::{self, Family, ModelCard, NamedShape, Synthetic};
use crate::network::{Network, Source};
use crate::pass::{Pass, split};
use crate::prompt::{Message, PromptToken, ThinkMode};
use crate::prune::{Moment, Pruned};
use crate::sequence::Origin;
use crate::tap::{NoTap, Signal, Tap};
use crate::tokenizer::{SpecialText, Tokenizer};
use crate::visual::VisualTokens;

/// A model on a backend. Share it by `Arc`; calls take turns.
pub struct Engine {
    family: Box<dyn Family>,
    network: Mutex<Box<dyn Network>>,
}

/// A question about images that are encoded already.
#[derive(Clone, Debug)]
pub struct Request {
    /// The conversation; the last message is the question.
    pub messages: Vec<Message>,
    /// One per image slot of the messages, in order.
    pub images: Vec<Arc<VisualTokens>>,
    /// How the prompt asks for reasoning.
    pub think: ThinkMode,
    /// How to denoise and prune.
    pub options: Options,
}

/// What a step call did for one request.
#[derive(Clone, Debug)]
pub enum Progress {
    /// One denoising step.
    Stepped(Step),
    /// The answer was finished already.
    Finished,
    /// The request was cancelled; the step committed nothing.
    Cancelled,
}

/// Where a long step is, for progress bars.
pub type OnLayer<'a> = &'a mut dyn FnMut(usize, usize);

impl Engine {
    /// Loads a checkpoint onto `backend` as it is stored; `progress` hears of layers done and in all.
    pub fn load<B: Backend>(
        checkpoint: &Checkpoint,
        environment: &Environment,
        backend: B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        Self::load_as(Format::Auto, checkpoint, environment, backend, progress)
    }

    /// The same with weights in `format`: 4 bits are for the linears of the decoder's layers, 8 for its embedding
    /// and head as well, and the vision tower stays as it is stored.
    pub fn load_as<B: Backend>(
        format: Format,
        checkpoint: &Checkpoint,
        environment: &Environment,
        backend: B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let family = models::open(checkpoint, environment)?;
        let source = Source::checkpoint(checkpoint, format);
        let network = models::build(backend, &source, family.card(), progress)?;
        let unread = models::unread(family.card());
        checkpoint.finish(&[models::ignored(), &[&unread]].concat())?;
        Ok(Self {
            family,
            network: Mutex::new(Box::new(network)),
        })
    }

    /// A model of the given shape with seeded random weights, for measurements.
    pub fn random<B: Backend>(
        shape: &NamedShape,
        seed: u64,
        backend: B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        Self::random_as(Format::Auto, shape, seed, backend, progress)
    }

    /// The same with weights in `format`.
    pub fn random_as<B: Backend>(
        format: Format,
        shape: &NamedShape,
        seed: u64,
        backend: B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let source = Source::random(seed, format);
        let family = Synthetic::new(shape)?;
        let network = models::build(backend, &source, family.card(), progress)?;
        Ok(Self {
            family: Box::new(family),
            network: Mutex::new(Box::new(network)),
        })
    }

    /// Sizes, tiling and defaults.
    pub fn card(&self) -> &ModelCard {
        self.family.card()
    }

    /// The text side.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.family.tokenizer()
    }

    /// The backend's name and which kernel serves each operation.
    pub fn kernels(&self) -> (&'static str, Vec<KernelName>) {
        self.network().kernels()
    }

    /// Bytes held by weights and step buffers.
    pub fn memory(&self) -> Memory {
        self.network().memory()
    }

    /// Picture → visual tokens, once for any number of questions.
    pub fn encode(&self, picture: &Picture) -> Result<Arc<VisualTokens>> {
        self.encode_tapped(picture, &mut NoTap)
    }

    /// The same, with a look inside.
    pub fn encode_tapped(&self, picture: &Picture, tap: &mut dyn Tap) -> Result<Arc<VisualTokens>> {
        let tiling = &self.card().tiling;
        let size = (picture.width(), picture.height());
        let layout = layout(size.0, size.1, tiling)?;
        let views = Views::new(picture, tiling)?;
        if tap.wants(Signal::Pixels) {
            tap.take(Signal::Pixels, views.pixels.clone());
        }
        let features = self.network().encode(&views, &layout.sources, tap)?;
        Ok(Arc::new(VisualTokens {
            features,
            rects: layout.rects,
            size,
        }))
    }

    /// Options with the checkpoint's own defaults.
    pub fn default_options(&self) -> Options {
        self.card().default_options()
    }

    /// Prompt ids as the model will see them, with image slots.
    pub fn prompt(&self, messages: &[Message], think: ThinkMode) -> Result<Vec<PromptToken>> {
        Ok(self.family.prompt(messages, think)?.ids)
    }

    /// Builds the prompt and an empty canvas.
    pub fn start(&self, request: &Request) -> Result<Denoiser> {
        let prompt = self.prompt(&request.messages, request.think)?;
        self.start_from(&prompt, &request.images, &request.options)
    }

    /// The same from prompt ids.
    pub fn start_from(
        &self,
        prompt: &[PromptToken],
        images: &[Arc<VisualTokens>],
        options: &Options,
    ) -> Result<Denoiser> {
        let card = self.card();
        let encode = |text: &str| self.tokenizer().encode(text);
        let recipe = options.build(card, encode)?;
        let origins = origins(prompt, images)?;
        let rows = origins.len() + recipe.gen_length + recipe.suffix.len();
        if rows > card.max_rows {
            return Err(Error::request(
                "gen-length",
                format!(
                    "prompt ({} rows, {} of them visual) and answer make {rows} rows, the model reads {}; \
                     use a smaller image, a shorter question or a shorter answer",
                    origins.len(),
                    images.iter().map(|i| i.len()).sum::<usize>(),
                    card.max_rows
                ),
            ));
        }
        Ok(Denoiser::new(recipe, &origins, images.to_vec()))
    }

    /// One denoising step of every request, packed into one forward pass.
    ///
    /// A request's result has the same bits whatever other requests are in the call.
    pub fn step(&self, denoisers: &mut [&mut Denoiser]) -> Result<Vec<Progress>> {
        self.step_tapped(denoisers, &mut NoTap, &mut |_, _| {})
    }

    /// The same, with a look inside and a call before each layer.
    pub fn step_tapped(
        &self,
        denoisers: &mut [&mut Denoiser],
        tap: &mut dyn Tap,
        on_layer: OnLayer<'_>,
    ) -> Result<Vec<Progress>> {
        let mut results: Vec<Progress> = denoisers.iter().map(|_| Progress::Finished).collect();
        let active: Vec<usize> = (0..denoisers.len())
            .filter(|&i| denoisers[i].plan())
            .collect();
        for &i in &active {
            results[i] = Progress::Cancelled;
        }
        if active.is_empty() {
            return Ok(results);
        }
        let mut times = PhaseTimes::default();
        let mut network = self.network();
        let network = &mut **network;

        let clock = Instant::now();
        let mut early = Vec::new();
        for &owner in &active {
            early.push(prune_before_decoder(denoisers[owner])?);
        }
        PhaseTimes::add(&mut times.prune, clock.elapsed());

        let clock = Instant::now();
        let mut pass = Pass::new(denoisers, &active, network)?;
        for (&owner, pruned) in active.iter().zip(early) {
            pass.accounts[owner].pruned = pruned;
        }
        pass.begin(denoisers, network, tap)?;
        let layers = network.shape().layers;
        let leaving = pass.run(denoisers, network, tap, &mut |layer| {
            on_layer(layer, layers);
        })?;
        PhaseTimes::add(&mut times.decoder, clock.elapsed());

        let owners = pass.owners();
        if owners.is_empty() {
            pass.close(denoisers, network);
            return Ok(results);
        }
        let clock = Instant::now();
        let guesses = pass.rank(denoisers, &leaving, &self.card().forbidden, network, tap)?;
        if guesses.iter().any(|guess| guess.probability.is_nan()) {
            pass.close(denoisers, network);
            return Err(Error::NotNumbers);
        }
        let mut logits = BTreeMap::new();
        for &owner in owners.iter().filter(|&&o| denoisers[o].wants_logits()) {
            let rows = pass.logits(denoisers, &leaving, owner, network)?;
            logits.insert(owner, rows);
        }
        PhaseTimes::add(&mut times.head, clock.elapsed());

        let mut guesses = guesses.as_slice();
        for &owner in &owners {
            let denoiser = &mut *denoisers[owner];
            let positions = denoiser.committable();
            let (mine, rest) = guesses.split_at(positions.len());
            let (scores, rest) = rest.split_at(denoiser.scored().len());
            let (shadows, rest) = rest.split_at(denoiser.revocable().len());
            guesses = rest;
            let block = denoiser.block() + 1;
            let before = denoiser.masked();
            let due = denoiser.pruning_due();
            let absorbed = denoiser.absorb(&Seen {
                positions: &positions,
                guesses: mine,
                scores,
                shadows,
                logits: logits.get(&owner).map_or(&[], Vec::as_slice),
            });
            let clock = Instant::now();
            let mut account = std::mem::take(&mut pass.accounts[owner]);
            if prunes_after_step(due, denoiser.steps_run(), layers) {
                let queries = still_masked(&before, &absorbed.commits);
                let scores = pass.scores(owner, &queries);
                let (survivors, pruned) = prune_now(denoiser, scores.as_deref())?;
                account.pruned.extend(pruned);
                if let Some(survivors) = survivors {
                    pass.compact(owner, &survivors, network)?;
                }
            }
            PhaseTimes::add(&mut times.prune, clock.elapsed());
            results[owner] = Progress::Stepped(Step {
                step: denoiser.steps_run(),
                block,
                commits: absorbed.commits,
                revisions: absorbed.revisions,
                drafts: absorbed.drafts,
                pruned: account.pruned,
                rows: account.rows,
                rows_computed: account.rows_computed,
                pairs: account.pairs,
                cache_bytes: 0,
                times,
            });
        }
        pass.close(denoisers, network);
        for owner in owners {
            if let Progress::Stepped(step) = &mut results[owner] {
                step.cache_bytes = denoisers[owner].cache_bytes();
            }
        }
        Ok(results)
    }

    /// The text of an answer up to the first end token after its draft, then the suffix; special
    /// tokens dropped.
    ///
    /// The ids of families that never stop go on after that token, mostly with more of them.
    pub fn answer(&self, outcome: &Outcome) -> Result<String> {
        let (response, suffix) = outcome.ids.split_at(outcome.response);
        let ends = &self.card().end;
        let (draft, rest) = response.split_at(outcome.draft.min(response.len()));
        let before_end = rest.iter().take_while(|id| !ends.contains(id));
        let mut ids: Vec<u32> = draft.iter().chain(before_end).copied().collect();
        ids.extend_from_slice(suffix);
        self.decode(&ids)
    }

    /// Ids → text, special tokens dropped.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer().decode(ids, SpecialText::Skip)
    }

    fn network(&self) -> MutexGuard<'_, Box<dyn Network>> {
        // A panic inside a step leaves only step buffers behind, which the next step overwrites.
        self.network
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Image slots → one origin per visual token.
fn origins(prompt: &[PromptToken], images: &[Arc<VisualTokens>]) -> Result<Vec<Origin>> {
    let slots = prompt
        .iter()
        .filter(|t| matches!(t, PromptToken::Image(_)))
        .count();
    if slots != images.len() {
        return Err(Error::request(
            "image",
            format!(
                "the prompt has {slots} image slots, but {} images were given",
                images.len()
            ),
        ));
    }
    let mut origins = Vec::new();
    for token in prompt {
        match *token {
            PromptToken::Text(id) => origins.push(Origin::Text(id)),
            PromptToken::Image(image) => {
                let visual = images.get(image).ok_or_else(|| {
                    Error::request("image", format!("no image {} was given", image + 1))
                })?;
                let image = image as u32;
                origins
                    .extend((0..visual.len() as u32).map(|token| Origin::Visual { image, token }));
            }
        }
    }
    Ok(origins)
}

/// Response positions that were masked and are not committed now. A committed mask token does not
/// count, as in the reference (RedVTP-LLaDA-V).
fn still_masked(before: &[u32], commits: &[Commit]) -> Vec<u32> {
    let committed = |p: &u32| commits.iter().any(|c| c.position == *p);
    before.iter().copied().filter(|p| !committed(p)).collect()
}

fn prune_before_decoder(denoiser: &mut Denoiser) -> Result<Vec<Pruned>> {
    if denoiser.pruning_due() != Some(Moment::BeforeDecoder) {
        return Ok(Vec::new());
    }
    Ok(prune_now(denoiser, None)?.1)
}

/// Whether a due moment is the end of the step just absorbed.
fn prunes_after_step(due: Option<Moment>, steps_run: usize, layers: usize) -> bool {
    match due {
        Some(Moment::AfterStep(step)) => step == steps_run,
        Some(Moment::AfterLayerOnce(layer)) => layer == layers,
        _ => false,
    }
}

/// Prunes at the end of a step, or before one; returns the surviving rows, if any left, and the report.
fn prune_now(
    denoiser: &mut Denoiser,
    scores: Option<&[Vec<f32>]>,
) -> Result<(Option<Vec<u32>>, Vec<Pruned>)> {
    let Some(chosen) = denoiser.choose_tokens(&denoiser.sequence, scores)? else {
        denoiser.skip_pruning();
        return Ok((None, Vec::new()));
    };
    let (kept, reports) = split(chosen);
    Ok((Some(denoiser.prune(&kept)), reports))
}
