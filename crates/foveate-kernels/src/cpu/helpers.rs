//! Threads that work beside the caller: they watch for the next job a while before they sleep.
//!
//! A layer is a dozen jobs of some hundred microseconds with little between them, and to wake a
//! sleeping thread takes longer than many of them. So a helper that has finished looks for the next
//! job for as long as it is likely to come soon, and then sleeps until it is woken.

use std::any::Any;
use std::cell::UnsafeCell;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Looks at the next job before a helper sleeps, and at the helpers' end before the caller does: some hundred
/// microseconds of a core (95 on Zen 5). Who sleeps leaves its core to whoever is waited for.
const LOOKS: usize = 1 << 12;

/// Most helpers that can be had.
const MOST: usize = 1 << 12;

/// A job with its lifetime forgotten; it is used only while [`Helpers::with`] is running.
type Job = *const (dyn Fn(usize) + Sync);

/// What the caller and its helpers share.
struct Post {
    /// Jobs posted so far.
    round: AtomicUsize,
    /// Written between rounds, when no helper reads it.
    job: UnsafeCell<Option<Job>>,
    /// Whose job it is; written with it.
    caller: UnsafeCell<Option<Thread>>,
    /// Helpers that are still at the job of this round.
    busy: AtomicUsize,
    /// The caller sleeps until no helper is busy.
    waiting: AtomicBool,
    quit: AtomicBool,
    /// The first panic of a helper.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: Vec<AtomicBool>,
}

// SAFETY: `job` points to something `Sync`. It and `caller` are written by the one caller, who holds the
// turn, while `busy` is zero, and read by helpers between a new `round` and their lowering `busy`.
unsafe impl Sync for Post {}
// SAFETY: as above; the pointer is used only while the job it points to is alive.
unsafe impl Send for Post {}

/// The threads beside the caller; they end when this is dropped.
pub(super) struct Helpers {
    post: Arc<Post>,
    threads: Vec<JoinHandle<()>>,
    /// Held by whoever posts.
    turn: Mutex<()>,
}

impl Helpers {
    pub(super) fn new(count: usize) -> std::io::Result<Self> {
        // More than any machine has, and few enough for the tables below.
        if count > MOST {
            let reason = format!("more than {MOST} helpers");
            return Err(std::io::Error::new(ErrorKind::InvalidInput, reason));
        }
        let mut helpers = Self {
            post: Arc::new(Post {
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
            turn: Mutex::new(()),
        };
        for helper in 0..count {
            let post = Arc::clone(&helpers.post);
            let thread = std::thread::Builder::new()
                .name(format!("foveate-cpu-{}", helper + 1))
                .spawn(move || post.serve(helper))?;
            helpers.threads.push(thread);
        }
        Ok(helpers)
    }

    /// Runs `job` once on every helper, with its number from 1 on, and once here with 0.
    ///
    /// A job that runs another one on the same helpers would wait for itself.
    pub(super) fn with(&self, job: &(dyn Fn(usize) + Sync)) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let post = &*self.post;
        // One that is left from a job whose own panic went ahead of it.
        post.take_panic();
        // SAFETY: only the lifetime is forgotten, and `Finish` waits for every helper before this
        // function ends, even by a panic.
        let forgotten = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(job) };
        // SAFETY: this thread has the turn, and no helper is busy.
        unsafe {
            *post.job.get() = Some(forgotten);
            *post.caller.get() = Some(std::thread::current());
        }
        post.busy.store(self.threads.len(), Ordering::Relaxed);
        post.announce(self.threads.iter().map(JoinHandle::thread));
        {
            let _finish = Finish(post);
            job(0);
        }
        if let Some(panic) = post.take_panic() {
            resume_unwind(panic);
        }
    }
}

impl Post {
    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        panic.take()
    }

    /// Lets everybody see what was written before.
    fn announce<'a>(&self, threads: impl Iterator<Item = &'a Thread>) {
        // In one order with `asleep`: a helper sees the new round before it sleeps, or is woken.
        self.round.fetch_add(1, Ordering::SeqCst);
        for (asleep, thread) in self.asleep.iter().zip(threads) {
            if asleep.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    /// A helper's life.
    fn serve(&self, helper: usize) {
        let mut seen = 0;
        loop {
            seen = self.next(helper, seen);
            if self.quit.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the caller wrote it before this round and waits until `busy` is lowered below.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: as above, so the job is alive.
                let work = || unsafe { (*job)(helper + 1) };
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

    /// The round after `seen`, as soon as there is one.
    fn next(&self, helper: usize, seen: usize) -> usize {
        for _ in 0..LOOKS {
            let round = self.round.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            std::hint::spin_loop();
        }
        let asleep = &self.asleep[helper];
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

/// Waits for every helper when it is dropped.
struct Finish<'a>(&'a Post);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let post = self.0;
        for _ in 0..LOOKS {
            if post.busy.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        // In one order with `busy`: the last helper sees this, or is seen to have finished.
        post.waiting.store(true, Ordering::SeqCst);
        while post.busy.load(Ordering::SeqCst) > 0 {
            std::thread::park();
        }
        post.waiting.store(false, Ordering::Relaxed);
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.post.quit.store(true, Ordering::Relaxed);
        self.post
            .announce(self.threads.iter().map(JoinHandle::thread));
        for thread in self.threads.drain(..) {
            // A helper catches the panics of its jobs, so there is nothing to be told here.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Helpers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} helpers", self.threads.len())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Helpers;

    #[test]
    fn every_thread_does_every_job_once() {
        let helpers = Helpers::new(3).expect("threads");
        let counts: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        for job in 0..1000 {
            helpers.with(&|thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
            for count in &counts {
                assert_eq!(count.load(Ordering::Relaxed), job + 1);
            }
        }
    }

    #[test]
    fn jobs_of_several_callers_take_turns() {
        let helpers = Helpers::new(1).expect("threads");
        let running = AtomicUsize::new(0);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        helpers.with(&|_| {
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
        let helpers = Helpers::new(2).expect("threads");
        for culprits in [0..1, 1..2, 2..3, 0..2, 0..3] {
            let job = |thread: usize| assert!(!culprits.contains(&thread), "thread {thread}");
            let result = catch_unwind(AssertUnwindSafe(|| helpers.with(&job)));
            assert!(result.is_err(), "{culprits:?}");
            let done = AtomicUsize::new(0);
            helpers.with(&|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 3, "after {culprits:?}");
        }
    }
}
