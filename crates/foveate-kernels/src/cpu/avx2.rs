//! Kernels for x86-64 with AVX2 and fused multiply-add: sixteen lanes are two registers.

#[allow(
    clippy::wildcard_imports,
    reason = "two dozen intrinsics, each with its own prefix"
)]
use std::arch::x86_64::*;

use super::isa::{Kernel, Simd};
use super::lines::LANES;

/// Proof that the machine has AVX2 and FMA; made only by [`run`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Runs `kernel` compiled with AVX2 and FMA.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx2(()))
}

/// Applies an intrinsic to both halves.
macro_rules! halves {
    ($intrinsic:ident($($x:expr),*)) => {
        // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
        unsafe { [$intrinsic($($x[0]),*), $intrinsic($($x[1]),*)] }
    };
}

impl Simd for Avx2 {
    const ROWS: usize = 6;
    const PANELS: usize = 1;
    type V = [__m256; 2];
    type I = [__m256i; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        // SAFETY: as above, and sixteen floats can be read.
        unsafe {
            [
                _mm256_loadu_ps(from.as_ptr()),
                _mm256_loadu_ps(from.as_ptr().add(8)),
            ]
        }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::V {
        let eight = |from: *const u16| {
            // SAFETY: as above, and eight numbers can be read from either half.
            unsafe {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            }
        };
        [eight(from.as_ptr()), eight(from[8..].as_ptr())]
    }

    #[inline(always)]
    fn store(self, x: Self::V, to: &mut [f32; LANES]) {
        // SAFETY: as above, and sixteen floats can be written.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        halves!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        halves!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn where_greater(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
        let mask = unsafe {
            [
                _mm256_cmp_ps::<_CMP_GT_OQ>(a[0], b[0]),
                _mm256_cmp_ps::<_CMP_GT_OQ>(a[1], b[1]),
            ]
        };
        halves!(_mm256_blendv_ps(no, yes, mask))
    }

    #[inline(always)]
    fn two_to_low_bits(self, x: Self::V) -> Self::V {
        let power = |x: __m256| {
            // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
            unsafe {
                let n = _mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
            }
        };
        [power(x[0]), power(x[1])]
    }

    #[inline(always)]
    fn splat_pair(self, x: i32) -> Self::I {
        // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }

    #[inline(always)]
    fn load_pairs(self, from: &[f32; LANES]) -> Self::I {
        // SAFETY: as above, and sixteen pairs can be read.
        unsafe {
            [
                _mm256_loadu_si256(from.as_ptr().cast()),
                _mm256_loadu_si256(from[8..].as_ptr().cast()),
            ]
        }
    }

    #[inline(always)]
    fn store_pairs(self, x: Self::I, to: &mut [f32; LANES]) {
        // SAFETY: as above, and sixteen pairs can be written.
        unsafe {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x[0]);
            _mm256_storeu_si256(to[8..].as_mut_ptr().cast(), x[1]);
        }
    }

    #[inline(always)]
    fn widen_pairs(self, from: &[u8; 2 * LANES]) -> Self::I {
        // SAFETY: as above, and thirty-two bytes can be read.
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from[16..].as_ptr().cast())),
            ]
        }
    }

    #[inline(always)]
    fn look_up(self, codes: &[[u8; LANES]; 2], levels: &[i8; 16]) -> [Self::I; 2] {
        let line = |codes: &[u8; LANES]| {
            // SAFETY: as above, and sixteen bytes can be read from either.
            unsafe {
                let levels = _mm_loadu_si128(levels.as_ptr().cast());
                // Low and high halves of every byte, each in a byte of its own.
                let wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(codes.as_ptr().cast()));
                let both = _mm256_or_si256(wide, _mm256_slli_epi16::<4>(wide));
                let index = _mm256_and_si256(both, _mm256_set1_epi8(15));
                let bytes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(levels), index);
                [
                    _mm256_cvtepi8_epi16(_mm256_castsi256_si128(bytes)),
                    _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(bytes)),
                ]
            }
        };
        [line(&codes[0]), line(&codes[1])]
    }

    #[inline(always)]
    fn mul_pairs(self, a: Self::I, b: Self::I) -> Self::I {
        halves!(_mm256_mullo_epi16(a, b))
    }

    #[inline(always)]
    fn dot_pairs(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        let products = halves!(_mm256_madd_epi16(a, b));
        halves!(_mm256_add_epi32(sum, products))
    }

    #[inline(always)]
    fn to_floats(self, x: Self::I) -> Self::V {
        halves!(_mm256_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        // SAFETY: an `Avx2` exists only inside `run`, where the features are enabled.
        unsafe { sum_of_eight(_mm256_add_ps(x[0], x[1])) }
    }
}

/// The sum of eight lanes, halves first.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_of_eight(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}
