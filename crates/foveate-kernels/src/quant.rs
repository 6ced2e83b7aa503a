//! Quantized weights: the one place that says what 8- and 4-bit numbers mean.
//!
//! A row of a weight is cut into groups, the last one filled up with zeros, and each group becomes a block
//! of bytes (little endian) of its own:
//!
//! - **q8**, 32 inputs in 34 bytes: a bfloat16 scale `s`, then signed codes `c`; a weight is `c · s`.
//! - **q4**, 128 inputs in 74 bytes: a bfloat16 scale `s`; for each sixteen inputs a signed factor `f` of at
//!   most 16; then 64 bytes, of which byte `j` holds the codes of inputs `j` (low half) and `j + 64` (high
//!   half). A code from 0 to 15 stands for a level: -127, -107, -82, -64, -48, -34, -21, -9, 3, 14, 26, 38, 51, 67,
//!   87 or 110; a weight is `⌊level · f / 16 + ½⌋ · s`. Linears round their inputs too, to 8 bits in the same groups.
//!
//! A weight can be stored so in a checkpoint, or become so when it is packed ([`Format`]); both mean the same numbers.
//!
//! ```
//! use foveate_kernels::quant::encode_row;
//! use foveate_kernels::{Dtype, TensorView};
//!
//! # fn main() -> foveate_kernels::Result<()> {
//! let row = [0.0, 0.25, -0.5, 1.0];
//! let mut stored = Vec::new();
//! encode_row(Dtype::Q8, &row, &mut stored);
//! assert_eq!(stored.len(), 34); // one group, filled up with zeros
//!
//! let read = TensorView::new(Dtype::Q8, 1, row.len(), &stored)?.to_f32();
//! for (read, x) in read.iter().zip(row) {
//!     assert!((read - x).abs() < 0.005);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Relative RMS error on Gaussian weights, measured by `tests/quant.rs`: q8 5.5e-3, q4 6.6e-2. (Groups of
//! 128 make 6.5e-3 of q8; evenly spaced levels in groups of 32 make 8.1e-2 of q4.)

use half::bf16;

use crate::error::{Error, Result};
use crate::tensor::{Dtype, TensorView};

/// Inputs of a q8 group.
pub(crate) const Q8_GROUP: usize = 32;
/// Inputs of a q4 group.
pub(crate) const Q4_GROUP: usize = 128;
/// Inputs that share a factor (q4).
pub(crate) const RUN: usize = 16;
/// Factors of a q4 group.
pub(crate) const RUNS: usize = Q4_GROUP / RUN;

/// Bytes of a q8 block.
pub(crate) const Q8_BYTES: usize = 2 + Q8_GROUP;
/// Bytes of a q4 block.
pub(crate) const Q4_BYTES: usize = 2 + RUNS + Q4_GROUP / 2;

/// What the sixteen 4-bit codes stand for: fitted to Gaussian groups of sixteen by alternating between
/// the nearest level of every number and the mean of every level's numbers.
pub(crate) const LEVELS: [i8; 16] = [
    -127, -107, -82, -64, -48, -34, -21, -9, 3, 14, 26, 38, 51, 67, 87, 110,
];

/// The largest factor, which leaves the levels as they are.
const MAX_FACTOR: i8 = 16;

/// How a backend stores a weight while it is used; chosen by the caller of
/// [`Backend::weight`](crate::Backend::weight).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the parts are stored; f32 where they differ or are 16-bit floats.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// The nearest bfloat16.
    Bf16,
    /// 8 bits a weight and a scale for 32.
    Q8,
    /// 4 bits a weight, a factor for 16 and a scale for 128.
    Q4,
}

impl Format {
    /// What the parts of one weight become; a backend asks before it packs them.
    pub(crate) fn of(self, parts: &[TensorView<'_>]) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::Bf16,
            Self::Q8 => Dtype::Q8,
            Self::Q4 => Dtype::Q4,
            Self::Auto => match parts.first().map(TensorView::dtype) {
                Some(first) if parts.iter().all(|part| part.dtype() == first) => match first {
                    Dtype::F16 => Dtype::F32,
                    other => other,
                },
                _ => Dtype::F32,
            },
        }
    }
}

