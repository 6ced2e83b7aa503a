//! The micro-kernel: a tile of outputs stays in registers while the depth goes by.
//!
//! A tile is up to `Simd::ROWS` rows by `Simd::PANELS` panels of sixteen columns, as many sums as there are registers
//! beside the operands: 6 × 16 with AVX2, 12 × 32 with AVX-512. Each step of the depth loads one line of each panel
//! and broadcasts one number of each row. Linears, attention scores and weighted values all end here.

use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::Line;

/// `c[row][panel] (+)= Σₖ a[k][row] · b[panel][k]` over `depth` values of k in ascending order.
///
/// Every output is one chain of fused multiply-adds, so its bits depend neither on the size of the
/// tile nor on where the depth is interrupted and resumed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// How many products each output sums.
    pub(super) depth: usize,
    /// `a[k][row]` is at `k * a_step + row`.
    pub(super) a: *const f32,
    pub(super) a_step: usize,
    /// `b[panel][k]` is at `panel * b_panel + k`.
    pub(super) b: *const Line,
    pub(super) b_panel: usize,
    /// `c[row][panel]` is at `row * c_row + panel * c_panel`.
    pub(super) c: *mut Line,
    pub(super) c_row: usize,
    pub(super) c_panel: usize,
    /// Continue from what `c` holds instead of from zero.
    pub(super) resume: bool,
    /// What else to bring into the cache meanwhile.
    pub(super) prefetch: Prefetch,
}

/// Memory to bring into the second cache while a tile is computed: some cache lines of each panel.
///
/// Hardware follows a stream of loads but not the jump from one slice of the weights to the next, so tiles fetch
/// what the next slice begins with. It is a hint: no address is read, and none need be valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    /// The first byte of the first panel.
    pub(super) start: *const u8,
    /// Bytes between panels.
    pub(super) panel: usize,
    /// Cache lines of each panel.
    pub(super) lines: usize,
}

impl Prefetch {
    /// Nothing to fetch.
    pub(super) const NONE: Self = Self {
        start: std::ptr::null(),
        panel: 0,
        lines: 0,
    };

    /// The `lines` cache lines of one panel from `start` on.
    pub(super) fn new(start: *const u8, lines: usize) -> Self {
        Self {
            start,
            panel: 0,
            lines,
        }
    }

    /// The `i`th of `count` equal parts, for the `i`th of as many tiles.
    pub(super) fn part(&self, i: usize, count: usize) -> Self {
        let share = self.lines.div_ceil(count);
        self.skip(i * share, share)
    }

    /// The `lines` cache lines of each panel from number `line` on.
    pub(super) fn skip(&self, line: usize, lines: usize) -> Self {
        Self {
            start: self.start.wrapping_add(line * 64),
            lines,
            ..*self
        }
    }

    /// Fetches cache line `line` of the first `panels` panels.
    #[inline(always)]
    pub(super) fn fetch(&self, panels: usize, line: usize) {
        for panel in 0..panels {
            let at = self.start.wrapping_add(panel * self.panel + line * 64);
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a hint that reads nothing, whatever the address.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(at.cast());
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = at;
        }
    }
}

/// Steps of the depth between two prefetches.
const STRIDE: usize = 4;

/// The kernel for a tile of known size, which is what lets the sums be registers.
struct FixedTile<const ROWS: usize, const PANELS: usize>(Tile);

impl Tile {
    /// Computes `rows × panels` outputs, at most as many as the instruction set's largest tile.
    ///
    /// # Safety
    /// The three pointers must reach what the fields describe, and nobody else may use `c`.
    pub(super) unsafe fn compute(self, isa: DetectedIsa, rows: usize, panels: usize) {
        macro_rules! sizes {
            ($($r:literal)*) => {
                match (rows, panels) {
                    $(($r, 1) => isa.run(FixedTile::<$r, 1>(self)),
                      ($r, 2) => isa.run(FixedTile::<$r, 2>(self)),)*
                    _ => unreachable!("no tile of {rows} rows and {panels} panels"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

impl<const ROWS: usize, const PANELS: usize> Kernel for FixedTile<ROWS, PANELS> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if ROWS > S::ROWS || PANELS > S::PANELS {
            unreachable!("a tile larger than the instruction set's registers");
        }
        let tile = self.0;
        let mut sums = [[s.zero(); PANELS]; ROWS];
        // SAFETY: `Tile::compute` obliges its caller to pass pointers that reach all of these.
        unsafe {
            if tile.resume {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load(&*tile.c.add(r * tile.c_row + p * tile.c_panel));
                    }
                }
            }
            let strides = tile.depth / STRIDE;
            let burst = tile.prefetch.lines.div_ceil(strides.max(1));
            for stride in 0..strides {
                for line in stride * burst..(stride + 1) * burst {
                    tile.prefetch.fetch(PANELS, line);
                }
                for k in stride * STRIDE..(stride + 1) * STRIDE {
                    step(s, &tile, k, &mut sums);
                }
            }
            for k in strides * STRIDE..tile.depth {
                step(s, &tile, k, &mut sums);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (p, sum) in sums.iter().enumerate() {
                    s.store(*sum, &mut *tile.c.add(r * tile.c_row + p * tile.c_panel));
                }
            }
        }
    }
}

/// Adds the products of step `k` of the depth. A function, because a closure may not be inlined.
///
/// # Safety
/// As for [`Tile::compute`], and `k` is below the depth.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const PANELS: usize>(
    s: S,
    tile: &Tile,
    k: usize,
    sums: &mut [[S::V; PANELS]; ROWS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, b) = (tile.a.add(k * tile.a_step), tile.b.add(k));
        let mut columns = [s.zero(); PANELS];
        for (p, column) in columns.iter_mut().enumerate() {
            *column = s.load(&*b.add(p * tile.b_panel));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = s.splat(*a.add(r));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = s.fma(x, column, *sum);
            }
        }
    }
}
