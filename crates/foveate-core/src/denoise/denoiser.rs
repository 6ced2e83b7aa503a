//! One answer in progress: plans its next step and absorbs what the decoder found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate_kernels::{Guess, Noise, Pick};

use super::options::Recipe;
use super::remask::{Candidate, choose};
use super::schedule::linear;
use super::{Canvas, Commit};
use crate::error::Result;
use crate::prune::{Kept, Moment, Positions, Pruned, Visual, Watch, quota};
use crate::sequence::{Origin, Sequence};
use crate::visual::VisualTokens;

/// Stops a request between two layers. Cloned freely.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the request to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// A stop string was found.
    Stop,
    /// The canvas is full, or its steps are spent.
    Length,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Ids before the stop, then the suffix.
    pub ids: Vec<u32>,
    /// How many of `ids` are the response.
    pub response: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Visual tokens the prompt began with.
    pub visual_tokens_seen: usize,
    /// Visual tokens still there at the end; the smallest pass counts for in-pass pruning.
    pub visual_tokens_kept: usize,
    /// Denoising steps run.
    pub steps: usize,
}

/// One answer in progress. Step it with [`crate::Engine::step`]; drop it to forget it.
#[derive(Clone, Debug)]
pub struct Denoiser {
    pub(crate) recipe: Arc<Recipe>,
    pub(crate) images: Vec<Arc<VisualTokens>>,
    pub(crate) sequence: Sequence,
    canvas: Canvas,
    block: usize,
    step_in_block: usize,
    step: usize,
    transfers: Vec<usize>,
    stop: Option<usize>,
    kept: usize,
    pruned: bool,
    cancel: Cancel,
}

impl Denoiser {
    pub(crate) fn new(recipe: Recipe, prompt: &[Origin], images: Vec<Arc<VisualTokens>>) -> Self {
        let response = (0..recipe.gen_length as u32).map(Origin::Response);
        let suffix = recipe.suffix.iter().copied().map(Origin::Text);
        let sequence = Sequence::new(prompt.iter().copied().chain(response).chain(suffix));
        let kept = images.iter().map(|i| i.len()).sum();
        Self {
            canvas: Canvas::new(recipe.gen_length, recipe.mask),
            recipe: Arc::new(recipe),
            images,
            sequence,
            block: 0,
            step_in_block: 0,
            step: 0,
            transfers: Vec::new(),
            stop: None,
            kept,
            pruned: false,
            cancel: Cancel::default(),
        }
    }

