//! Which of the guesses are committed: the highest-ranked ones.

use foveate_kernels::{Guess, uniform};

use super::options::{Recipe, Remasking};

/// A candidate for one response position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) position: u32,
    pub(crate) token: u32,
    /// What ranks it; also reported.
    pub(crate) confidence: f64,
}

/// Ranks the guesses of `positions` and returns the `count` best in position order, and all of them.
pub(crate) fn choose(
    recipe: &Recipe,
    step: usize,
    positions: &[u32],
    guesses: &[Guess],
    count: usize,
) -> (Vec<Candidate>, Vec<Candidate>) {
    let all: Vec<Candidate> = positions
        .iter()
        .zip(guesses)
        .map(|(&position, guess)| Candidate {
            position,
            token: guess.token,
            confidence: match recipe.remasking {
                Remasking::LowConfidence => guess.probability,
                Remasking::Random => draw(recipe, step, position),
            },
        })
        .collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| {
        all[b]
            .confidence
            .total_cmp(&all[a].confidence)
            .then(a.cmp(&b))
    });
    order.truncate(count);
    order.sort_unstable();
    (order.into_iter().map(|i| all[i]).collect(), all)
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
