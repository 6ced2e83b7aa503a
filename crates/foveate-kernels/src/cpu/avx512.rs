//! Kernels for x86-64 with AVX-512F: sixteen lanes are one register.

#[allow(
    clippy::wildcard_imports,
    reason = "two dozen intrinsics, each with its own prefix"
)]
use std::arch::x86_64::*;

use super::isa::{Kernel, Simd};
use super::lines::LANES;

/// Proof that the machine has AVX-512F; made only by [`run`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// Runs `kernel` compiled with AVX-512F.
#[inline(never)]
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Out {
    kernel.run(Avx512(()))
}

/// Applies intrinsics.
macro_rules! with {
    ($e:expr) => {
        // SAFETY: an `Avx512` exists only inside `run`, where the features are enabled.
        unsafe { $e }
    };
}

impl Simd for Avx512 {
    const ROWS: usize = 12;
    const PANELS: usize = 2;
    type V = __m512;

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
    fn sum(self, x: Self::V) -> f32 {
        with!({
            let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x));
            let lower = _mm512_castps512_ps256(x);
            super::avx2::sum_of_eight(_mm256_add_ps(lower, _mm256_castpd_ps(upper)))
        })
    }
}
