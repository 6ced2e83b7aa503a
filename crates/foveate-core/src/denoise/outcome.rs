//! The answer so far: where it ends, and why.

use super::{Choice, Denoiser};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// A stop string was found.
    Stop,
    /// The canvas is full, or its steps are spent.
    Length,
    /// An end token was committed and nothing before it is masked.
    End,
    /// As many forwards were run as the request allows.
    MaxForwards,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Ids before the stop, then the suffix.
    pub ids: Vec<u32>,
    /// How many of `ids` are the response.
    pub response: usize,
    /// How many tokens of the response are no masks; all of them unless the answer was cut short.
    pub settled: usize,
    /// How many tokens of the response are its draft, holes included.
    pub draft: usize,
    /// The choices of its template, in order.
    pub choices: Vec<Choice>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Visual tokens the prompt began with.
    pub visual_tokens_seen: usize,
    /// Visual tokens still there at the end; the smallest pass counts for in-pass pruning.
    pub visual_tokens_kept: usize,
    /// Denoising steps run.
    pub steps: usize,
    /// Sequences that went through the decoder: one a step, two under guidance.
    pub forwards: usize,
}

impl Denoiser {
    /// The answer so far, as if it ended here.
    pub fn outcome(&self) -> Outcome {
        let length = self.recipe.gen_length;
        let ended = self.end_position().unwrap_or(length);
        let end = self.stop.unwrap_or(length).min(ended);
        let mut ids = match self.filled() {
            Some(ids) => ids,
            None => self.canvas.ids()[..end].to_vec(),
        };
        let response = ids.len();
        let settled = ids.iter().filter(|id| **id != self.recipe.mask).count();
        ids.extend_from_slice(&self.recipe.suffix);
        Outcome {
            ids,
            response,
            settled,
            draft: self.recipe.draft.min(response),
            choices: self.choices.clone(),
            finish_reason: match self.stop {
                _ if self.exhausted => FinishReason::MaxForwards,
                _ if ended < self.stop.unwrap_or(length) => FinishReason::End,
                Some(_) => FinishReason::Stop,
                None => FinishReason::Length,
            },
            visual_tokens_seen: self.images.iter().map(|i| i.len()).sum(),
            visual_tokens_kept: self.kept,
            steps: self.step,
            forwards: self.passes() * self.forwards_per_step(),
        }
    }

    /// Where the answer ends although its canvas goes on: at a committed end token with nothing masked
    /// before it. Tokens of the current block may still be revised by a policy that does so.
    pub(super) fn end_position(&self) -> Option<usize> {
        let end = self.canvas.find_settled(&self.recipe.end)?;
        let block = self.block * self.recipe.block_length;
        let settled = !self.recipe.policy.may_revise()
            || end < block
            || self
                .canvas
                .masked(block + self.recipe.block_length)
                .is_empty();
        settled.then_some(end)
    }
}
