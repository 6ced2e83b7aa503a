//! The visual tokens of an answer in progress: when some leave, and which.

use super::Denoiser;
use crate::error::Result;
use crate::prune::{Moment, Positions, Pruned, Survivors, Visual, Watch, quota};
use crate::sequence::{Origin, Sequence};

impl Denoiser {
    /// The moment at which this request still has to prune, if any. Steps count from 1 there.
    pub(crate) fn pruning_due(&self) -> Option<Moment> {
        let pruning = self.recipe.pruning.as_ref()?;
        if self.images.is_empty() {
            return None;
        }
        let moment = pruning.pruner.moment();
        let due = match moment {
            // No answer looks at the images yet.
            _ if self.prefills() && moment != Moment::BeforeDecoder => false,
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
    ) -> Result<Option<Vec<(usize, Survivors, Pruned)>>> {
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
            let kept = Survivors::top(&scores, quota)?;
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
    pub(crate) fn prune(&mut self, choices: &[(usize, Survivors)]) -> Vec<u32> {
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
}

/// The index, among the tokens its image began with, of the visual token in `row`.
fn token_of(sequence: &Sequence, row: usize) -> u32 {
    match sequence.rows()[row].origin {
        Origin::Visual { token, .. } => token,
        Origin::Text(_) | Origin::Response(_) | Origin::Shadow(_) => 0,
    }
}
