//! What this machine can do at most, measured in the same run as what is compared with it.

use std::time::Instant;

use anyhow::Result;
use foveate_kernels::Cpu;

use crate::args::MachineArgs;

/// Peaks of all threads together.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Ceiling {
    /// Multiplications and additions of f32 a second, in registers.
    pub(super) flops_per_second: f64,
    /// Bytes a second, read from memory.
    pub(super) bytes_per_second: f64,
}

/// Read from end to end; many times the caches, and less than what a step of a large model needs.
const BYTES: usize = 256 << 20;

/// Rounds of the multiply-add loop: some tens of milliseconds.
const FMA_ROUNDS: usize = 20_000_000;

/// Of which the best counts.
const REPETITIONS: usize = 5;

impl Ceiling {
    pub(super) fn measure(machine: MachineArgs) -> Result<Self> {
        let cpu = Cpu::new(machine.threads).map_err(foveate_core::Error::from)?;
        let mut flops_per_second = 0.0_f64;
        for _ in 0..REPETITIONS {
            let clock = Instant::now();
            let flops = cpu.fma_peak(FMA_ROUNDS);
            flops_per_second = flops_per_second.max(flops / clock.elapsed().as_secs_f64());
        }
        let bytes_per_second = cpu
            .read_bandwidth(BYTES, REPETITIONS)
            .map_err(foveate_core::Error::from)?;
        Ok(Self {
            flops_per_second,
            bytes_per_second,
        })
    }

    /// Seconds that so much takes at least, if arithmetic and memory can overlap.
    pub(super) fn floor(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops_per_second).max(bytes / self.bytes_per_second)
    }
}
