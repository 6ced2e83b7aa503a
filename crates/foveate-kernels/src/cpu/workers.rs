//! Threads that work beside the caller: they watch for the next job a while before they sleep.
//!
//! A layer is a dozen jobs of some hundred microseconds with little between them, and to wake a
//! sleeping thread takes longer than many of them. So a worker that has finished looks for the next
//! job for as long as it is likely to come soon, and then sleeps until it is woken.
//!
//! A job is announced by a new `round`: the caller writes the job, raises the round and wakes who sleeps; each
//! worker does the job once and lowers `busy`; the caller does its own share and waits until nobody is busy. No
//! job outlives the call that brought it, which is why it may borrow.

use std::any::Any;
use std::cell::UnsafeCell;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Spins before a worker that waits for the next job sleeps, and before the caller that waits for workers does: some hundred
/// microseconds of a core (95 on Zen 5). Who sleeps leaves its core to whoever is waited for.
const SPINS: usize = 1 << 12;

/// Most workers that can be had.
const MOST: usize = 1 << 12;

/// A job with its lifetime forgotten; it is used only while [`Workers::with`] is running.
type Job = *const (dyn Fn(usize) + Sync);

/// What the caller and its workers share: one job at a time.
struct PoolState {
    /// Jobs announced so far.
    round: AtomicUsize,
    /// Written between rounds, when no worker reads it.
    job: UnsafeCell<Option<Job>>,
    /// Whose job it is; written with it.
    caller: UnsafeCell<Option<Thread>>,
    /// Workers that are still at the job of this round.
    busy: AtomicUsize,
    /// The caller sleeps until no worker is busy.
    waiting: AtomicBool,
    /// The next round has no job: workers end.
    quit: AtomicBool,
    /// The first panic of a worker.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Which workers sleep and must be woken.
    asleep: Vec<AtomicBool>,
}

// SAFETY: `job` points to something `Sync`. It and `caller` are written by the one caller, who holds the
// lock of callers, while `busy` is zero, and read by workers between a new `round` and their lowering `busy`.
unsafe impl Sync for PoolState {}
// SAFETY: as above; the pointer is used only while the job it points to is alive.
unsafe impl Send for PoolState {}

/// The threads beside the caller; they end when this is dropped.
pub(super) struct Workers {
    state: Arc<PoolState>,
    threads: Vec<JoinHandle<()>>,
    /// Held by the caller whose job is done; others wait.
    callers: Mutex<()>,
}

impl Workers {
    /// Starts `count` threads, which wait for a job.
    pub(super) fn new(count: usize) -> std::io::Result<Self> {
        // More than any machine has, and few enough for the tables below.
        if count > MOST {
            let reason = format!("more than {MOST} workers");
            return Err(std::io::Error::new(ErrorKind::InvalidInput, reason));
        }
        let mut workers = Self {
            state: Arc::new(PoolState {
                round: AtomicUsize::new(0),
                job: UnsafeCell::new(None),
                caller: UnsafeCell::new(None),
                busy: AtomicUsize::new(0),
                waiting: AtomicBool::new(false),
                quit: AtomicBool::new(false),
                panic: Mutex::new(None),
                asleep: (0..count).map(|_| AtomicBool::new(false)).collect(),
            }),
            threads: Vec::with_capacity(count),
            callers: Mutex::new(()),
        };
        for worker in 0..count {
            let state = Arc::clone(&workers.state);
            let thread = std::thread::Builder::new()
                .name(format!("foveate-cpu-{}", worker + 1))
                .spawn(move || state.work(worker))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Runs `job` once on every worker, with its number from 1 on, and once here with 0.
    ///
    /// A panic of any thread reaches the caller, after all have ended. A job that runs another one on the same
    /// workers would wait for itself.
    pub(super) fn with(&self, job: &(dyn Fn(usize) + Sync)) {
        let _alone = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &*self.state;
        // One that is left from a job whose own panic went ahead of it.
        state.take_panic();
        // SAFETY: only the lifetime is forgotten, and `WaitGuard` waits for every worker before this
        // function ends, even by a panic.
        let forgotten = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(job) };
        // SAFETY: this thread holds the lock of callers, and no worker is busy.
        unsafe {
            *state.job.get() = Some(forgotten);
            *state.caller.get() = Some(std::thread::current());
        }
        state.busy.store(self.threads.len(), Ordering::Relaxed);
        state.announce(self.threads.iter().map(JoinHandle::thread));
        {
            let _wait = WaitGuard(state);
            job(0);
        }
        if let Some(panic) = state.take_panic() {
            resume_unwind(panic);
        }
    }
}

impl PoolState {
    /// The first panic of a worker since the last call.
    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        panic.take()
    }