impl Dtype {
    /// Bytes of a row of `cols` numbers; the largest `usize` where they cannot be counted.
    pub fn row_bytes(self, cols: usize) -> usize {
        match self {
            Self::F32 => cols.saturating_mul(4),
            Self::F16 | Self::Bf16 => cols.saturating_mul(2),
            Self::Q8 => cols.div_ceil(Q8_GROUP).saturating_mul(Q8_BYTES),
            Self::Q4 => cols.div_ceil(Q4_GROUP).saturating_mul(Q4_BYTES),
        }
    }
}

/// Appends `row` to `out` in the format `dtype`, rounded to the nearest representable numbers.
///
/// Quantized rows take [`Dtype::row_bytes`] whatever they hold. A group with a number that is not finite becomes NaN
/// as a whole, so that a damaged weight is not hidden by its neighbours. Writing checkpoints (`quantize`) and packing
/// weights both end here.
pub fn encode_row(dtype: Dtype, row: &[f32], out: &mut Vec<u8>) {
    match dtype {
        Dtype::F32 => out.extend(row.iter().flat_map(|x| x.to_le_bytes())),
        Dtype::F16 => out.extend(
            row.iter()
                .flat_map(|x| half::f16::from_f32(*x).to_le_bytes()),
        ),
        Dtype::Bf16 => out.extend(row.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
        Dtype::Q8 => {
            for numbers in row.chunks(Q8_GROUP) {
                out.extend(q8_block(&filled_up(numbers)));
            }
        }
        Dtype::Q4 => {
            for numbers in row.chunks(Q4_GROUP) {
                out.extend(q4_block(&filled_up(numbers)));
            }
        }
    }
}

/// A group that ends with zeros if there are fewer numbers.
fn filled_up<const GROUP: usize>(numbers: &[f32]) -> [f32; GROUP] {
    let mut group = [0.0; GROUP];
    group[..numbers.len()].copy_from_slice(numbers);
    group
}

/// The numbers of a row of q8 or q4 blocks; `out` is as long as the row.
pub(crate) fn decode_row(dtype: Dtype, blocks: &[u8], out: &mut [f32]) {
    if dtype == Dtype::Q8 {
        for (group, numbers) in out.chunks_mut(Q8_GROUP).enumerate() {
            let block = Q8::at(blocks, group);
            for (number, code) in numbers.iter_mut().zip(block.codes()) {
                *number = f32::from(*code as i8) * block.scale().to_f32();
            }
        }
    } else {
        for (group, numbers) in out.chunks_mut(Q4_GROUP).enumerate() {
            let block = Q4::at(blocks, group);
            for (j, number) in numbers.iter_mut().enumerate() {
                let half = Q4_GROUP / 2;
                let code = block.pairs()[j % half] >> (4 * (j / half)) & 15;
                let whole = whole(LEVELS[usize::from(code)], block.factors()[j / RUN] as i8);
                *number = f32::from(whole) * block.scale().to_f32();
            }
        }
    }
}

/// Refuses blocks that [`encode_row`] never writes and that instruction sets would multiply differently: code -128 and
/// factors beyond 16 overflow in some kernels. Names the first damaged row.
pub(crate) fn check_blocks(tensor: &TensorView<'_>) -> Result<()> {
    let numbers_fit = |row: &[u8]| match tensor.dtype() {
        Dtype::Q8 => {
            let (blocks, _) = row.as_chunks();
            let lowest = i8::MIN as u8;
            blocks
                .iter()
                .all(|block| !Q8(block).codes().contains(&lowest))
        }
        Dtype::Q4 => {
            let (blocks, _) = row.as_chunks();
            let most = MAX_FACTOR.unsigned_abs();
            let fits = |factor: &u8| (*factor as i8).unsigned_abs() <= most;
            blocks
                .iter()
                .all(|block| Q4(block).factors().iter().all(fits))
        }
        _ => true,
    };
    match (0..tensor.rows()).find(|&row| !numbers_fit(tensor.row_bytes(row))) {
        Some(row) => Err(Error::shape(
            "a quantized weight",
            "codes from -127 to 127 (q8), factors from -16 to 16 (q4)",
            format!("others in row {row}; the file is damaged"),
        )),
        None => Ok(()),
    }
}

/// A q8 block in a row of them.
#[derive(Clone, Copy)]
pub(crate) struct Q8<'a>(&'a [u8; Q8_BYTES]);

impl<'a> Q8<'a> {
    /// Block number `group` of a row.
    pub(crate) fn at(row: &'a [u8], group: usize) -> Self {
        Self(&row.as_chunks().0[group])
    }

