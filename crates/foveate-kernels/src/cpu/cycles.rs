//! How much work the processor did, measured so that other programs on the machine disturb little.
//!
//! User-mode cycles do not pass while another program has the core, and do not depend on the clock's frequency. Where
//! the operating system hides the counter, processor time is next best, then time on the clock.

use super::Cpu;
use super::isa::{Kernel, Simd};

/// What a [`CycleCounter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleUnit {
    /// Cycles in user mode, summed over threads.
    Cycles,
    /// Nanoseconds of processor time, summed over threads.
    CpuTime,
    /// Nanoseconds on the clock.
    Wall,
}

impl std::fmt::Display for CycleUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cycles => "user-mode cycles",
            Self::CpuTime => "CPU time (no cycle counter here)",
            Self::Wall => "wall time (no cycle counter here)",
        })
    }
}

/// Counts the work of this thread and of all threads started after it was made; as [`CycleUnit::CpuTime`], that of
/// the whole process.
#[derive(Debug)]
pub struct CycleCounter {
    unit: CycleUnit,
    #[cfg(target_os = "linux")]
    cycles: Option<linux::Cycles>,
    #[cfg(not(target_os = "linux"))]
    start: std::time::Instant,
}

impl CycleCounter {
    /// The best counter of this machine. Make it before the [`Cpu`] whose threads it shall count.
    pub fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            let cycles = linux::Cycles::open();
            let unit = if cycles.is_some() {
                CycleUnit::Cycles
            } else {
                CycleUnit::CpuTime
            };
            Self { unit, cycles }
        }
        #[cfg(not(target_os = "linux"))]
        Self {
            unit: CycleUnit::Wall,
            start: std::time::Instant::now(),
        }
    }

    /// What [`CycleCounter::read`] counts.
    pub fn unit(&self) -> CycleUnit {
        self.unit
    }

    /// The count so far.
    pub fn read(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return match &self.cycles {
            Some(cycles) => cycles.read(),
            None => linux::cpu_time(),
        };
        #[cfg(not(target_os = "linux"))]
        return u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }
}

impl Default for CycleCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// Multiplies and adds in registers on every thread, as fast as the instruction set can, and
    /// returns the floating-point operations done: what other work is measured against.
    pub fn fma_peak(&self, rounds: usize) -> f64 {
        self.context.pool.broadcast(|_| {
            self.context.isa.run(Peak { rounds });
        });
        let chains = self.context.isa.run(Chains);
        (2 * super::lines::LANES * chains * rounds * self.threads()) as f64
    }
}

/// The kernel of [`Cpu::fma_peak`].
struct Peak {
    rounds: usize,
}

impl Kernel for Peak {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match chains::<S>() {
            12 => spin::<S, 12>(s, self.rounds),
            6 => spin::<S, 6>(s, self.rounds),
            _ => spin::<S, 3>(s, self.rounds),
        }
    }
}

/// Asks the instruction set for its number of chains.
struct Chains;

impl Kernel for Chains {
    type Out = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        chains::<S>()
    }
}

/// As many independent chains as there are registers for.
fn chains<S: Simd>() -> usize {
    match S::ROWS {
        12.. => 12,
        6.. => 6,
        _ => 3,
    }
}

/// Runs `CHAINS` independent sums, each of which waits only for itself.
#[inline(always)]
fn spin<S: Simd, const CHAINS: usize>(s: S, rounds: usize) {
    let x = s.splat(std::hint::black_box(0.999_999));
    let y = s.splat(std::hint::black_box(1e-7));
    let mut sums = [s.splat(1.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = s.fma(*sum, x, y);
        }
    }
    let total = sums.into_iter().fold(s.zero(), |a, b| s.add(a, b));
    std::hint::black_box(s.sum(total));
}

#[cfg(target_os = "linux")]
mod linux {
    /// The first two thirds of the kernel's `perf_event_attr`; the rest is zero.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        sample_period: u64,
        sample_type: u64,
        read_format: u64,
        flags: u64,
        rest: [u64; 10],
    }

    /// `PERF_COUNT_HW_CPU_CYCLES`, inherited by threads, in user mode.
    #[derive(Debug)]
    pub(super) struct Cycles(std::os::fd::OwnedFd);

    impl Cycles {
        pub(super) fn open() -> Option<Self> {
            use std::os::fd::FromRawFd;
            const INHERIT: u64 = 1 << 1;
            const EXCLUDE_KERNEL: u64 = 1 << 5;
            const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
            let attributes = Attributes {
                size: size_of::<Attributes>() as u32,
                flags: INHERIT | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
                ..Attributes::default()
            };
            // SAFETY: the structure lives through the call and tells its own size.
            let fd = unsafe {
                libc::syscall(
                    libc::SYS_perf_event_open,
                    std::ptr::from_ref(&attributes),
                    0,
                    -1,
                    -1,
                    0,
                )
            };
            let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
            // SAFETY: the kernel has just opened it for us alone.
            Some(Self(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }))
        }

        pub(super) fn read(&self) -> u64 {
            use std::os::fd::AsRawFd;
            let mut count = 0u64;
            // SAFETY: eight bytes are there to be written.
            unsafe {
                libc::read(
                    self.0.as_raw_fd(),
                    std::ptr::from_mut(&mut count).cast(),
                    size_of::<u64>(),
                );
            }
            count
        }
    }

    /// Processor time of all threads, in nanoseconds.
    pub(super) fn cpu_time() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the structure is there to be written.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

#[cfg(test)]
mod tests {
    use super::CycleCounter;
    use crate::Cpu;

    #[test]
    fn the_count_never_falls_and_the_loop_tells_its_work() {
        let counter = CycleCounter::new();
        let cpu = Cpu::new(None).expect("threads");
        let mut before = counter.read();
        let mut work = 0.0;
        for rounds in [1, 1000, 100_000] {
            let more = cpu.fma_peak(rounds);
            assert!(more > work, "{rounds} rounds");
            work = more;
            let now = counter.read();
            assert!(now >= before, "{now} after {before} {}", counter.unit());
            before = now;
        }
        // A thread's time is counted when it goes to sleep, or at a tick of some milliseconds.
        let start = counter.read();
        let rises = (0..10_000).any(|_| {
            cpu.fma_peak(1_000_000);
            counter.read() > start
        });
        assert!(rises, "{} stand still at {start}", counter.unit());
    }
}
