//! How masked positions are ranked for committing.

use foveate_kernels::{Guess, uniform};

use super::options::{Recipe, Remasking};

/// A candidate for one response position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) position: u32,
    pub(crate) token: u32,
    /// What ranks it; also reported.
    pub(crate) confidence: f64,
    /// What it was made of.
    pub(crate) guess: Guess,
}

/// The guesses of `positions` with what ranks them.
pub(crate) fn candidates(
    recipe: &Recipe,
    step: usize,
    positions: &[u32],
    guesses: &[Guess],
) -> Vec<Candidate> {
    positions
        .iter()
        .zip(guesses)
        .map(|(&position, guess)| Candidate {
            position,
            token: guess.token,
            confidence: match recipe.remasking {
                Remasking::LowConfidence => guess.probability,
                Remasking::Random => draw(recipe, step, position),
            },
            guess: *guess,
        })
        .collect()
}

/// Indices of `candidates`, the surest first; the earlier position among equals.
pub(crate) fn surest_first(candidates: &[Candidate]) -> Vec<usize> {
    let confidence = |i: usize| candidates[i].confidence;
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)).then(a.cmp(&b)));
    order
}

/// The draw that ranks a position under random remasking.
fn draw(recipe: &Recipe, step: usize, position: u32) -> f64 {
    let recorded = recipe
        .recorded
        .as_ref()
        .and_then(|r| r.confidence.get(step));
    match recorded.and_then(|row| row.get(position as usize)) {
        Some(&value) => value,
        None => uniform(recipe.seed, step as u32, position, u32::MAX),
    }
}
