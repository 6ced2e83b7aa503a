//! Bicubic resizing to the bit as Pillow 10.3 does it: across, then down, rounding after each.
//!
//! Source: Pillow's `libImaging/Resample.c`, 8 bits per channel. Weights are computed in f64,
//! normalised, then held in 22-bit fixed point. A pass that keeps its size is skipped. Only the rows
//! that one output row needs are held between the passes.

use super::decode::Picture;
use crate::Result;

/// `PRECISION_BITS` of Pillow: 32 bits less 8 of the sample and 2 of headroom.
const FRACTION_BITS: u32 = 22;
/// Reach of the bicubic kernel, in source pixels at scale 1.
const KERNEL_REACH: f64 = 2.0;
/// Keys' parameter a; Pillow uses -0.5.
const KEYS_A: f64 = -0.5;

/// `picture` at `width` x `height` pixels (both at least 1).
pub fn resize(picture: &Picture, width: u32, height: u32) -> Result<Picture> {
    let source = RowSource {
        width: picture.width() as usize,
        height: picture.height() as usize,
        copy_row: &|y, row: &mut [u8]| row.copy_from_slice(picture.row(y)),
    };
    let rgb = source.resized(width as usize, height as usize);
    Picture::new("resized picture", width, height, rgb)
}

/// A picture that is produced row by row, so that a padded canvas need not exist.
pub(super) struct RowSource<'a> {
    /// Pixels per row, at least 1.
    pub(super) width: usize,
    /// Rows, at least 1.
    pub(super) height: usize,
    /// Writes row `y` as `[width, 3]`.
    pub(super) copy_row: &'a dyn Fn(usize, &mut [u8]),
}

impl RowSource<'_> {
    /// → `[height, width, 3]`.
    pub(super) fn resized(&self, width: usize, height: usize) -> Vec<u8> {
        let across = Weights::new(self.width, width);
        let down = Weights::new(self.height, height);
        let row_bytes = 3 * width;
        // Rows after the first pass; row y lives in slot y % slots while a window may need it.
        let slots = down.taps_max.min(self.height);
        let mut ring = vec![0; slots * row_bytes];
        let mut source_row = vec![0; 3 * self.width];
        let mut rows_done = 0;
        let mut out = vec![0; height * row_bytes];
        for (out_row, window) in out.chunks_exact_mut(row_bytes.max(1)).zip(&down.windows) {
            // Windows only move forward: rows before this one's first are never needed again.
            rows_done = rows_done.max(window.first);
            while rows_done < window.first + window.taps {
                let slot = rows_done % slots * row_bytes;
                (self.copy_row)(rows_done, &mut source_row);
                across.apply(&source_row, &mut ring[slot..slot + row_bytes]);
                rows_done += 1;
            }
            let weights = down.of(window);
            for (at, sample) in out_row.iter_mut().enumerate() {
                let taps = (window.first..).zip(weights);
                let sum: i32 = taps
                    .map(|(y, weight)| i32::from(ring[y % slots * row_bytes + at]) * weight)
                    .sum();
                *sample = rounded(sum);
            }
        }
        out
    }
}

/// The source pixels of one output pixel.
struct Window {
    first: usize,
    taps: usize,
    /// Where its weights start.
    at: usize,
}

/// One pass: for every output pixel its window and fixed-point weights.
struct Weights {
    windows: Vec<Window>,
    fixed: Vec<i32>,
    taps_max: usize,
}

impl Weights {
    fn new(size_in: usize, size_out: usize) -> Self {
        if size_in == size_out {
            let windows = (0..size_in)
                .map(|first| Window {
                    first,
                    taps: 1,
                    at: 0,
                })
                .collect();
            return Self {
                windows,
                fixed: vec![1 << FRACTION_BITS],
                taps_max: 1,
            };
        }
        let scale = size_in as f64 / size_out as f64;
        let widened = scale.max(1.0);
        let (reach, shrink) = (KERNEL_REACH * widened, 1.0 / widened);
        let mut pass = Self {
            windows: Vec::with_capacity(size_out),
            fixed: vec![],
            taps_max: 1,
        };
        let mut exact = Vec::new();
        for out in 0..size_out {
            let centre = (out as f64 + 0.5) * scale;
            // `as` truncates and turns negative values into 0, as Pillow's casts and clamps do.
            let first = (centre - reach + 0.5) as usize;
            let end = ((centre + reach + 0.5) as usize).min(size_in);
            exact.clear();
            exact.extend((first..end).map(|x| bicubic((x as f64 - centre + 0.5) * shrink)));
            let total: f64 = exact.iter().sum();
            pass.windows.push(Window {
                first,
                taps: exact.len(),
                at: pass.fixed.len(),
            });
            pass.taps_max = pass.taps_max.max(exact.len());
            pass.fixed
                .extend(exact.iter().map(|weight| fixed_point(weight / total)));
        }
        pass
    }

    fn of(&self, window: &Window) -> &[i32] {
        &self.fixed[window.at..window.at + window.taps]
    }

    /// `[width_in, 3]` → `[width_out, 3]`.
    fn apply(&self, row: &[u8], out: &mut [u8]) {
        for (pixel, window) in out.chunks_exact_mut(3).zip(&self.windows) {
            let mut sums = [0_i32; 3];
            let taps = row[3 * window.first..].chunks_exact(3);
            for (source, weight) in taps.zip(self.of(window)) {
                for (sum, sample) in sums.iter_mut().zip(source) {
                    *sum += i32::from(*sample) * weight;
                }
            }
            pixel.copy_from_slice(&sums.map(rounded));
        }
    }
}

/// Keys' cubic convolution kernel.
fn bicubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((KEYS_A + 2.0) * x - (KEYS_A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * KEYS_A
    } else {
        0.0
    }
}

/// Half away from zero, as Pillow rounds its weights.
fn fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << FRACTION_BITS)) as i32
}

fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clamp(0, 255) as u8
}
