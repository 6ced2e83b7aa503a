//! Kernels in plain Rust, written so that the compiler can use whatever vectors there are.
//!
//! Four rows by one panel of sums fit the sixteen registers of SSE2 and the thirty-two of NEON. Integer arithmetic has
//! the bits of the other instruction sets; floats round once more, since there is no fused multiply-add.

use std::array::from_fn;

use super::isa::{Kernel, Simd};
use super::lines::LANES;
use super::panels::bf16_to_f32;

/// Any machine. Fused multiply-add would be a slow library call, so it rounds twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

/// Runs `kernel` in plain Rust.
#[inline(never)]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Portable)
}

impl Simd for Portable {
    const ROWS: usize = 4;
    const PANELS: usize = 1;
    type V = [f32; LANES];
    type I = [i32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::V {
        from.map(bf16_to_f32)
    }

    #[inline(always)]
    fn store(self, x: Self::V, to: &mut [f32; LANES]) {
        *to = x;
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn where_greater(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        from_fn(|i| if a[i] > b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn two_to_low_bits(self, x: Self::V) -> Self::V {
        from_fn(|i| f32::from_bits(x[i].to_bits().wrapping_add(127) << 23))
    }

    #[inline(always)]
    fn splat_pair(self, x: i32) -> Self::I {
        [x; LANES]
    }

    #[inline(always)]
    fn load_pairs(self, from: &[f32; LANES]) -> Self::I {
        from.map(|x| x.to_bits() as i32)
    }

    #[inline(always)]
    fn store_pairs(self, x: Self::I, to: &mut [f32; LANES]) {
        *to = x.map(|x| f32::from_bits(x as u32));
    }

    #[inline(always)]
    fn widen_pairs(self, from: &[u8; 2 * LANES]) -> Self::I {
        from_fn(|i| {
            pair(
                i16::from(from[2 * i] as i8),
                i16::from(from[2 * i + 1] as i8),
            )
        })
    }

    #[inline(always)]
    fn look_up(self, codes: &[u8; 4 * LANES], levels: &[i8; 16]) -> [Self::I; 2] {
        let four = |i: usize, shift: u32| {
            let level = |j: usize| levels[usize::from(codes[4 * i + j] >> shift & 15)] as u8;
            i32::from_le_bytes(from_fn(level))
        };
        [0, 4].map(|shift| from_fn(|i| four(i, shift)))
    }

    #[inline(always)]
    fn split(self, x: Self::I) -> [Self::I; 2] {
        let bytes = x.map(i32::to_le_bytes);
        let times_256 = |byte: u8| i16::from_le_bytes([0, byte]);
        let pairs = |first: usize| {
            bytes.map(|four| pair(times_256(four[first]), times_256(four[first + 2])))
        };
        [pairs(0), pairs(1)]
    }

    #[inline(always)]
    fn factors(self, from: &[u8; LANES]) -> Self::I {
        from.map(|x| {
            let factor = 8 * i16::from(x as i8);
            pair(factor, factor)
        })
    }

    #[inline(always)]
    fn mul_rounded(self, a: Self::I, b: Self::I) -> Self::I {
        let product = |a: i16, b: i16| ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16;
        from_fn(|i| {
            let (a, b) = (parts(a[i]), parts(b[i]));
            pair(product(a.0, b.0), product(a.1, b.1))
        })
    }

    #[inline(always)]
    fn dot_pairs(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        from_fn(|i| {
            let (a, b) = (parts(a[i]), parts(b[i]));
            let first = i32::from(a.0) * i32::from(b.0);
            sum[i] + (first + i32::from(a.1) * i32::from(b.1))
        })
    }

    #[inline(always)]
    fn to_floats(self, x: Self::I) -> Self::V {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        let mut lanes = x;
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        lanes[0]
    }
}

/// Two 16-bit integers in one lane, the first in the low half.
#[inline(always)]
fn pair(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

/// The two 16-bit integers of a lane.
#[inline(always)]
fn parts(pair: i32) -> (i16, i16) {
    (pair as i16, (pair >> 16) as i16)
}
