//! The backends by name: the one place that knows which types stand behind `--backend`.

use std::num::NonZeroUsize;

use anyhow::Result;
use foveate_core::{Checkpoint, Engine, Environment, NamedShape};
use foveate_kernels::{Cpu, Reference};

/// Which arithmetic to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BackendName {
    /// Plain loops, the oracle.
    Reference,
    /// Vectorised, on all cores.
    Cpu,
}

/// Loads a checkpoint onto the named backend.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    environment: &Environment,
    backend: BackendName,
    threads: Option<NonZeroUsize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    Ok(match backend {
        BackendName::Reference => {
            Engine::load(checkpoint, environment, Reference::default(), progress)?
        }
        BackendName::Cpu => Engine::load(checkpoint, environment, cpu(threads)?, progress)?,
    })
}

/// Random weights of a shape on the named backend.
pub(crate) fn random(
    shape: &NamedShape,
    seed: u64,
    backend: BackendName,
    threads: Option<NonZeroUsize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    Ok(match backend {
        BackendName::Reference => Engine::random(shape, seed, Reference::default(), progress)?,
        BackendName::Cpu => Engine::random(shape, seed, cpu(threads)?, progress)?,
    })
}

fn cpu(threads: Option<NonZeroUsize>) -> Result<Cpu> {
    Ok(Cpu::new(threads).map_err(foveate_core::Error::from)?)
}
