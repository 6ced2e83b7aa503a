//! Copies of an answer in progress that go on by themselves, before another engine, or pruned otherwise.

use std::sync::Arc;

use super::recipe::Recipe;
use super::{Cancel, Denoiser};
use crate::error::{Error, Result};
use crate::prune::{Moment, Pruned, Pruning};
use crate::visual::VisualTokens;

impl Denoiser {
    /// A copy that continues on its own; the image features are shared.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            cancel: Cancel::default(),
            ..self.clone()
        }
    }

    /// A copy that sees `images`, in the same order, in place of its own: the same pictures as another
    /// engine of the same model encodes them, which can then step it.
    ///
    /// Refused under a cache, whose contents belong to one engine.
    pub fn fork_seeing(&self, images: &[Arc<VisualTokens>]) -> Result<Self> {
        self.refuse_cache("goes on before another engine")?;
        let sizes = |images: &[Arc<VisualTokens>]| -> Vec<usize> {
            images.iter().map(|image| image.len()).collect()
        };
        let (expected, got) = (sizes(&self.images), sizes(images));
        if expected != got {
            return Err(Error::request(
                "image",
                format!(
                    "expected images of {expected:?} visual tokens, got {got:?}; encode the same pictures"
                ),
            ));
        }
        Ok(Self {
            images: images.to_vec(),
            ..self.fork()
        })
    }

    /// A copy that prunes as `pruning` says, as if it had from the first step on. Every visual token must
    /// still be there.
    ///
    /// Where tokens leave after the step just run, they leave now: a strategy that reads attention goes by
    /// the scores that this step `reported`, which must have watched the same under a keep ratio of 1.
    /// Refused where another start would have shown other tokens, and under a cache.
    pub fn fork_pruned(&self, pruning: Option<&Pruning>, reported: &[Pruned]) -> Result<Self> {
        self.refuse_cache("is pruned otherwise")?;
        let seen: usize = self.images.iter().map(|image| image.len()).sum();
        if self.kept != seen {
            return Err(Error::request(
                "prune",
                format!(
                    "expected all {seen} visual tokens, got {}; fork before they leave",
                    self.kept
                ),
            ));
        }
        let mut fork = self.fork();
        fork.pruned = false;
        fork.recipe = Arc::new(Recipe {
            pruning: pruning.cloned(),
            ..Recipe::clone(&self.recipe)
        });
        // Keeping everything is no pruning, whenever it begins.
        let Some(pruning) = pruning.filter(|pruning| pruning.keep < 1.0) else {
            return Ok(fork);
        };
        match pruning.moment() {
            Moment::AfterStep(step) if step > self.step => return Ok(fork),
            Moment::AfterStep(step) if step == self.step => {}
            _ if self.passes() == 0 => return Ok(fork),
            moment => {
                return Err(Error::request(
                    "prune-at",
                    format!(
                        "expected a moment after step {}, got {moment:?}; fork earlier",
                        self.step
                    ),
                ));
            }
        }
        let before = self.recipe.pruning.as_ref();
        if let Some(watch) = pruning.watch()
            && before.map(|before| (before.moment(), before.watch()))
                != Some((pruning.moment(), Some(watch)))
        {
            return Err(Error::request(
                "prune",
                format!("expected a step that watched {watch:?}, got one under {before:?}"),
            ));
        }
        let scores: Vec<Vec<f32>> = reported.iter().map(|image| image.scores.clone()).collect();
        let scores = (scores.len() == self.images.len()).then_some(scores.as_slice());
        match fork.choose_tokens(&fork.sequence, scores)? {
            Some(chosen) => {
                let kept: Vec<_> = chosen
                    .into_iter()
                    .map(|(image, kept, _)| (image, kept))
                    .collect();
                fork.prune(&kept);
            }
            None => fork.skip_pruning(),
        }
        Ok(fork)
    }

    fn refuse_cache(&self, what: &str) -> Result<()> {
        match &self.cache {
            None => Ok(()),
            Some(_) => Err(Error::request(
                "cache",
                format!("expected none for an answer that {what}, got one; start it anew"),
            )),
        }
    }
}
