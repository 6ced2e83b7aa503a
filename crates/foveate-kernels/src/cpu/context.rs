//! What every operation works with: the instruction set, the threads and their scratch memory.
//!
//! Scratch memory grows to the largest call and is reused by all others, so that a step that is no larger than
//! those before it allocates nothing. [`Backend::memory`](crate::Backend::memory) counts it among the buffers.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::isa::DetectedIsa;
use super::lines::LineBuf;
use super::thread_pool::ThreadPool;
use crate::error::Result;

/// One thread's scratch memory. An operation overwrites what it uses and expects nothing of it.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Outputs of a linear, or of an attention, while they are summed.
    pub(super) sums: LineBuf,
    /// Weights widened to f32, or expanded to whole numbers; rotated rows in an attention.
    pub(super) wide: LineBuf,
    /// Scores of a block of queries, then their exponentials.
    pub(super) scores: LineBuf,
    /// A block of queries, rotated and packed.
    pub(super) queries: LineBuf,
}

/// Instruction set, threads and scratch memory of one [`Cpu`](super::Cpu), all kept from call to call.
#[derive(Debug)]
pub(super) struct Context {
    /// Chosen once, when the backend is made.
    pub(super) isa: DetectedIsa,
    /// The threads, of which the calling one is number 0.
    pub(super) pool: ThreadPool,
    /// One for each thread. The locks are never contended: a thread takes its own.
    scratch: Vec<Mutex<Scratch>>,
    /// Taken out by the operation that uses it, and put back at its end.
    pub(super) shared: SharedScratch,
}

/// Scratch memory that all threads write part by part and then read whole.
#[derive(Debug, Default)]
pub(super) struct SharedScratch {
    /// A linear's input rows, packed.
    pub(super) inputs: LineBuf,
    /// Keys of some heads, rotated and packed.
    pub(super) keys: LineBuf,
    /// Values of the same heads, packed.
    pub(super) values: LineBuf,
    /// Attention mass that is wanted of each block of queries, head by head.
    pub(super) mass: LineBuf,
}

impl Context {
    /// Starts the threads; fails where the operating system refuses them.
    pub(super) fn new(isa: DetectedIsa, threads: NonZeroUsize) -> Result<Self> {
        Ok(Self {
            isa,
            pool: ThreadPool::new(threads)?,
            scratch: (0..threads.get()).map(|_| Mutex::default()).collect(),
            shared: SharedScratch::default(),
        })
    }

    /// Grows every thread's scratch memory by `size`, so that no task has to allocate, and none can fail.
    pub(super) fn prepare(&self, size: impl Fn(&mut Scratch) -> Result<()>) -> Result<()> {
        (0..self.scratch.len()).try_for_each(|thread| size(&mut self.scratch(thread)))
    }

    /// The scratch memory of thread number `thread`.
    pub(super) fn scratch(&self, thread: usize) -> MutexGuard<'_, Scratch> {
        // Poisoned scratch memory holds no invariant: every task overwrites what it uses.
        self.scratch[thread]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all scratch memory.
    pub(super) fn bytes(&self) -> usize {
        let of_threads: usize = (0..self.scratch.len())
            .map(|thread| {
                let scratch = self.scratch(thread);
                scratch.sums.bytes()
                    + scratch.wide.bytes()
                    + scratch.scores.bytes()
                    + scratch.queries.bytes()
            })
            .sum();
        let shared = &self.shared;
        of_threads
            + shared.inputs.bytes()
            + shared.keys.bytes()
            + shared.values.bytes()
            + shared.mass.bytes()
    }
}
