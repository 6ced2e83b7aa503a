//! One answer in progress: plans its next step and absorbs what the decoder found.

use std::sync::Arc;

use foveate_kernels::{Noise, Pick};

use super::filter::Filter;
use super::policy::Wino;
use super::recipe::Recipe;
use super::schedule::Budget;
use super::stability::Stability;
use super::{Cancel, Canvas, Choice};
use crate::cache::{AttentionMask, CacheState, Caching, Next, Work};
use crate::models::Predicts;
use crate::sequence::{Origin, Sequence};
use crate::visual::VisualTokens;

/// A pass over the prompt alone, before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefill {
    Unneeded,
    Due,
    Done,
}

/// One answer in progress. Step it with [`crate::Engine::step`]; drop it to forget it.
#[derive(Clone, Debug)]
pub struct Denoiser {
    pub(crate) recipe: Arc<Recipe>,
    pub(crate) images: Vec<Arc<VisualTokens>>,
    pub(crate) sequence: Sequence,
    pub(crate) cache: Option<CacheState>,
    pub(super) canvas: Canvas,
    pub(super) block: usize,
    pub(super) step_in_block: usize,
    pub(super) step: usize,
    pub(super) budget: Budget,
    pub(super) stop: Option<usize>,
    pub(super) prefill: Prefill,
    /// The last step of this block wrote no token: the decoder only predicts masks.
    pub(super) stuck: bool,
    /// The answer would go on, but its forwards are spent.
    pub(super) exhausted: bool,
    pub(super) stability: Stability,
    /// Tokens that the block's last step committed.
    pub(super) accepted: usize,
    /// Choices of the template that were made, in its order.
    pub(super) choices: Vec<Choice>,
    pub(super) kept: usize,
    pub(super) pruned: bool,
    pub(super) cancel: Cancel,
}

impl Denoiser {
    pub(crate) fn new(recipe: Recipe, prompt: &[Origin], images: Vec<Arc<VisualTokens>>) -> Self {
        let response = (0..recipe.gen_length as u32).map(Origin::Response);
        let suffix = recipe.suffix.iter().copied().map(Origin::Text);
        let sequence = Sequence::new(prompt.iter().copied().chain(response).chain(suffix));
        let kept = images.iter().map(|i| i.len()).sum();
        let caching = recipe.caching.clone();
        let alone = |c: &Caching| c.strategy.mask() == AttentionMask::Prefix;
        // Reference: LaViDa's `diffusion_generate` with `prefix_lm`.
        let prefill = recipe.predicts == Predicts::Next
            && caching.as_ref().is_some_and(alone)
            && !prompt.is_empty();
        let mut denoiser = Self {
            cache: caching.map(|caching| CacheState::new(caching, recipe.gen_length)),
            canvas: Canvas::new(recipe.canvas.clone(), recipe.mask, recipe.draft),
            recipe: Arc::new(recipe),
            images,
            sequence,
            block: 0,
            step_in_block: 0,
            step: 0,
            budget: Budget::Counts(Vec::new()),
            stop: None,
            prefill: Prefill::Unneeded,
            stuck: false,
            exhausted: false,
            stability: Stability::default(),
            accepted: Wino::BEFORE,
            choices: Vec::new(),
            kept,
            pruned: false,
            cancel: Cancel::default(),
        };
        if prefill && denoiser.open(1) == [0] {
            denoiser.prefill = Prefill::Due;
        }
        denoiser
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
        if self.end_position().is_some() {
            return false;
        }
        loop {
            let start = self.block * self.recipe.block_length;
            if start >= self.recipe.gen_length {
                return false;
            }
            let end = start + self.recipe.block_length;
            if self.prefills() {
                return true;
            }
            if self.step_in_block == 0 {
                if self.stop.is_some_and(|stop| stop <= start) {
                    return false;
                }
                let masked = self
                    .open(end)
                    .iter()
                    .filter(|&&p| p as usize >= start)
                    .count();
                let recipe = &self.recipe;
                let steps = recipe.steps_per_block;
                self.budget = recipe.schedule.budget(masked, steps, recipe.grid);
            }
            let done_before_stop = self
                .stop
                .is_some_and(|stop| self.canvas.masked(stop).is_empty());
            let block_full = (start..end).all(|p| !self.canvas.is_masked(p));
            let spent = self.spent() && self.choice_due().is_none();
            if done_before_stop || block_full || spent {
                self.block += 1;
                self.step_in_block = 0;
                self.stuck = false;
                self.stability = Stability::default();
                self.accepted = Wino::BEFORE;
                continue;
            }
            let most = self.recipe.max_forwards.unwrap_or(usize::MAX);
            self.exhausted = (self.passes() + 1) * self.forwards_per_step() > most;
            if self.recipe.policy.may_revise() && !self.exhausted {
                self.sequence.cast_shadows(start..end);
            }
            return !self.exhausted;
        }
    }

    /// Whether this block takes no more tokens one by one.
    pub(super) fn spent(&self) -> bool {
        if self.recipe.policy.keeps_schedule() {
            self.step_in_block >= self.recipe.steps_per_block
        } else {
            self.stuck
        }
    }

