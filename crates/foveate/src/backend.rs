//! The backends by name.

use std::num::NonZeroUsize;

use anyhow::Result;
use foveate_core::{Checkpoint, Engine, Environment};
use foveate_kernels::{Cpu, Reference};

/// Which arithmetic to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendName {
    /// Plain loops, the oracle.
    Reference,
    /// Vectorised, on all cores.
    Cpu,
}

/// Loads a checkpoint onto the named backend.
pub fn load(
    checkpoint: &Checkpoint,
    environment: &Environment,
    backend: BackendName,
    threads: Option<NonZeroUsize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    match backend {
        BackendName::Reference => {
            Engine::load(checkpoint, environment, Reference::default(), progress)
        }
        BackendName::Cpu => {
            let cpu = Cpu::new(threads).map_err(foveate_core::Error::from)?;
            Engine::load(checkpoint, environment, cpu, progress)
        }
    }
    .map_err(Into::into)
}
