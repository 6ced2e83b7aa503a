//! How masked positions are ranked for committing.

use foveate_kernels::{Guess, uniform};

use super::recipe::Recipe;

/// How masked positions are ranked for committing. Distributions are after the request's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remasking {
    /// The candidates of highest probability are committed, the uncertain ones stay masked
    /// (Dream: `maskgit_plus`).
    #[default]
    LowConfidence,
    /// A uniform draw per position.
    Random,
    /// The distributions of lowest entropy first.
    Entropy,
    /// The largest gap between the two highest probabilities first (Dream: `topk_margin`).
    Margin,
    /// Every position on its own, with the share that is due at this time (Dream: `origin`); needs
    /// [`super::Schedule::Timesteps`].
    Origin,
}

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
                Remasking::LowConfidence | Remasking::Origin => guess.probability,
                Remasking::Random => draw(recipe, step, position),
                Remasking::Entropy => -guess.entropy,
                Remasking::Margin => guess.top - guess.runner_up,
            },
            guess: *guess,
        })
        .collect()
}

/// Indices of `candidates`, the surest first; the earlier position among equals. With `alg_temp`
/// the order is drawn instead.
pub(crate) fn surest_first(recipe: &Recipe, step: usize, candidates: &[Candidate]) -> Vec<usize> {
    let keys: Vec<f64> = candidates.iter().map(|c| key(recipe, step, c)).collect();
    descending(&keys)
}

/// Indices of `keys`, the highest first; the earlier one among equals.
pub(crate) fn descending(keys: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]).then(a.cmp(&b)));
    order
}

/// The candidates that [`Remasking::Origin`] commits, each with the chance `share`.
pub(crate) fn by_chance(
    recipe: &Recipe,
    step: usize,
    candidates: &[Candidate],
    share: f64,
) -> Vec<usize> {
    let drawn = |&i: &usize| draw(recipe, step, candidates[i].position) < share;
    (0..candidates.len()).filter(drawn).collect()
}

/// What sorts a candidate: its confidence, or with `alg_temp` a draw without replacement from
/// `softmax(confidence / alg_temp)`, as the highest `confidence / alg_temp - ln(-ln u)`.
fn key(recipe: &Recipe, step: usize, candidate: &Candidate) -> f64 {
    if recipe.alg_temp == 0.0 {
        return candidate.confidence;
    }
    let u = uniform(recipe.seed, step as u32, candidate.position, ORDER);
    candidate.confidence / recipe.alg_temp - (-u.ln()).ln()
}

/// The draw that ranks or chooses a position by chance.
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

/// In place of a token id in the noise of `alg_temp`.
const ORDER: u32 = u32::MAX - 1;
