//! What is asked of the head, and what it answers.
//!
//! Denoising commits the positions whose candidates are surest. For that it needs few numbers of each position's
//! distribution, and they are all that leaves the head.

use crate::error::{Error, Result};
use crate::noise::Noise;

/// How to turn final hidden rows into candidate tokens; the argument of [`Backend::rank`](super::Backend::rank).
///
/// ```
/// use foveate_kernels::{Backend, Dtype, Format, Layout, Pick, Rank, Reference, TensorView};
///
/// # fn main() -> foveate_kernels::Result<()> {
/// let mut b = Reference::default();
/// // A head of three ids over one input: the logits of the row below are 0, 1 and 2.
/// let bytes: Vec<u8> = [0.0_f32, 1.0, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
/// let part = TensorView::new(Dtype::F32, 3, 1, &bytes)?;
/// let head = b.weight(&[part], &[], Layout::Linear, Format::Auto)?;
/// let mut x = b.buf(1, 1)?;
/// b.write(&[1.0], &mut x, 0)?;
///
/// let rank = Rank { forbidden: &[2], picks: &[Pick::Greedy] };
/// let mut guesses = Vec::new();
/// b.rank(&x, &head, &rank, &mut guesses)?;
/// assert_eq!(guesses[0].token, 1);
/// assert!((guesses[0].probability - 0.731).abs() < 1e-3); // 1 / (1 + exp(-1))
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rank<'a> {
    /// Ids that can be neither chosen nor counted in the softmax, such as the mask itself; in any order.
    pub forbidden: &'a [u32],
    /// How each row's candidate is chosen, one per row.
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
    /// This id, whatever the others are: its probability is what is asked for. A forbidden one has probability 0.
    Given(u32),
    /// The highest `exp(logit) / (-ln u)^temperature`: `add_gumbel_noise` of `LLaDA`'s `generate.py`.
    Gumbel {
        /// Above zero.
        temperature: f64,
        /// The draws `u`.
        noise: Noise<'a>,
    },
}

/// The candidate of one row, and how sure the model is of it.
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
