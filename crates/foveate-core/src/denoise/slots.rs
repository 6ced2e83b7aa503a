//! The slots of an answer template in progress: choices made, slots ended.

use std::ops::Range;

use foveate_kernels::Guess;

use super::answer_template::Kind;
use super::{Commit, Denoiser};

/// A choice that was made.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Choice {
    /// Index of the option.
    pub option: usize,
    /// Mean log probability of each option's tokens, in nats.
    pub scores: Vec<f64>,
}

impl Denoiser {
    /// Where the next choice is, and its options, if it is to be made in this step: nothing before it
    /// is masked, or the block's steps are spent.
    pub(super) fn choice_due(&self) -> Option<(&Range<usize>, &[Vec<u32>])> {
        let template = self.recipe.template.as_ref()?;
        let (at, options) = template.choices().nth(self.choices.len())?;
        let in_block = at.start < (self.block + 1) * self.recipe.block_length;
        let ready = self.spent() || self.canvas.masked(at.start).is_empty();
        (in_block && ready).then_some((at, options))
    }

    /// The tokens whose probability this step asks for: each token of each option of a choice.
    pub(crate) fn scored(&self) -> Vec<(u32, u32)> {
        let Some((at, options)) = self.choice_due() else {
            return Vec::new();
        };
        let tokens = options.iter().flat_map(|ids| at.clone().zip(ids));
        tokens.map(|(p, &id)| (p as u32, id)).collect()
    }

    /// Makes the choice that was due from the probabilities of [`Denoiser::scored`].
    ///
    /// The option with the highest mean log probability wins, the first among equals: a mean, because
    /// a sum would favour options of few tokens.
    pub(super) fn choose_option(&mut self, guesses: &[Guess]) -> Vec<Commit> {
        let due = self.choice_due().filter(|_| !guesses.is_empty());
        let Some((at, options)) = due else {
            return Vec::new();
        };
        let at = at.clone();
        let mut rest = guesses;
        let mut scores = Vec::with_capacity(options.len());
        let mut best: (usize, &[Guess]) = (0, &[]);
        for (i, ids) in options.iter().enumerate() {
            let (mine, others) = rest.split_at(ids.len().min(rest.len()));
            rest = others;
            let sum: f64 = mine.iter().map(|guess| guess.probability.ln()).sum();
            scores.push(sum / ids.len() as f64);
            if i == 0 || scores[i] > scores[best.0] {
                best = (i, mine);
            }
        }
        let commit = |(position, guess): (usize, &Guess)| Commit {
            position: position as u32,
            token: guess.token,
            confidence: guess.probability,
        };
        let commits: Vec<Commit> = at.clone().zip(best.1).map(commit).collect();
        for commit in &commits {
            self.canvas.commit(commit.position, commit.token);
        }
        self.choices.push(Choice {
            option: best.0,
            scores,
        });
        self.fill(at.start + commits.len()..at.end);
        commits
    }

    /// Fills what is left of each slot that has ended: at an end token or a stop string with nothing
    /// masked before it in the slot.
    ///
    /// A policy that may revoke the end itself fills every slot token by token.
    pub(super) fn end_slots(&mut self) {
        if self.recipe.policy.may_revise() {
            return;
        }
        let Some(template) = self.recipe.template.clone() else {
            return;
        };
        for piece in template.pieces().iter().filter(|p| p.kind == Kind::Slot) {
            let end = self.end_of(&piece.at);
            let settled = |p: usize| !self.canvas.is_masked(p);
            if (piece.at.start..end).all(settled) {
                self.fill(end..piece.at.end);
            }
        }
    }

    /// The answer of a template: its text, and what its slots and choices hold up to their ends.
    pub(super) fn filled(&self) -> Option<Vec<u32>> {
        let template = self.recipe.template.as_ref()?;
        let mut made = self.choices.iter();
        let mut ids = Vec::with_capacity(template.len());
        for piece in template.pieces() {
            let at = &piece.at;
            let end = match &piece.kind {
                Kind::Text => at.end,
                Kind::Slot => self.end_of(at),
                Kind::Choice(options) => match made.next() {
                    Some(choice) => at.start + options[choice.option].len(),
                    None => at.end,
                },
            };
            ids.extend_from_slice(&self.canvas.ids()[at.start..end]);
        }
        Some(ids)
    }

    /// Where the content of a slot ends.
    fn end_of(&self, at: &Range<usize>) -> usize {
        let ids = &self.canvas.ids()[at.clone()];
        let ends = &self.recipe.slot_ends;
        let token = ids.iter().position(|id| ends.contains(id));
        let starts = |stop: &Vec<u32>| ids.windows(stop.len()).position(|w| w == stop);
        let string = self.recipe.stop.iter().filter_map(starts).min();
        let end = token.into_iter().chain(string).min();
        end.map_or(at.end, |end| at.start + end)
    }

    /// Writes the end token over the masks of `positions`: what a trained model puts there.
    fn fill(&mut self, positions: Range<usize>) {
        let filler = self.recipe.template.as_ref().and_then(|t| t.filler());
        if let Some(filler) = filler {
            for position in positions
                .filter(|&p| self.canvas.is_masked(p))
                .collect::<Vec<_>>()
            {
                self.canvas.commit(position as u32, filler);
            }
        }
    }
}