    /// Lets everybody see what was written before.
    fn announce<'a>(&self, threads: impl Iterator<Item = &'a Thread>) {
        // In one order with `asleep`: a worker sees the new round before it sleeps, or is woken.
        self.round.fetch_add(1, Ordering::SeqCst);
        for (asleep, thread) in self.asleep.iter().zip(threads) {
            if asleep.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    /// A worker's life: round after round until it is told to quit.
    fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            seen = self.next(worker, seen);
            if self.quit.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the caller wrote it before this round and waits until `busy` is lowered below.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: as above, so the job is alive.
                let work = || unsafe { (*job)(worker + 1) };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(panic);
                }
            }
            // SAFETY: as above; afterwards it is the caller's.
            let caller = unsafe { (*self.caller.get()).clone() };
            let last = self.busy.fetch_sub(1, Ordering::SeqCst) == 1;
            if let (true, Some(caller)) = (last && self.waiting.load(Ordering::SeqCst), caller) {
                caller.unpark();
            }
        }
    }

    /// The round after `seen`, as soon as there is one: looked for a while, then slept for.
    fn next(&self, worker: usize, seen: usize) -> usize {
        for _ in 0..SPINS {
            let round = self.round.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            std::hint::spin_loop();
        }
        let asleep = &self.asleep[worker];
        loop {
            asleep.store(true, Ordering::SeqCst);
            let round = self.round.load(Ordering::SeqCst);
            if round != seen {
                asleep.store(false, Ordering::SeqCst);
                return round;
            }
            std::thread::park();
        }
    }
}

/// Waits for every worker when it is dropped.
struct WaitGuard<'a>(&'a PoolState);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let state = self.0;
        for _ in 0..SPINS {
            if state.busy.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        // In one order with `busy`: the last worker sees this, or is seen to have finished.
        state.waiting.store(true, Ordering::SeqCst);
        while state.busy.load(Ordering::SeqCst) > 0 {
            std::thread::park();
        }
        state.waiting.store(false, Ordering::Relaxed);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.state.quit.store(true, Ordering::Relaxed);
        self.state
            .announce(self.threads.iter().map(JoinHandle::thread));
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs, so there is nothing to be told here.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} workers", self.threads.len())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Workers;

    #[test]
    fn every_thread_does_every_job_once() {
        let workers = Workers::new(3).expect("threads");
        let counts: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        for job in 0..1000 {
            workers.with(&|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
            for count in &counts {
                assert_eq!(count.load(Ordering::Relaxed), job + 1);
            }
        }
    }

    #[test]
    fn jobs_of_several_callers_take_turns() {
        let workers = Workers::new(1).expect("threads");
        let running = AtomicUsize::new(0);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        workers.with(&|_| {
                            assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                            total.fetch_add(1, Ordering::Relaxed);
                            running.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 600);
    }

    #[test]
    fn a_panic_of_any_thread_reaches_the_caller_and_the_helpers_live_on() {
        let workers = Workers::new(2).expect("threads");
        for culprits in [0..1, 1..2, 2..3, 0..2, 0..3] {
            let job = |thread: usize| assert!(!culprits.contains(&thread), "thread {thread}");
            let result = catch_unwind(AssertUnwindSafe(|| workers.with(&job)));
            assert!(result.is_err(), "{culprits:?}");
            let done = AtomicUsize::new(0);
            workers.with(&|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 3, "after {culprits:?}");
        }
    }
}
