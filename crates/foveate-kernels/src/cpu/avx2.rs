//! Kernels for x86-64 with AVX2 and fused multiply-add, with and without AVX-VNNI: sixteen lanes are two
//! registers.
//!
//! Sixteen registers hold the twelve sums of a tile of six rows by one panel, two operands and a broadcast number. The
//! intrinsics are safe to call only where their features are enabled, which is so wherever an [`Avx2`] exists.

#[allow(
    clippy::wildcard_imports,
    reason = "two dozen intrinsics, each with its own prefix"
)]
use std::arch::x86_64::*;

use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line};

/// Proof that the machine has AVX2 and FMA, and AVX-VNNI if so marked; made only by [`run`] and
/// [`run_vnni`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2<const VNNI: bool>(());

/// Runs `kernel` compiled with AVX2 and FMA.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx2::<false>(()))
}

/// Runs `kernel` compiled with AVX2, FMA and AVX-VNNI.
#[inline(never)]
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) fn run_vnni<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx2::<true>(()))
}

/// Applies an intrinsic to both halves.
macro_rules! halves {
    ($intrinsic:ident $(::<$bits:literal>)? ($($x:expr),*)) => {
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
        unsafe { [$intrinsic$(::<$bits>)?($($x[0]),*), $intrinsic$(::<$bits>)?($($x[1]),*)] }
    };
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    const ROWS: usize = 6;
    const PANELS: usize = 1;
    const BYTES: usize = if VNNI { 4 } else { 2 };
    const BIAS: i32 = if VNNI { 128 } else { 0 };
    type V = [__m256; 2];
    type I = [__m256i; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
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
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
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
            // SAFETY: an `Avx2` exists only inside functions that enable its features.
            unsafe {
                let n = _mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
            }
        };
        [power(x[0]), power(x[1])]
    }

    #[inline(always)]
    fn splat_pair(self, x: i32) -> Self::I {
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
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
    fn look_up(self, codes: &[u8; 4 * LANES], levels: &[i8; 16]) -> [Self::I; 2] {
        // SAFETY: as above, and sixty-four and sixteen bytes can be read.
        let (levels, mask, codes) = unsafe {
            (
                [_mm256_broadcastsi128_si256(_mm_loadu_si128(levels.as_ptr().cast())); 2],
                [_mm256_set1_epi8(15); 2],
                [
                    _mm256_loadu_si256(codes.as_ptr().cast()),
                    _mm256_loadu_si256(codes[32..].as_ptr().cast()),
                ],
            )
        };
        let low = halves!(_mm256_and_si256(codes, mask));
        let high = halves!(_mm256_srli_epi16::<4>(codes));
        let high = halves!(_mm256_and_si256(high, mask));
        [
            halves!(_mm256_shuffle_epi8(levels, low)),
            halves!(_mm256_shuffle_epi8(levels, high)),
        ]
    }

    #[inline(always)]
    fn split(self, x: Self::I) -> [Self::I; 2] {
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
        let odd = unsafe { [_mm256_set1_epi16(-256); 2] };
        [
            halves!(_mm256_slli_epi16::<8>(x)),
            halves!(_mm256_and_si256(x, odd)),
        ]
    }

    #[inline(always)]
    fn factors(self, from: &[u8; LANES]) -> Self::I {
        // SAFETY: as above, and sixteen bytes can be read.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            let wide = [
                _mm256_cvtepi8_epi32(bytes),
                _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)),
            ];
            [eight_times(wide[0]), eight_times(wide[1])]
        }
    }

    #[inline(always)]
    fn mul_rounded(self, a: Self::I, b: Self::I) -> Self::I {
        halves!(_mm256_mulhrs_epi16(a, b))
    }

    #[inline(always)]
    fn store_bytes(self, even: Self::I, odd: Self::I, to: &mut [Line]) {
        if VNNI {
            // SAFETY: an `Avx2` exists only inside functions that enable its features.
            let bytes = unsafe { [join(even[0], odd[0]), join(even[1], odd[1])] };
            self.store_pairs(bytes, &mut to[0]);
        } else {
            self.store_pairs(even, &mut to[0]);
            self.store_pairs(odd, &mut to[1]);
        }
    }

    #[inline(always)]
    fn dot_pairs(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        if VNNI {
            return halves!(_mm256_dpwssd_avx_epi32(sum, a, b));
        }
        let products = halves!(_mm256_madd_epi16(a, b));
        halves!(_mm256_add_epi32(sum, products))
    }

    #[inline(always)]
    fn dot_bytes(self, sum: Self::I, weights: Self::I, inputs: Self::I) -> Self::I {
        if VNNI {
            return halves!(_mm256_dpbusd_avx_epi32(sum, weights, inputs));
        }
        self.dot_pairs(sum, weights, inputs)
    }

    #[inline(always)]
    fn to_floats(self, x: Self::I) -> Self::V {
        halves!(_mm256_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        // SAFETY: an `Avx2` exists only inside functions that enable its features.
        unsafe { sum_of_eight(_mm256_add_ps(x[0], x[1])) }
    }
}

/// Eight times a number of 8 bits, in both halves of a lane.
#[inline]
#[target_feature(enable = "avx2")]
fn eight_times(x: __m256i) -> __m256i {
    _mm256_blend_epi16::<0b1010_1010>(_mm256_slli_epi32::<3>(x), _mm256_slli_epi32::<19>(x))
}

/// The low bytes of pairs side by side, as unsigned numbers that are `BIAS` higher.
#[inline]
#[target_feature(enable = "avx2")]
fn join(even: __m256i, odd: __m256i) -> __m256i {
    let even = _mm256_and_si256(even, _mm256_set1_epi16(255));
    let bytes = _mm256_or_si256(even, _mm256_slli_epi16::<8>(odd));
    _mm256_xor_si256(bytes, _mm256_set1_epi8(-128))
}

/// The sum of eight lanes, halves first.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_of_eight(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}
