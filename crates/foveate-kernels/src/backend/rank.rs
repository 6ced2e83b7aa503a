//! What is asked of the head, and what it answers.

use crate::error::{Error, Result};
use crate::noise::Noise;

/// How to turn final hidden rows into candidate tokens.
#[derive(Clone, Debug)]
pub struct Rank<'a> {
    /// Ids that can be neither chosen nor counted in the softmax.
    pub forbidden: &'a [u32],
    /// One per row.
    pub picks: &'a [Pick<'a>],
}

impl Rank<'_> {
    /// Refuses a given id that a head of `outputs` ids does not have.
    pub(crate) fn check(&self, outputs: usize) -> Result<()> {
        let unknown = |pick: &&Pick<'_>| matches!(pick, Pick::Given(id) if *id as usize >= outputs);
        match self.picks.iter().find(unknown) {
            Some(pick) => Err(Error::shape(
                "given token id",
                format!("below {outputs}"),
                format!("{pick:?}"),
            )),
            None => Ok(()),
        }
    }
}

/// How one row's candidate is chosen. Its confidence always comes from the noise-free logits.
#[derive(Clone, Copy, Debug)]
pub enum Pick<'a> {
    /// The highest logit; the lowest id among equals.
    Greedy,
    /// This id, whatever the others are: its probability is what is asked for.
    Given(u32),
    /// The highest `exp(logit) / (-ln u)^temperature` (`LLaDA`'s Gumbel form).
    Gumbel {
        /// Above zero.
        temperature: f64,
        /// The draws `u`.
        noise: Noise<'a>,
    },
}

/// The candidate of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The chosen id.
    pub token: u32,
    /// Its softmax probability over the allowed ids, accumulated in f64.
    pub probability: f64,
    /// The highest probability of any allowed id; `probability`, unless noise chose another.
    pub top: f64,
    /// The second-highest one; equal to `top` in a tie, 0 where one id is allowed.
    pub runner_up: f64,
    /// `-Σ p ln p` over the allowed ids, in nats.
    pub entropy: f64,
}
