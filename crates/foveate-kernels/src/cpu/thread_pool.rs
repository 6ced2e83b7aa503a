//! The thread pool: one call wakes the workers once, and tasks are taken from a shared counter.
//!
//! Which thread does which task is chance. Results do not depend on it, because every task writes a part of its
//! own and sums are never split between tasks that could end in another order.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::workers::Workers;
use crate::error::{Error, Result};

/// The calling thread and its workers; without workers if there is one thread only.
#[derive(Debug)]
pub(super) struct ThreadPool {
    workers: Option<Workers>,
    threads: usize,
}

impl ThreadPool {
    /// Starts `threads - 1` workers.
    pub(super) fn new(threads: NonZeroUsize) -> Result<Self> {
        let threads = threads.get();
        let workers = (threads > 1).then(|| Workers::new(threads - 1)).transpose();
        let workers = workers.map_err(|e| Error::Threads {
            threads,
            reason: e.to_string(),
        })?;
        Ok(Self { workers, threads })
    }

    /// Number of threads that work at once, the calling one included.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` once on every thread, with the thread's number, and returns when all have ended.
    pub(super) fn broadcast(&self, work: impl Fn(usize) + Sync) {
        match &self.workers {
            Some(workers) => workers.with(&work),
            None => work(0),
        }
    }

    /// Runs `work(thread, task)` for every task, in no particular order.
    pub(super) fn for_each(&self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        if tasks <= 1 || self.threads == 1 {
            return (0..tasks).for_each(|task| work(0, task));
        }
        let queue = TaskQueue::new(tasks);
        self.broadcast(|thread| queue.drain(|task| work(thread, task)));
    }

    /// Cuts `rows` into pieces and runs `work` on each; `cost` is about the floats touched per row. Little work is
    /// done by the calling thread alone.
    pub(super) fn for_rows(&self, rows: usize, cost: usize, work: impl Fn(Range<usize>) + Sync) {
        /// Floats of a piece.
        const PIECE: usize = 1 << 14;
        /// Floats that are done before another thread has woken.
        const ALONE: usize = 1 << 18;
        if rows * cost <= ALONE {
            return work(0..rows);
        }
        let piece = (PIECE / cost.max(1)).clamp(1, rows.max(1));
        self.for_each(rows.div_ceil(piece), |_, task| {
            work(task * piece..((task + 1) * piece).min(rows));
        });
    }
}

/// Tasks handed out one by one, and a way to wait until all of them are done.
///
/// Several queues one after another inside one [`ThreadPool::broadcast`] are the phases of an operation: packing,
/// multiplying, merging. A thread that finds one empty waits for it and goes on to the next.
#[derive(Debug)]
pub(super) struct TaskQueue {
    tasks: usize,
    /// The task that is handed out next.
    next: AtomicUsize,
    /// How many are done.
    done: AtomicUsize,
}

impl TaskQueue {
    /// Tasks `0..tasks`.
    pub(super) fn new(tasks: usize) -> Self {
        Self {
            tasks,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    /// Does tasks until none is left to start.
    pub(super) fn drain(&self, mut work: impl FnMut(usize)) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= self.tasks {
                return;
            }
            let done = DoneGuard(self);
            work(task);
            drop(done);
        }
    }

    /// Returns when every task is done, so that what they wrote can be read.
    pub(super) fn wait(&self) {
        /// Then the missing thread is likely not running, and may need this core.
        const SPINS: usize = 1 << 10;
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < self.tasks {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Counts a task as done even when it panics, so that nobody waits for ever.
struct DoneGuard<'a>(&'a TaskQueue);

impl Drop for DoneGuard<'_> {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::Release);
    }
}
