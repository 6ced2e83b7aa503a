//! Instruction sets: what a kernel may use, chosen when the program runs.
//!
//! A [`Kernel`] is one text, generic over [`Simd`]. [`DetectedIsa::run`] calls it inside a function that enables the
//! features of the chosen set; since `run` is inlined there, the compiler may use them throughout. One program thus
//! serves every x86-64, and other machines through [`Isa::Portable`].

use super::lines::{LANES, Line};
use crate::error::{Error, Result};

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the compiler may assume; multiplication and addition round separately.
    Portable,
    /// x86-64 with AVX2 and FMA (Haswell, Zen and later).
    Avx2,
    /// [`Isa::Avx2`] with AVX-VNNI, which multiplies and adds pairs of 16-bit or fours of 8-bit integers at
    /// once; the same bits.
    AvxVnni,
    /// x86-64 with AVX-512F and BW; the same bits as [`Isa::Avx2`].
    Avx512,
    /// [`Isa::Avx512`] with VNNI, which does for it what AVX-VNNI does for AVX2; the same bits.
    Avx512Vnni,
}

impl Isa {
    /// The instruction sets of this machine, best last; [`Isa::Portable`] is always among them.
    ///
    /// Tests run every one of them against the reference.
    pub fn available() -> Vec<Self> {
        let all = [
            Self::Portable,
            Self::Avx2,
            Self::AvxVnni,
            Self::Avx512,
            Self::Avx512Vnni,
        ];
        all.into_iter().filter(|isa| isa.detected()).collect()
    }

    /// Whether this machine and its operating system have all features.
    fn detected(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.detected() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.detected()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Self::Avx512.detected() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512 | Self::Avx512Vnni => false,
        }
    }
}

/// An instruction set that this machine was found to have: the proof that its kernels may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DetectedIsa(Isa);

impl DetectedIsa {
    /// The last of [`Isa::available`].
    pub(super) fn best() -> Self {
        Self(Isa::available().pop().unwrap_or(Isa::Portable))
    }

    /// This one, or an error that lists those of this machine.
    pub(super) fn exactly(isa: Isa) -> Result<Self> {
        if isa.detected() {
            Ok(Self(isa))
        } else {
            Err(Error::shape(
                "instruction set",
                format!("one of {:?}", Isa::available()),
                format!("{isa:?}, which this machine lacks"),
            ))
        }
    }

    /// Its name.
    pub(super) fn isa(self) -> Isa {
        self.0
    }

