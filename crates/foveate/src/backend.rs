//! The backends by name: the one place that knows which types stand behind `--backend`.

use anyhow::Result;
use clap::ValueEnum;
use foveate_core::{Checkpoint, Engine, Environment, NamedShape};
use foveate_kernels::{Backend, Cpu, Format, Isa, Ledger, Reference, Timed};

use crate::args::MachineArgs;

/// Which arithmetic to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// Plain loops, the oracle.
    Reference,
    /// Vectorised, on all cores.
    Cpu,
    /// The same without instructions that not every machine has.
    Portable,
}

impl BackendName {
    /// As `--backend` spells it.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Which of them gives the same bits on this machine. All instruction sets that `cpu` chooses from
    /// do, but for the one without fused multiply-add, which is `portable`.
    pub(crate) fn same_bits(self) -> Self {
        match self {
            Self::Cpu if Isa::available().iter().all(|isa| *isa == Isa::Portable) => Self::Portable,
            other => other,
        }
    }
}

/// What is done with a backend, whichever type it is.
pub(crate) trait Job {
    /// What comes of it.
    type Out;
    /// Does it.
    fn with<B: Backend>(self, backend: B) -> Result<Self::Out>;
}

/// Does `job` with the named backend.
pub(crate) fn run<J: Job>(machine: MachineArgs, job: J) -> Result<J::Out> {
    let cpu = |cpu: foveate_kernels::Result<Cpu>| cpu.map_err(foveate_core::Error::from);
    match machine.backend {
        BackendName::Reference => job.with(Reference::default()),
        BackendName::Cpu => job.with(cpu(Cpu::new(machine.threads))?),
        BackendName::Portable => job.with(cpu(Cpu::portable(machine.threads))?),
    }
}

/// Does `job` with the named backend and keeps accounts of what every operation costs.
pub(crate) fn run_timed<J: Job>(machine: MachineArgs, job: J) -> Result<(J::Out, Ledger)> {
    run(machine, Accounted(job))
}

struct Accounted<J>(J);

impl<J: Job> Job for Accounted<J> {
    type Out = (J::Out, Ledger);

    fn with<B: Backend>(self, backend: B) -> Result<Self::Out> {
        let (backend, ledger) = Timed::new(backend);
        Ok((self.0.with(backend)?, ledger))
    }
}

/// Loads a checkpoint onto the named backend.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    environment: &Environment,
    machine: MachineArgs,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Engine> {
    let load = Load {
        checkpoint,
        environment,
        format: machine.dtype.into(),
        progress,
    };
    run(machine, load)
}

/// Loading a checkpoint.
pub(crate) struct Load<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) environment: &'a Environment,
    pub(crate) format: Format,
    /// Hears of layers done and in all.
    pub(crate) progress: &'a mut dyn FnMut(usize, usize),
}

impl Job for Load<'_> {
    type Out = Engine;

    fn with<B: Backend>(self, backend: B) -> Result<Engine> {
        let Self {
            format,
            checkpoint,
            environment,
            progress,
        } = self;
        Ok(Engine::load_as(
            format,
            checkpoint,
            environment,
            backend,
            progress,
        )?)
    }
}

/// Drawing the weights of a shape.
pub(crate) struct Random<'a> {
    pub(crate) shape: &'a NamedShape,
    pub(crate) seed: u64,
    pub(crate) format: Format,
    /// Hears of layers done and in all.
    pub(crate) progress: &'a mut dyn FnMut(usize, usize),
}

impl Job for Random<'_> {
    type Out = Engine;

    fn with<B: Backend>(self, backend: B) -> Result<Engine> {
        let Self {
            format,
            shape,
            seed,
            progress,
        } = self;
        Ok(Engine::random_as(format, shape, seed, backend, progress)?)
    }
}
