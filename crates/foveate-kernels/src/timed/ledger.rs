//! What calls of a backend cost, added up by what they compute.
//!
//! A step makes some hundreds of calls but only a dozen kinds of them; one line for each kind is what reports show.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Act, Heads};
use crate::tensor::Dtype;

/// What a call computes; calls with the same `Work` are one line of the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A method of [`Backend`](crate::Backend) that moves or normalises rows.
    Rows(&'static str),
    /// A linear, or the head with its ranking.
    Linear {
        /// `linear` or `rank`.
        operation: &'static str,
        /// Width of the input rows.
        inputs: usize,
        /// Width of the output rows.
        outputs: usize,
        /// What is applied to each output.
        act: Act,
        /// How the weight is stored.
        stored: Dtype,
    },
    /// Attention.
    Attend {
        /// Its geometry.
        heads: Heads,
        /// Whether attention mass is reported.
        probing: bool,
    },
}

impl Work {
    /// The name of the method of [`Backend`](crate::Backend).
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Rows(operation) | Self::Linear { operation, .. } => operation,
            Self::Attend { .. } => "attend",
        }
    }

    /// How the weight is stored, where there is one.
    pub fn stored(&self) -> Option<Dtype> {
        match self {
            Self::Linear { stored, .. } => Some(*stored),
            Self::Rows(_) | Self::Attend { .. } => None,
        }
    }
}

/// `4096 → 12288 SwiGlu`, `32 heads of 128, probing`; nothing for what has one shape only.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(_) => Ok(()),
            Self::Linear {
                inputs,
                outputs,
                act,
                ..
            } => {
                write!(f, "{inputs} → {outputs}")?;
                match act {
                    Act::None => Ok(()),
                    act => write!(f, " {act:?}"),
                }
            }
            Self::Attend { heads, probing } => {
                write!(f, "{} heads of {}", heads.count, heads.dim)?;
                f.write_str(if *probing { ", probing" } else { "" })
            }
        }
    }
}

/// What calls cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// What they computed.
    pub work: Work,
    /// How many there were.
    pub calls: usize,
    /// Time on the clock.
    pub seconds: f64,
    /// Multiplications and additions of linears and attention; 0 elsewhere.
    pub flops: f64,
    /// Bytes that must be read and written at least once: weights, inputs and outputs.
    pub bytes: f64,
}

/// The accounts of a [`Timed`](super::Timed) backend, to be read while it is in use.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Vec<Spent>>>);

impl Ledger {
    /// What was spent since the last call, in the order in which it first occurred.
    pub fn take(&self) -> Vec<Spent> {
        std::mem::take(&mut self.lines())
    }

    /// Enters a call: adds it to its line, or begins one.
    pub(super) fn add(&self, spent: Spent) {
        let mut lines = self.lines();
        match lines.iter_mut().find(|line| line.work == spent.work) {
            Some(line) => line.add(&spent),
            None => lines.push(spent),
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Spent>> {
        // Sums of finished calls are right whatever happened to a later one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    /// Adds what other calls cost.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.flops += other.flops;
        self.bytes += other.bytes;
    }
}