    /// Runs `kernel` compiled for this instruction set.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `DetectedIsa` exists only where the features were detected.
            Isa::Avx2 => unsafe { super::avx2::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `DetectedIsa` exists only where the features were detected.
            Isa::AvxVnni => unsafe { super::avx2::run_vnni(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `DetectedIsa` exists only where the features were detected.
            Isa::Avx512 => unsafe { super::avx512::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `DetectedIsa` exists only where the features were detected.
            Isa::Avx512Vnni => unsafe { super::avx512::run_vnni(kernel) },
            _ => super::portable::run(kernel),
        }
    }

    /// Rows, and panels of sixteen columns, of the micro-kernel's largest tile.
    pub(super) fn tile(self) -> (usize, usize) {
        self.run(Largest)
    }

    /// Inputs of one lane in a product of 8-bit numbers.
    pub(super) fn bytes(self) -> usize {
        self.run(Bytes)
    }

    /// For reports: `avx2+fma 6x16`.
    pub(super) fn tile_name(self) -> String {
        let name = match self.0 {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2+fma",
            Isa::AvxVnni => "avxvnni+fma",
            Isa::Avx512 => "avx512bw",
            Isa::Avx512Vnni => "avx512vnni",
        };
        let (rows, panels) = self.tile();
        format!("{name} {rows}x{}", panels * LANES)
    }
}

/// Asks for the size of the micro-kernel's largest tile.
struct Largest;

impl Kernel for Largest {
    type Out = (usize, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (S::ROWS, S::PANELS)
    }
}

/// Asks for [`Simd::BYTES`].
struct Bytes;

impl Kernel for Bytes {
    type Out = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::BYTES
    }
}

/// Code written once and compiled for every instruction set.
///
/// A kernel is a struct of its operands, which [`DetectedIsa::run`] consumes.
///
/// `run` must be `#[inline(always)]`, so that it becomes part of a function with the features.
pub(super) trait Kernel {
    /// What it returns.
    type Out;
    /// The code.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Arithmetic on sixteen lanes. A value of the type proves that the machine can do it, which is why every operation
/// takes `self`.
///
/// Every operation rounds as IEEE says, so two instruction sets with fused multiply-add agree bit
/// for bit.
pub(super) trait Simd: Copy {
    /// Largest micro-kernel tile: rows.
    const ROWS: usize;
    /// Largest micro-kernel tile: panels of sixteen columns.
    const PANELS: usize;
    /// 8-bit inputs of one lane of [`Simd::dot_bytes`]: as pairs of 16-bit integers, or four.
    const BYTES: usize = 2;
    /// What [`Simd::store_bytes`] adds to weights.
    const BIAS: i32 = 0;
    /// Sixteen floats in registers.
    type V: Copy;
    /// Sixteen 32-bit integers in registers, or as many pairs of 16-bit ones.
    type I: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// Sixteen floats from memory.
    fn load(self, from: &[f32; LANES]) -> Self::V;
    /// Sixteen bfloat16 numbers from memory, widened.
    fn load_half(self, from: &[u16; LANES]) -> Self::V;
    /// Sixteen floats to memory.
    fn store(self, x: Self::V, to: &mut [f32; LANES]);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the machine can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where they cannot be compared.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where they cannot be compared.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane: `yes` where `a > b`, else `no`.
    fn where_greater(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `2ⁿ`, where `n` is the integer in the lowest bits of `x`'s mantissa, in `-126..=127`.
    fn two_to_low_bits(self, x: Self::V) -> Self::V;

    /// One integer, or pair, in every lane.
    fn splat_pair(self, x: i32) -> Self::I;
    /// Sixteen pairs from memory.
    fn load_pairs(self, from: &[f32; LANES]) -> Self::I;
    /// Sixteen pairs to memory.
    fn store_pairs(self, x: Self::I, to: &mut [f32; LANES]);
    /// Thirty-two bytes with signs as sixteen pairs.
    fn widen_pairs(self, from: &[u8; 2 * LANES]) -> Self::I;
    /// Two 4-bit codes in every byte, looked up in `levels`: four levels a lane of the low ones, and of
    /// the high ones.
    fn look_up(self, codes: &[u8; 4 * LANES], levels: &[i8; 16]) -> [Self::I; 2];
    /// The even and the odd ones of four bytes with signs as pairs, each times 256.
    fn split(self, x: Self::I) -> [Self::I; 2];
    /// Sixteen bytes with signs as pairs of equals, each times 8.
    fn factors(self, from: &[u8; LANES]) -> Self::I;
    /// Products of 16-bit integers divided by 2¹⁵, to the nearest.
    fn mul_rounded(self, a: Self::I, b: Self::I) -> Self::I;
    /// 8-bit weights, the even and the odd inputs of four, in pairs, as [`Simd::dot_bytes`] wants them.
    #[inline(always)]
    fn store_bytes(self, even: Self::I, odd: Self::I, to: &mut [Line]) {
        for (x, line) in [even, odd].into_iter().zip(to) {
            self.store_pairs(x, line);
        }
    }
    /// `sum` and the products of stored 8-bit weights with the same inputs. Exact.
    #[inline(always)]
    fn dot_bytes(self, sum: Self::I, weights: Self::I, inputs: Self::I) -> Self::I {
        self.dot_pairs(sum, weights, inputs)
    }
    /// `sum + a₀ · b₀ + a₁ · b₁` of the pairs of every lane. Exact: sums must fit 32 bits.
    fn dot_pairs(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Sixteen integers as the nearest floats.
    fn to_floats(self, x: Self::I) -> Self::V;

    /// Zeros.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The lanes as an array.
    #[inline(always)]
    fn array(self, x: Self::V) -> [f32; LANES] {
        let mut out = Line::ZERO;
        self.store(x, &mut out);
        out.0
    }

    /// The sum of the lanes: halves are added to each other until one lane is left.
    fn sum(self, x: Self::V) -> f32;
}
