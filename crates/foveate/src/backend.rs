//! The backends by name: the one place that knows which types stand behind `--backend`.

use std::num::NonZeroUsize;

use anyhow::Result;
use foveate_core::{Checkpoint, Engine, Environment, NamedShape};
use foveate_kernels::{Cpu, Reference};

use crate::args::MachineArgs;

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
    machine: MachineArgs,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    let format = machine.dtype.into();
    Ok(match machine.backend {
        BackendName::Reference => {
            let reference = Reference::default();
            Engine::load_as(format, checkpoint, environment, reference, progress)?
        }
        BackendName::Cpu => {
            let cpu = cpu(machine.threads)?;
            Engine::load_as(format, checkpoint, environment, cpu, progress)?
        }
    })
}

/// Random weights of a shape on the named backend.
pub(crate) fn random(
    shape: &NamedShape,
    seed: u64,
    machine: MachineArgs,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    let format = machine.dtype.into();
    Ok(match machine.backend {
        BackendName::Reference => {
            Engine::random_as(format, shape, seed, Reference::default(), progress)?
        }
        BackendName::Cpu => {
            Engine::random_as(format, shape, seed, cpu(machine.threads)?, progress)?
        }
    })
}

fn cpu(threads: Option<NonZeroUsize>) -> Result<Cpu> {
    Ok(Cpu::new(threads).map_err(foveate_core::Error::from)?)
}