    /// What a code of 1 stands for.
    pub(crate) fn scale(self) -> bf16 {
        bf16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// Signed codes, one per input.
    pub(crate) fn codes(self) -> &'a [u8] {
        &self.0[2..]
    }
}

/// A q4 block in a row of them.
#[derive(Clone, Copy)]
pub(crate) struct Q4<'a>(&'a [u8; Q4_BYTES]);

impl<'a> Q4<'a> {
    /// Block number `group` of a row.
    pub(crate) fn at(row: &'a [u8], group: usize) -> Self {
        Self(&row.as_chunks().0[group])
    }

    /// What a whole number of 1 stands for.
    pub(crate) fn scale(self) -> bf16 {
        bf16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// Signed factors, one per sixteen inputs.
    pub(crate) fn factors(self) -> &'a [u8] {
        &self.0[2..2 + RUNS]
    }

    /// Codes of inputs `j` and `j + 64`.
    pub(crate) fn pairs(self) -> &'a [u8] {
        &self.0[2 + RUNS..]
    }
}

/// The next bfloat16 that is not below the positive `x`, so that no code needs more than its bits; NaN for no number.
fn round_up(x: f32) -> bf16 {
    if x.is_finite() {
        bf16::from_bits(((x.to_bits() + 0xffff) >> 16) as u16)
    } else {
        bf16::NAN
    }
}

/// The largest absolute value; no number if there is one that is none.
fn largest(numbers: &[f32]) -> f32 {
    let bits = |x: &f32| x.to_bits() & 0x7fff_ffff;
    f32::from_bits(numbers.iter().map(bits).max().unwrap_or(0))
}

/// Divides a group by a scale that makes its largest number 127, and rounds.
fn q8_block(group: &[f32; Q8_GROUP]) -> [u8; Q8_BYTES] {
    let scale = round_up(largest(group) / 127.0);
    let inverse = inverse(scale.to_f32());
    let mut block = [0; Q8_BYTES];
    block[..2].copy_from_slice(&scale.to_le_bytes());
    for (code, x) in block[2..].iter_mut().zip(group) {
        *code = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
    }
    block
}

