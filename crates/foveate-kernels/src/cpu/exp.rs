//! The exponential and what is made of it, sixteen lanes at a time, to about one unit in 10⁷.
//!
//! Written with the operations of [`Simd`] alone, so that every instruction set with fused multiply-add gives the
//! same bits, and a libm of another platform cannot change an answer.

use super::isa::Simd;

/// `exp(x)`, with `x` first limited to `-87.3 ..= 88`, so that it is neither zero nor infinite.
///
/// Coefficients: Cephes `expf` (Moshier), on `|r| <= ln 2 / 2`.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    /// Adding it leaves the nearest integer in the lowest mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let x = s.min(s.max(x, s.splat(-87.3)), s.splat(88.0));
    let rounded = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(rounded, s.splat(ROUND));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.500_000_06,
    ] {
        p = s.fma(p, r, s.splat(c));
    }
    let p = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    s.mul(p, s.two_to_low_bits(rounded))
}

/// `x / (1 + exp(-y))`: `SiLU` with `y = x`.
#[inline(always)]
pub(super) fn gate<S: Simd>(s: S, x: S::V, y: S::V) -> S::V {
    let e = exp(s, s.sub(s.zero(), y));
    s.div(x, s.add(s.splat(1.0), e))
}

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`, by `1 + tanh(u) = 2 / (1 + exp(-2u))`.
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    /// 2 √(2/π).
    const SLOPE: f32 = 1.595_769_2;
    let cubic = s.fma(s.mul(s.mul(x, x), x), s.splat(0.044_715), x);
    gate(s, x, s.mul(cubic, s.splat(SLOPE)))
}

/// `x/2 · (1 + erf(x/√2))`.
///
/// `erfc(z) = (a₁t + … + a₅t⁵) exp(-z²)` with `t = 1/(1 + pz)`: Abramowitz and Stegun, 7.1.26,
/// absolute error 1.5e-7.
#[inline(always)]
pub(super) fn gelu_erf<S: Simd>(s: S, x: S::V) -> S::V {
    let z = s.mul(
        s.max(x, s.sub(s.zero(), x)),
        s.splat(std::f32::consts::FRAC_1_SQRT_2),
    );
    let t = s.div(s.splat(1.0), s.fma(z, s.splat(0.327_591_1), s.splat(1.0)));
    let mut p = s.splat(1.061_405_4);
    for c in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = s.fma(p, t, s.splat(c));
    }
    let e = exp(s, s.sub(s.zero(), s.mul(z, z)));
    let tail = s.mul(s.mul(p, t), s.mul(e, s.splat(0.5)));
    let share = s.where_greater(x, s.zero(), s.sub(s.splat(1.0), tail), tail);
    s.mul(x, share)
}