    /// A copy that continues on its own; the image features are shared.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            cancel: Cancel::default(),
            ..self.clone()
        }
    }

    /// A handle that stops this request.
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Response ids, masks included.
    pub fn ids(&self) -> &[u32] {
        self.canvas.ids()
    }

    /// The id that marks a masked position.
    pub fn mask(&self) -> u32 {
        self.recipe.mask
    }

    /// Steps run so far.
    pub fn steps_run(&self) -> usize {
        self.step
    }

    /// Rows of the sequence now: prompt, surviving visual tokens, response and suffix.
    pub fn rows(&self) -> usize {
        self.sequence.rows().len()
    }

    /// The block (from 0) that the next step works on.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Where the first stop string begins, if one was found.
    pub fn stop_position(&self) -> Option<usize> {
        self.stop
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Moves to the next step that has something to do; `false` when the answer is finished.
    pub(crate) fn plan(&mut self) -> bool {
        loop {
            let start = self.block * self.recipe.block_length;
            if start >= self.recipe.gen_length {
                return false;
            }
            let end = start + self.recipe.block_length;
            if self.step_in_block == 0 {
                if self.stop.is_some_and(|stop| stop <= start) {
                    return false;
                }
                let masked = self
                    .canvas
                    .masked(end)
                    .iter()
                    .filter(|&&p| p as usize >= start)
                    .count();
                self.transfers = linear(masked, self.recipe.steps_per_block);
            }
            let done_before_stop = self
                .stop
                .is_some_and(|stop| self.canvas.masked(stop).is_empty());
            let block_full = (start..end).all(|p| !self.canvas.is_masked(p));
            if done_before_stop || block_full || self.step_in_block == self.recipe.steps_per_block {
                self.block += 1;
                self.step_in_block = 0;
                continue;
            }
            return true;
        }
    }

    /// Masked positions that this step may commit: before the stop if one is known, else before the
    /// block's end. Left-overs of earlier blocks are included.
    pub(crate) fn committable(&self) -> Vec<u32> {
        let end = (self.block + 1) * self.recipe.block_length;
        self.canvas.masked(self.stop.unwrap_or(end))
    }

    /// Every masked position, later blocks included.
    pub(crate) fn masked(&self) -> Vec<u32> {
        self.canvas.masked(self.recipe.gen_length)
    }

    /// The input token of response position `position`.
    pub(crate) fn token(&self, position: u32) -> u32 {
        self.canvas.ids()[position as usize]
    }

    /// How the candidate of `position` is drawn in this step.
    pub(crate) fn pick(&self, position: u32) -> Pick<'_> {
        let temperature = self.recipe.temperature;
        if temperature == 0.0 {
            return Pick::Greedy;
        }
        let recorded = self.recipe.recorded.as_ref();
        let row = recorded.and_then(|r| {
            let at = position as usize * r.vocabulary;
            r.gumbel.get(self.step)?.get(at..at + r.vocabulary)
        });
        let noise = match row {
            Some(draws) => Noise::Recorded(draws),
            None => Noise::Counter {
                seed: self.recipe.seed,
                step: self.step as u32,
                position,
            },
        };
        Pick::Gumbel { temperature, noise }
    }

    /// Commits the best guesses and advances; returns the commits and every candidate.
    pub(crate) fn absorb(
        &mut self,
        positions: &[u32],
        guesses: &[Guess],
    ) -> (Vec<Commit>, Vec<Commit>) {
        let count = self.transfers[self.step_in_block];
        let (chosen, all) = choose(&self.recipe, self.step, positions, guesses, count);
        for c in &chosen {
            self.canvas.commit(c.position, c.token);
        }
        let found = self
            .recipe
            .stop
            .iter()
            .filter_map(|s| self.canvas.find(s))
            .min();
        self.stop = match (self.stop, found) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.step += 1;
        self.step_in_block += 1;
        let report = |c: &Candidate| Commit {
            position: c.position,
            token: c.token,
            confidence: c.confidence,
        };
        (
            chosen.iter().map(report).collect(),
            all.iter().map(report).collect(),
        )
    }

    /// The moment at which this request still has to prune, if any. Steps count from 1 there.
    pub(crate) fn pruning_due(&self) -> Option<Moment> {
        let pruning = self.recipe.pruning.as_ref()?;
        if self.images.is_empty() {
            return None;
        }
        let moment = pruning.pruner.moment();
        let due = match moment {
            Moment::BeforeDecoder | Moment::AfterLayerOnce(_) => !self.pruned && self.step == 0,
            Moment::AfterLayerEveryPass(_) => true,
            Moment::AfterStep(step) => !self.pruned && self.step + 1 == step,
        };
        due.then_some(moment)
    }

    /// The attention wanted in this pass.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.pruning_due()?;
        self.recipe.pruning.as_ref()?.pruner.watch()
    }

    /// Lets the strategy choose from `attention`, one score vector per image.
    ///
    /// `None` when there is nothing to go by: no query row was left (every token is committed).
    pub(crate) fn choose_tokens(
        &self,
        sequence: &Sequence,
        attention: Option<&[Vec<f32>]>,
    ) -> Result<Option<Vec<(usize, Kept, Pruned)>>> {
        let Some(pruning) = &self.recipe.pruning else {
            return Ok(None);
        };
        if pruning.pruner.watch().is_some() && attention.is_none() {
            return Ok(None);
        }
        let mut choices = Vec::with_capacity(self.images.len());
        for (image, visual) in self.images.iter().enumerate() {
            let span = sequence.image(image);
            let quota = quota(span.len(), pruning.keep);
            let scores = pruning.pruner.score(
                &Visual {
                    image,
                    tokens: span.len(),
                    attention: attention.map(|a| a[image].as_slice()),
                    seed: self.recipe.seed,
                },
                quota,
            );
            let kept = Kept::top(&scores, quota)?;
            let original = kept
                .indices()
                .iter()
                .map(|&k| token_of(sequence, span.start + k as usize));
            let report = Pruned {
                image,
                of: visual.len(),
                kept: original.collect(),
                scores,
            };
            choices.push((image, kept, report));
        }
        Ok(Some(choices))
    }

    /// Drops rows from here on.
    pub(crate) fn prune(&mut self, choices: &[(usize, Kept)]) -> Vec<u32> {
        let positions = self.positions();
        self.pruned = true;
        let survivors = self.sequence.retain(choices, positions);
        self.note_kept(choices.iter().map(|(_, kept)| kept.indices().len()).sum());
        survivors
    }

    /// Remembers the smallest number of visual tokens that a pass ended with.
    pub(crate) fn note_kept(&mut self, visual_tokens: usize) {
        self.kept = self.kept.min(visual_tokens);
    }

    /// Marks a due pruning as done although nothing was dropped.
    pub(crate) fn skip_pruning(&mut self) {
        self.pruned = true;
    }

    pub(crate) fn positions(&self) -> Positions {
        self.recipe
            .pruning
            .as_ref()
            .map_or(Positions::Original, |p| p.positions)
    }

    /// The answer so far, as if it ended here.
    pub fn outcome(&self) -> Outcome {
        let end = self.stop.unwrap_or(self.recipe.gen_length);
        let mut ids = self.canvas.ids()[..end].to_vec();
        ids.extend_from_slice(&self.recipe.suffix);
        Outcome {
            ids,
            response: end,
            finish_reason: match self.stop {
                Some(_) => FinishReason::Stop,
                None => FinishReason::Length,
            },
            visual_tokens_seen: self.images.iter().map(|i| i.len()).sum(),
            visual_tokens_kept: self.kept,
            steps: self.step,
        }
    }
}

/// The index, among the tokens its image began with, of the visual token in `row`.
fn token_of(sequence: &Sequence, row: usize) -> u32 {
    match sequence.rows()[row].origin {
        Origin::Visual { token, .. } => token,
        Origin::Text(_) | Origin::Response(_) => 0,
    }
}
