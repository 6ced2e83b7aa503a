//! Denoising: an answer is unmasked block by block over several steps.

mod canvas;
mod denoiser;
mod options;
mod remask;
mod schedule;
mod step;

pub(crate) use canvas::Canvas;
pub use denoiser::{Cancel, Denoiser, FinishReason, Outcome};
pub use options::{Options, Recorded, Remasking};
pub use step::{Commit, PhaseTimes, Step};