/// `1 / x`, or 0 where that is no number.
fn inverse(x: f32) -> f32 {
    let inverse = 1.0 / x;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The whole number that stands for a level and a factor of at most 16.
pub(crate) const fn whole(level: i8, factor: i8) -> i16 {
    (level as i16 * factor as i16 + 8) >> 4
}

/// Chooses a scale for each run of sixteen, then one scale and whole factors that come near all of them.
fn q4_block(group: &[f32; Q4_GROUP]) -> [u8; Q4_BYTES] {
    let mut block = [0; Q4_BYTES];
    let largest = largest(group);
    if !largest.is_normal() {
        // Zeros, or numbers that no scale can hold: all become zero or all become NaN.
        let scale = round_up(if largest.is_finite() { 0.0 } else { largest });
        block[..2].copy_from_slice(&scale.to_le_bytes());
        return block;
    }
    // As shares of the largest, whose squares can neither vanish nor overflow.
    let group = group.map(|x| x / largest);
    let runs = group.as_chunks::<RUN>().0;
    let wanted: [f32; RUNS] = std::array::from_fn(|r| best_scale(&runs[r]));
    let top = wanted
        .iter()
        .fold(0.0f32, |top, scale| top.max(scale.abs()));
    let mut best = f32::INFINITY;
    // The largest factor is 16, 15 or 14, whichever leaves the others nearest to whole numbers.
    for top_factor in [MAX_FACTOR, MAX_FACTOR - 1, MAX_FACTOR - 2] {
        let scale = round_up(top * largest * 16.0 / f32::from(top_factor));
        let relative = scale.to_f32() / largest;
        let mut trial = [0; Q4_BYTES];
        trial[..2].copy_from_slice(&scale.to_le_bytes());
        let (factors, pairs) = trial[2..].split_at_mut(RUNS);
        let mut error = 0.0;
        for (r, run) in runs.iter().enumerate() {
            let nearest = (16.0 * wanted[r] * inverse(relative)).round_ties_even();
            // A run of zeros has no scale and takes factor 0, which keeps it zero.
            let factor = match wanted[r] {
                0.0 => 0.0,
                wanted => nearest.abs().clamp(1.0, MAX_FACTOR.into()).copysign(wanted),
            };
            factors[r] = factor as i8 as u8;
            let (codes, off) = rounded(run, factor as i8, relative);
            error += off;
            let places = &mut pairs[r * RUN % (Q4_GROUP / 2)..];
            for (pair, code) in places.iter_mut().zip(codes) {
                *pair |= code << (4 * (r / (RUNS / 2)));
            }
        }
        if error < best {
            (best, block) = (error, trial);
        }
    }
    block
}

/// A scale, positive or negative, that makes the levels fit sixteen numbers well; 0 for zeros.
fn best_scale(run: &[f32; RUN]) -> f32 {
    /// Where the largest number comes to lie, as a share of the first or last level.
    const SHARES: [f32; 4] = [0.84, 0.92, 1.0, 1.08];
    let mut outermost = 0.0f32;
    for x in run {
        if x.abs() > outermost.abs() {
            outermost = *x;
        }
    }
    if !outermost.is_normal() {
        return 0.0;
    }
    let mut best = (f32::INFINITY, outermost / 127.0);
    for end in [LEVELS[0], LEVELS[15]] {
        for share in SHARES {
            let scale = outermost / (f32::from(end) * share);
            let (codes, _) = nearest(run, scale);
            let levels = codes.map(|code| f32::from(LEVELS[usize::from(code)]));
            let (mut dot, mut square) = (0.0, 0.0);
            for (level, x) in levels.iter().zip(run) {
                dot += level * x;
                square += level * level;
            }
            // The best scale for these codes, and what it leaves.
            let fitted = dot / square;
            let (_, error) = nearest(run, fitted);
            if error < best.0 {
                best = (error, fitted);
            }
        }
    }
    best.1
}

/// The nearest level's code for every whole number from -128 to 127.
const NEAREST: [u8; 256] = {
    let mut codes = [0; 256];
    let mut i = 0;
    while i < 256 {
        let x = i as i16 - 128;
        let mut code = 0;
        while code < 15 && 2 * x > LEVELS[code] as i16 + LEVELS[code + 1] as i16 {
            code += 1;
        }
        codes[i] = code as u8;
        i += 1;
    }
    codes
};

/// For every factor, `-16` first, the code whose [`whole`] number is nearest to each from -128 to 127.
static NEAREST_WHOLE: [[u8; 256]; 33] = {
    let mut codes = [[0; 256]; 33];
    let mut i = 0;
    while i < 33 * 256 {
        let (factor, x) = (i / 256, (i % 256) as i16 - 128);
        let mut best = i16::MAX;
        let mut code = 0;
        while code < 16 {
            let off = (x - whole(LEVELS[code], factor as i8 - MAX_FACTOR)).abs();
            if off < best {
                best = off;
                codes[factor][i % 256] = code as u8;
            }
            code += 1;
        }
        i += 1;
    }
    codes
};

/// The codes of a run with this factor, and the sum of the squares of what they miss.
fn rounded(run: &[f32; RUN], factor: i8, scale: f32) -> ([u8; RUN], f32) {
    let nearest = &NEAREST_WHOLE[(factor + MAX_FACTOR) as usize];
    let codes = steps(run, scale).map(|i| nearest[i as usize]);
    let mut error = 0.0;
    for (x, code) in run.iter().zip(codes) {
        let off = x - f32::from(whole(LEVELS[usize::from(code)], factor)) * scale;
        error += off * off;
    }
    (codes, error)
}

/// The nearest whole numbers to `x / scale`, counted from -128 on.
fn steps(run: &[f32; RUN], scale: f32) -> [u32; RUN] {
    /// Added to a float below 2²², this leaves its nearest whole number in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let inverse = inverse(scale);
    run.map(|x| ((x * inverse).clamp(-128.0, 127.0) + 128.0 + MAGIC).to_bits() & 255)
}

/// The codes of `x / scale`, and the sum of the squares of what they miss.
fn nearest(run: &[f32; RUN], scale: f32) -> ([u8; RUN], f32) {
    let codes = steps(run, scale).map(|i| NEAREST[i as usize]);
    let mut error = 0.0;
    for (x, code) in run.iter().zip(codes) {
        let off = x - f32::from(LEVELS[usize::from(code)]) * scale;
        error += off * off;
    }
    (codes, error)
}
