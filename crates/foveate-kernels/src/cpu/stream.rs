//! How fast memory can be read, measured: what work that reads each weight once is measured against.

use std::time::Instant;

use super::Cpu;
use super::isa::{Kernel, Simd};
use super::lines::{Line, grow};
use crate::error::Result;

/// Lines that one task reads.
const PIECE: usize = 1 << 12;

impl Cpu {
    /// Bytes per second at which all threads together read `bytes` of memory from end to end: the best of
    /// `rounds` passes. `bytes` should be many times the caches. Fails where there is no room for them.
    ///
    /// `bench` and the roofline example state the speed of work that reads each weight once as a share of this.
    pub fn read_bandwidth(&self, bytes: usize, rounds: usize) -> Result<f64> {
        let mut lines: Vec<Line> = Vec::new();
        let count = bytes.div_ceil(size_of::<Line>());
        grow(&mut lines, count, Line([1.0; 16]), "memory to be read")?;
        let isa = self.context.isa;
        let pieces: Vec<&[Line]> = lines.chunks(PIECE).collect();
        let mut best = 0.0_f64;
        for _ in 0..rounds {
            let clock = Instant::now();
            self.context.pool.for_each(pieces.len(), |_, piece| {
                std::hint::black_box(isa.run(Read(pieces[piece])));
            });
            let seconds = clock.elapsed().as_secs_f64();
            best = best.max((count * size_of::<Line>()) as f64 / seconds);
        }
        Ok(best)
    }
}

/// The kernel that adds up everything, in enough sums not to wait for any.
struct Read<'a>(&'a [Line]);

impl Kernel for Read<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.zero(); 8];
        for lines in self.0.as_chunks::<8>().0 {
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = s.add(*sum, s.load(line));
            }
        }
        s.sum(sums.into_iter().fold(s.zero(), |a, b| s.add(a, b)))
    }
}

#[cfg(test)]
mod tests {
    use crate::Cpu;

    #[test]
    fn memory_is_read_at_some_speed() {
        let cpu = Cpu::new(None).expect("threads");
        let speed = cpu.read_bandwidth(1 << 20, 2).expect("a megabyte");
        assert!(speed.is_finite() && speed > 0.0, "{speed}");
    }
}