    /// Masked positions below `end` that are committed token by token.
    pub(super) fn open(&self, end: usize) -> Vec<u32> {
        let mut masked = self.canvas.masked(end);
        if let Some(template) = &self.recipe.template {
            masked.retain(|&p| template.is_open(p as usize));
        }
        masked
    }

    /// Whether the next pass computes the prompt alone and reads the first token from it.
    pub(super) fn prefills(&self) -> bool {
        self.prefill == Prefill::Due
    }

    /// Passes run so far.
    pub(super) fn passes(&self) -> usize {
        self.step + usize::from(self.prefill == Prefill::Done)
    }

    pub(super) fn forwards_per_step(&self) -> usize {
        1 + usize::from(self.recipe.cfg_scale > 0.0)
    }

    /// Whether the policy goes by whole distributions.
    pub(crate) fn wants_logits(&self) -> bool {
        self.recipe.policy.stability_bound().is_some()
    }

    /// Masked positions that this step may commit: before the stop if one is known, else before the
    /// block's end. Left-overs of earlier blocks are included.
    pub(crate) fn committable(&self) -> Vec<u32> {
        if self.prefills() {
            return vec![0];
        }
        if self.spent() {
            return Vec::new();
        }
        let end = (self.block + 1) * self.recipe.block_length;
        self.open(self.stop.unwrap_or(end))
    }

    /// Positions whose final rows this step reads.
    pub(crate) fn read(&self) -> Vec<u32> {
        let scored = self.scored().into_iter().map(|(position, _)| position);
        self.committable().into_iter().chain(scored).collect()
    }

    /// Committed tokens of the block that the policy may revoke: position and token.
    pub(crate) fn revocable(&self) -> Vec<(u32, u32)> {
        if !self.recipe.policy.may_revise() || self.spent() {
            return Vec::new();
        }
        let block =
            self.block * self.recipe.block_length..(self.block + 1) * self.recipe.block_length;
        let template = self.recipe.template.as_ref();
        // What a template or a draft gives is not the decoder's to take back.
        let open = |p: usize| {
            self.recipe.canvas[p] == self.recipe.mask && template.is_none_or(|t| t.is_open(p))
        };
        block
            .filter(|&p| !self.canvas.is_masked(p) && open(p))
            .map(|p| (p as u32, self.canvas.ids()[p]))
            .collect()
    }

    /// Every masked position, later blocks included.
    pub(crate) fn masked(&self) -> Vec<u32> {
        self.canvas.masked(self.recipe.gen_length)
    }

    /// The rows that the next step computes.
    pub(crate) fn work(&mut self) -> Work {
        let read = self.read();
        // A pruner sees every row, whether it reads attention or drops rows between two layers.
        let whole = self.pruning_due().is_some();
        let response = self.sequence.response().start;
        if self.prefills() {
            return Work::of(0..response);
        }
        let Some(cache) = &mut self.cache else {
            return Work::of(0..self.sequence.rows().len());
        };
        let block = response + self.block * self.recipe.block_length;
        let predicts = self.recipe.predicts;
        let about = |p: &u32| predicts.from(response + *p as usize) as u32;
        let read: Vec<u32> = read.iter().map(about).collect();
        cache.work(&Next {
            sequence: &self.sequence,
            tokens: self.canvas.ids(),
            step: self.step,
            step_in_block: self.step_in_block,
            block: block..block + self.recipe.block_length,
            read: &read,
            whole,
        })
    }

    /// The row whose logits are about the position of row `row`.
    pub(crate) fn row_before(&self, row: usize) -> usize {
        self.recipe.predicts.from(row)
    }

    /// Forgets what is kept between steps: the next step computes every row.
    pub fn forget_cache(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.forget();
        }
    }

    /// Bytes that are kept between steps.
    pub fn cache_bytes(&self) -> usize {
        self.cache.as_ref().map_or(0, CacheState::bytes)
    }

    /// The input token of response position `position`.
    pub(crate) fn token(&self, position: u32) -> u32 {
        self.canvas.ids()[position as usize]
    }

    /// How the candidate of `position` is drawn in this step, for families without a filter.
    pub(crate) fn pick(&self, position: u32) -> Pick<'_> {
        let temperature = self.recipe.temperature;
        if temperature == 0.0 || self.prefills() {
            return Pick::Greedy;
        }
        let noise = self.noise(position);
        Pick::Gumbel { temperature, noise }
    }

    /// What becomes of the logits of this step, for families with a filter.
    pub(crate) fn filter(&self) -> Option<Filter> {
        let filter = self.recipe.filter?;
        let greedy = Filter {
            temperature: 0.0,
            ..filter
        };
        Some(if self.prefills() { greedy } else { filter })
    }

    /// The noise that draws the candidate of `position` in this step.
    pub(crate) fn noise(&self, position: u32) -> Noise<'_> {
        let recorded = self.recipe.recorded.as_ref();
        let row = recorded.and_then(|r| {
            let at = position as usize * r.vocabulary;
            r.gumbel.get(self.step)?.get(at..at + r.vocabulary)
        });
        match row {
            Some(draws) => Noise::Recorded(draws),
            None => Noise::Counter {
                seed: self.recipe.seed,
                step: self.step as u32,
                position,
            },
        }
    }
}
