//! Random weights for measurements, drawn in the format in which they are wanted.
//!
//! Speed depends on the shapes of a model and not on its numbers, so benchmarks need no download. Drawing floats and
//! quantizing them would take longer than the measurement; bytes of blocks are drawn directly.
//!
//! A word of noise is a function of key, row and place, so that rows can be drawn in any order and by any
//! number of threads.

use half::{bf16, f16};

use crate::noise::mix;
use crate::quant::{LEVELS, Q4_BYTES, Q4_GROUP, Q8_BYTES, Q8_GROUP, RUNS};
use crate::tensor::Dtype;

/// The size of every factor of a drawn q4 group, which leaves the levels as they are; its sign is random,
/// since their mean is not 0.
const FACTOR: i8 = 16;

/// Fills `out`, a row of `cols` numbers stored as `dtype`, with noise of mean 0 and variance `1 / cols`, which keeps
/// the size of what a linear makes of its inputs. Uniform, but for q4, whose levels are drawn alike.
///
/// # Panics
///
/// When `out` is not [`Dtype::row_bytes`] long.
pub fn draw_row(dtype: Dtype, key: u64, row: usize, cols: usize, out: &mut [u8]) {
    assert_eq!(out.len(), dtype.row_bytes(cols), "bytes of a row");
    let key = mix(key ^ mix(row as u64));
    let word = |place: usize| mix(key.wrapping_add(place as u64)).to_le_bytes();
    match dtype {
        Dtype::F32 => draw_floats(cols, out, word),
        Dtype::F16 => draw_halves(cols, out, word, |x| f16::from_f32(x).to_bits()),
        Dtype::Bf16 => draw_halves(cols, out, word, |x| bf16::from_f32(x).to_bits()),
        Dtype::Q8 => draw_q8(cols, out, word),
        Dtype::Q4 => draw_q4(cols, out, word),
    }
}

/// The largest of uniform numbers whose variance is `1 / cols`.
fn half_width(cols: usize) -> f32 {
    (3.0 / cols.max(1) as f32).sqrt()
}

fn draw_floats(cols: usize, out: &mut [u8], word: impl Fn(usize) -> [u8; 8]) {
    let unit = half_width(cols) / (1_u32 << 31) as f32;
    for (place, numbers) in out.chunks_mut(8).enumerate() {
        for (number, noise) in numbers.chunks_mut(4).zip(word(place).as_chunks().0) {
            let x = i32::from_le_bytes(*noise) as f32 * unit;
            number.copy_from_slice(&x.to_le_bytes());
        }
    }
}

fn draw_halves(
    cols: usize,
    out: &mut [u8],
    word: impl Fn(usize) -> [u8; 8],
    bits: impl Fn(f32) -> u16,
) {
    let unit = half_width(cols) / f32::from(1_u16 << 15);
    for (place, numbers) in out.chunks_mut(8).enumerate() {
        for (number, noise) in numbers.chunks_mut(2).zip(word(place).as_chunks().0) {
            let x = f32::from(i16::from_le_bytes(*noise)) * unit;
            number.copy_from_slice(&bits(x).to_le_bytes());
        }
    }
}

/// Blocks of one scale and uniform codes.
fn draw_q8(cols: usize, out: &mut [u8], word: impl Fn(usize) -> [u8; 8]) {
    let scale = bf16::from_f32(half_width(cols) / 127.0).to_le_bytes();
    for (group, block) in out.as_chunks_mut::<Q8_BYTES>().0.iter_mut().enumerate() {
        let (stored, codes) = block.split_at_mut(2);
        stored.copy_from_slice(&scale);
        fill(codes, |place| word(group * Q8_GROUP / 8 + place));
        // The code −128 is never made by rounding, and the kernels need not expect it.
        for code in codes.iter_mut() {
            *code = (*code as i8).max(-127) as u8;
        }
        codes[(cols - group * Q8_GROUP).min(Q8_GROUP)..].fill(0);
    }
}

/// Blocks of one scale, factors of random sign, and codes whose levels are drawn alike.
fn draw_q4(cols: usize, out: &mut [u8], word: impl Fn(usize) -> [u8; 8]) {
    let square = |level: i8| f32::from(level) * f32::from(level);
    let mean = LEVELS.into_iter().map(square).sum::<f32>() / LEVELS.len() as f32;
    let scale = bf16::from_f32((1.0 / cols as f32 / mean).sqrt()).to_le_bytes();
    // Noise of a group: its codes, and a word for the signs.
    let words = Q4_GROUP / 2 / 8 + 1;
    for (group, block) in out.as_chunks_mut::<Q4_BYTES>().0.iter_mut().enumerate() {
        let (stored, rest) = block.split_at_mut(2);
        stored.copy_from_slice(&scale);
        let (factors, codes) = rest.split_at_mut(RUNS);
        let signs = word(group * words);
        for (factor, sign) in factors.iter_mut().zip(signs) {
            *factor = if sign & 1 == 0 { FACTOR } else { -FACTOR } as u8;
        }
        fill(codes, |place| word(group * words + 1 + place));
    }
}

/// Fills `bytes` with words of noise, eight bytes each.
fn fill(bytes: &mut [u8], word: impl Fn(usize) -> [u8; 8]) {
    for (place, bytes) in bytes.chunks_mut(8).enumerate() {
        bytes.copy_from_slice(&word(place)[..bytes.len()]);
    }
}
