//! The arithmetic by name: which backend, how weights are stored, how many threads.

use std::num::NonZeroUsize;

use foveate_core::{Checkpoint, Engine, Environment, NamedShape};
use foveate_kernels::{Format, Isa, Ledger, Timed};

use crate::error::Result;

/// Which arithmetic to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendKind {
    /// Plain loops, the oracle.
    Reference,
    /// Vectorised, on all cores.
    #[default]
    Cpu,
    /// Vectorised too, without instructions that not every machine has.
    Portable,
}

impl BackendKind {
    /// Every backend with its name and what it is, in a line.
    pub const ALL: [(&'static str, &'static str, Self); 3] = [
        ("reference", "Plain loops, the oracle", Self::Reference),
        ("cpu", "Vectorised, on all cores", Self::Cpu),
        (
            "portable",
            "The same without instructions that not every machine has",
            Self::Portable,
        ),
    ];

    /// The name users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Cpu => "cpu",
            Self::Portable => "portable",
        }
    }

    /// Which of them gives the same bits on this machine. All instruction sets that `cpu` chooses from
    /// do, but for the one without fused multiply-add, which is `portable`.
    #[must_use]
    pub fn same_bits(self) -> Self {
        match self {
            Self::Cpu if Isa::available().iter().all(|isa| *isa == Isa::Portable) => Self::Portable,
            other => other,
        }
    }
}

/// How weights are stored while they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As the model's folder has them; 16-bit floats become f32.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16, half the memory.
    Bf16,
    /// 8 bits for the decoder; the vision tower as in the folder.
    Q8,
    /// 4 bits for the decoder's layers, 8 for its embedding and head; the vision tower as in the folder.
    Q4,
}

impl Storage {
    /// Every storage with its name and what it is, in a line.
    pub const ALL: [(&'static str, &'static str, Self); 5] = [
        (
            "auto",
            "As the model's folder has them; 16-bit floats become f32",
            Self::Auto,
        ),
        ("f32", "32-bit floats", Self::F32),
        ("bf16", "bfloat16, half the memory", Self::Bf16),
        (
            "q8",
            "8 bits for the decoder; the vision tower as in the folder",
            Self::Q8,
        ),
        (
            "q4",
            "4 bits for the decoder's layers, 8 for its embedding and head; the vision tower as in the folder",
            Self::Q4,
        ),
    ];

    /// The name users type.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, _, storage)| *storage == self);
        known.map_or("auto", |(name, ..)| *name)
    }
}

impl serde::Serialize for Storage {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl From<Storage> for Format {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Auto => Self::Auto,
            Storage::F32 => Self::F32,
            Storage::Bf16 => Self::Bf16,
            Storage::Q8 => Self::Q8,
            Storage::Q4 => Self::Q4,
        }
    }
}

/// What models run on.
///
/// ```
/// use foveate::{BackendKind, Machine};
///
/// let machine = Machine { backend: BackendKind::Portable, ..Machine::default() };
/// assert_eq!(machine.backend.name(), "portable");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// The arithmetic.
    pub backend: BackendKind,
    /// Storage of the weights.
    pub dtype: Storage,
    /// Worker threads; one per core when absent.
    pub threads: Option<NonZeroUsize>,
}

/// Evaluates an expression with the backend of a [`Machine`] in a variable, whichever type it has.
#[macro_export]
macro_rules! with_backend {
    ($machine:expr, $backend:ident => $done:expr) => {{
        let machine: $crate::Machine = $machine;
        match machine.backend {
            $crate::BackendKind::Reference => {
                let $backend = $crate::kernels::Reference::default();
                $done
            }
            $crate::BackendKind::Cpu => {
                let $backend = $crate::kernels::Cpu::new(machine.threads)?;
                $done
            }
            $crate::BackendKind::Portable => {
                let $backend = $crate::kernels::Cpu::portable(machine.threads)?;
                $done
            }
        }
    }};
}

/// Hears of layers done and in all.
pub type OnLayers<'a> = &'a mut dyn FnMut(usize, usize);

impl Machine {
    /// Reads the weights of a checkpoint.
    pub fn load(
        self,
        checkpoint: &Checkpoint,
        environment: &Environment,
        progress: OnLayers<'_>,
    ) -> Result<Engine> {
        with_backend!(self, backend => Ok(Engine::load_as(
            self.dtype.into(), checkpoint, environment, backend, progress,
        )?))
    }

    /// Reads the weights of a checkpoint onto a backend that keeps accounts of every operation.
    pub fn load_timed(
        self,
        checkpoint: &Checkpoint,
        environment: &Environment,
        progress: OnLayers<'_>,
    ) -> Result<(Engine, Ledger)> {
        with_backend!(self, backend => {
            let (backend, ledger) = Timed::new(backend);
            let engine = Engine::load_as(self.dtype.into(), checkpoint, environment, backend, progress)?;
            Ok((engine, ledger))
        })
    }

    /// Draws the weights of a shape.
    pub fn random(self, shape: &NamedShape, seed: u64, progress: OnLayers<'_>) -> Result<Engine> {
        with_backend!(self, backend => Ok(Engine::random_as(
            self.dtype.into(), shape, seed, backend, progress,
        )?))
    }

    /// Draws the weights of a shape onto a backend that keeps accounts of every operation.
    pub fn random_timed(
        self,
        shape: &NamedShape,
        seed: u64,
        progress: OnLayers<'_>,
    ) -> Result<(Engine, Ledger)> {
        with_backend!(self, backend => {
            let (backend, ledger) = Timed::new(backend);
            let engine = Engine::random_as(self.dtype.into(), shape, seed, backend, progress)?;
            Ok((engine, ledger))
        })
    }
}
