//! What every operation works with: the instruction set, the threads and their working memory.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::isa::Chosen;
use super::lines::Scratch;
use super::team::Team;
use crate::error::Result;

/// One thread's working memory.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Outputs of a linear, or of an attention, while they are summed.
    pub(super) sums: Scratch,
    /// Weights widened to f32.
    pub(super) wide: Scratch,
    /// Scores of a block of queries.
    pub(super) scores: Scratch,
    /// A block of queries, rotated and packed.
    pub(super) queries: Scratch,
}

/// Instruction set, threads and working memory, all kept from call to call.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) isa: Chosen,
    pub(super) team: Team,
    desks: Vec<Mutex<Desk>>,
    pub(super) shared: Shared,
}

/// Working memory that all threads read.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// A linear's input rows, packed.
    pub(super) inputs: Scratch,
    /// Keys of some heads, rotated and packed.
    pub(super) keys: Scratch,
    /// Values of the same heads, packed.
    pub(super) values: Scratch,
    /// What each block of queries has to report, head by head.
    pub(super) reports: Scratch,
}

impl Workshop {
    pub(super) fn new(isa: Chosen, threads: NonZeroUsize) -> Result<Self> {
        Ok(Self {
            isa,
            team: Team::new(threads)?,
            desks: (0..threads.get()).map(|_| Mutex::default()).collect(),
            shared: Shared::default(),
        })
    }

    /// Prepares every thread's desk, so that no task has to allocate.
    pub(super) fn prepare(&self, size: impl Fn(&mut Desk) -> Result<()>) -> Result<()> {
        (0..self.desks.len()).try_for_each(|thread| size(&mut self.desk(thread)))
    }

    /// The desk of `thread`.
    pub(super) fn desk(&self, thread: usize) -> MutexGuard<'_, Desk> {
        // A poisoned desk holds no invariant: every task overwrites what it uses.
        self.desks[thread]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> usize {
        let desks: usize = (0..self.desks.len())
            .map(|thread| {
                let desk = self.desk(thread);
                desk.sums.bytes() + desk.wide.bytes() + desk.scores.bytes() + desk.queries.bytes()
            })
            .sum();
        let shared = &self.shared;
        desks
            + shared.inputs.bytes()
            + shared.keys.bytes()
            + shared.values.bytes()
            + shared.reports.bytes()
    }
}
