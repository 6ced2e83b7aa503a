//! Denoising: an answer is unmasked block by block over several steps.

mod absorb;
mod answer_template;
mod cancel;
mod canvas;
mod check;
mod denoiser;
mod filter;
mod fork;
mod outcome;
mod policy;
mod pruning;
mod recipe;
mod remask;
mod schedule;
mod slots;
mod stability;
mod step;

pub(crate) use crate::settings::Options;
pub(crate) use absorb::Seen;
pub use answer_template::{AnswerTemplate, Draft, Holes};
pub use cancel::Cancel;
pub(crate) use canvas::Canvas;
pub use denoiser::Denoiser;
pub use outcome::{FinishReason, Outcome};
pub use policy::{EntropyBound, Factor, Fixed, Klass, POLICIES, Policy, Prophet, Threshold, Wino};
pub use remask::Remasking;
pub use schedule::{DEFAULT_SHIFT, Schedule};
pub use slots::Choice;
pub use step::{Commit, PhaseTimes, Step};
