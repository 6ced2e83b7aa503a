//! One denoising step of several answers: what every measurement loops over.

use anyhow::{Result, bail};
use foveate_core::{Denoiser, Engine, Error, Progress, Step};

/// Takes a step of each answer; none of those that are finished.
pub(crate) fn step(engine: &Engine, answers: &mut [Denoiser]) -> Result<Vec<Option<Step>>> {
    let progress = engine.step(&mut answers.iter_mut().collect::<Vec<_>>())?;
    let stepped = |progress| match progress {
        Progress::Stepped(step) => Ok(Some(step)),
        Progress::Finished => Ok(None),
        Progress::Cancelled => bail!("the measurement was cancelled"),
    };
    progress.into_iter().map(stepped).collect()
}

/// Why settings cannot be; other errors stay errors.
pub(crate) fn refusal(error: anyhow::Error) -> Result<String> {
    match error.downcast_ref::<Error>() {
        Some(Error::Request { .. }) => Ok(error.to_string()),
        _ => Err(error),
    }
}
