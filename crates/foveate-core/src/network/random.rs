//! The parameters of a random model: noise for weights, ones for norms, drawn by all cores.

use std::ops::Range;

use foveate_kernels::{Dtype, draw_row};

/// Some rows of tensor `name`, each of `cols` numbers stored as `dtype`. A row depends on seed, name, its
/// place and its length only.
pub(crate) fn random(
    seed: u64,
    name: &str,
    dtype: Dtype,
    rows: Range<usize>,
    cols: usize,
) -> Vec<u8> {
    let (start, rows) = (rows.start, rows.len());
    if name.contains("norm") && name.ends_with(".weight") {
        return ones(dtype, rows * cols);
    }
    let key = name
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let width = dtype.row_bytes(cols);
    let mut bytes = vec![0; rows * width];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(threads).max(1);
    let draw = |first: usize, bytes: &mut [u8]| {
        for (row, bytes) in bytes.chunks_mut(width.max(1)).enumerate() {
            draw_row(dtype, key, start + first + row, cols, bytes);
        }
    };
    if bytes.len() < ONE_THREAD_BYTES {
        draw(0, &mut bytes);
    } else {
        let draw = &draw;
        std::thread::scope(|scope| {
            for (thread, bytes) in bytes.chunks_mut(share * width).enumerate() {
                scope.spawn(move || draw(thread * share, bytes));
            }
        });
    }
    bytes
}

/// Less than this is drawn before another thread has started.
const ONE_THREAD_BYTES: usize = 1 << 18;

fn ones(dtype: Dtype, count: usize) -> Vec<u8> {
    match dtype {
        // The upper half of a float's bytes.
        Dtype::Bf16 => [0x80, 0x3f].repeat(count),
        _ => 1.0_f32.to_le_bytes().repeat(count),
    }
}
