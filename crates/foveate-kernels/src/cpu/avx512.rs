//! Kernels for x86-64 with AVX-512F and BW, with and without VNNI: sixteen lanes are one register.
//!
//! Thirty-two registers hold the twenty-four sums of a tile of twelve rows by two panels, two operands and a broadcast
//! number. Lanes are summed in the order of [`avx2`](super::avx2), so that both give the same bits.

#[allow(
    clippy::wildcard_imports,
    reason = "two dozen intrinsics, each with its own prefix"
)]
use std::arch::x86_64::*;

use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line};

/// Proof that the machine has AVX-512F and BW, and VNNI if so marked; made only by [`run`] and
/// [`run_vnni`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512<const VNNI: bool>(());

/// Runs `kernel` compiled with AVX-512F and BW.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx512::<false>(()))
}

/// Runs `kernel` compiled with AVX-512F, BW and VNNI.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
pub(super) fn run_vnni<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx512::<true>(()))
}

/// Applies intrinsics.
macro_rules! with {
    ($e:expr) => {
        // SAFETY: an `Avx512` exists only inside functions that enable its features.
        unsafe { $e }
    };
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    const ROWS: usize = 12;
    const PANELS: usize = 2;
    const BYTES: usize = if VNNI { 4 } else { 2 };
    const BIAS: i32 = if VNNI { 128 } else { 0 };
    type V = __m512;
    type I = __m512i;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        with!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        with!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::V {
        with!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn store(self, x: Self::V, to: &mut [f32; LANES]) {
        with!(_mm512_storeu_ps(to.as_mut_ptr(), x));
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        with!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        with!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn where_greater(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        with!(_mm512_mask_blend_ps(
            _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b),
            no,
            yes
        ))
    }

    #[inline(always)]
    fn two_to_low_bits(self, x: Self::V) -> Self::V {
        with!({
            let n = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(n))
        })
    }

    #[inline(always)]
    fn splat_pair(self, x: i32) -> Self::I {
        with!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn load_pairs(self, from: &[f32; LANES]) -> Self::I {
        with!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn store_pairs(self, x: Self::I, to: &mut [f32; LANES]) {
        with!(_mm512_storeu_si512(to.as_mut_ptr().cast(), x));
    }

    #[inline(always)]
    fn widen_pairs(self, from: &[u8; 2 * LANES]) -> Self::I {
        with!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(
            from.as_ptr().cast()
        )))
    }

    #[inline(always)]
    fn look_up(self, codes: &[u8; 4 * LANES], levels: &[i8; 16]) -> [Self::I; 2] {
        with!({
            let levels = _mm512_broadcast_i32x4(_mm_loadu_si128(levels.as_ptr().cast()));
            let mask = _mm512_set1_epi8(15);
            let low = _mm512_loadu_si512(codes.as_ptr().cast());
            let high = _mm512_srli_epi16::<4>(low);
            [
                _mm512_shuffle_epi8(levels, _mm512_and_si512(low, mask)),
                _mm512_shuffle_epi8(levels, _mm512_and_si512(high, mask)),
            ]
        })
    }

    #[inline(always)]
    fn split(self, x: Self::I) -> [Self::I; 2] {
        with!([
            _mm512_slli_epi16::<8>(x),
            _mm512_and_si512(x, _mm512_set1_epi16(-256))
        ])
    }

    #[inline(always)]
    fn factors(self, from: &[u8; LANES]) -> Self::I {
        with!({
            let wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            let (low, high) = (_mm512_slli_epi32::<3>(wide), _mm512_slli_epi32::<19>(wide));
            _mm512_mask_blend_epi16(0xaaaa_aaaa, low, high)
        })
    }

    #[inline(always)]
    fn mul_rounded(self, a: Self::I, b: Self::I) -> Self::I {
        with!(_mm512_mulhrs_epi16(a, b))
    }

    #[inline(always)]
    fn store_bytes(self, even: Self::I, odd: Self::I, to: &mut [Line]) {
        if VNNI {
            let bytes = with!({
                let even = _mm512_and_si512(even, _mm512_set1_epi16(255));
                let bytes = _mm512_or_si512(even, _mm512_slli_epi16::<8>(odd));
                // As unsigned numbers, `BIAS` higher.
                _mm512_xor_si512(bytes, _mm512_set1_epi8(-128))
            });
            self.store_pairs(bytes, &mut to[0]);
        } else {
            self.store_pairs(even, &mut to[0]);
            self.store_pairs(odd, &mut to[1]);
        }
    }

    #[inline(always)]
    fn dot_bytes(self, sum: Self::I, weights: Self::I, inputs: Self::I) -> Self::I {
        if VNNI {
            with!(_mm512_dpbusd_epi32(sum, weights, inputs))
        } else {
            self.dot_pairs(sum, weights, inputs)
        }
    }

    #[inline(always)]
    fn dot_pairs(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        if VNNI {
            with!(_mm512_dpwssd_epi32(sum, a, b))
        } else {
            with!(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b)))
        }
    }

    #[inline(always)]
    fn to_floats(self, x: Self::I) -> Self::V {
        with!(_mm512_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        with!({
            let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x));
            let lower = _mm512_castps512_ps256(x);
            super::avx2::sum_of_eight(_mm256_add_ps(lower, _mm256_castpd_ps(upper)))
        })
    }
}
