//! The worker threads: one call wakes them once, and tasks are taken from a shared counter.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::helpers::Helpers;
use crate::error::{Error, Result};

/// The calling thread and its helpers.
#[derive(Debug)]
pub(super) struct Team {
    helpers: Option<Helpers>,
    size: usize,
}

impl Team {
    pub(super) fn new(threads: NonZeroUsize) -> Result<Self> {
        let size = threads.get();
        let helpers = (size > 1).then(|| Helpers::new(size - 1)).transpose();
        let helpers = helpers.map_err(|e| Error::Threads {
            threads: size,
            reason: e.to_string(),
        })?;
        Ok(Self { helpers, size })
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Runs `work` once on every thread, with the thread's number.
    pub(super) fn all(&self, work: impl Fn(usize) + Sync) {
        match &self.helpers {
            Some(helpers) => helpers.with(&work),
            None => work(0),
        }
    }

    /// Runs `work(thread, task)` for every task, in no particular order.
    pub(super) fn each(&self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        if tasks <= 1 || self.size == 1 {
            return (0..tasks).for_each(|task| work(0, task));
        }
        let queue = Queue::new(tasks);
        self.all(|thread| queue.drain(|task| work(thread, task)));
    }

    /// Cuts `rows` into pieces and runs `work` on each; `cost` is about the floats touched per row.
    pub(super) fn rows(
        &self,
        rows: usize,
        cost: usize,
        work: impl Fn(std::ops::Range<usize>) + Sync,
    ) {
        /// Floats of a piece.
        const PIECE: usize = 1 << 14;
        /// Floats that are done before another thread has woken.
        const ALONE: usize = 1 << 18;
        if rows * cost <= ALONE {
            return work(0..rows);
        }
        let piece = (PIECE / cost.max(1)).clamp(1, rows.max(1));
        self.each(rows.div_ceil(piece), |_, task| {
            work(task * piece..((task + 1) * piece).min(rows));
        });
    }
}

/// Tasks handed out one by one, and a way to wait until all of them are done.
#[derive(Debug)]
pub(super) struct Queue {
    tasks: usize,
    next: AtomicUsize,
    done: AtomicUsize,
}

impl Queue {
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
            let finish = Finish(self);
            work(task);
            drop(finish);
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
struct Finish<'a>(&'a Queue);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::Release);
    }
}
