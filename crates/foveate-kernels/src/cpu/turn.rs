//! Queries and keys turned by the angles of their positions (rotary embedding), and queries packed.

use std::ops::Range;

use super::isa::{Chosen, Kernel, Simd};
use super::lines::{LANES, Line, floats_mut};
use super::plan::Turns;
use super::transpose::transpose;
use crate::rows::Rows;

/// Queries on their way into panels.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) isa: Chosen,
    pub(super) q: &'a Rows,
    /// Of one head.
    pub(super) width: usize,
    pub(super) turns: Option<&'a Turns>,
}

impl Queries<'_> {
    /// Rows `rows` of one head, scaled by `1/√width`, as panels of sixteen queries: `[width][16]`.
    /// `room` is for sixteen rotated rows.
    pub(super) fn pack(&self, rows: Range<usize>, head: usize, room: &mut [f32], out: &mut [Line]) {
        let width = self.width;
        let panels = rows.clone().step_by(LANES);
        for (first, panel) in panels.zip(out.chunks_exact_mut(width)) {
            let rows = first..(first + LANES).min(rows.end);
            self.isa.run(Turn {
                x: &self.q.data[first * self.q.width + head * width..],
                stride: self.q.width,
                rows: rows.len(),
                width,
                by: self.turns.map(|turns| turns.queries(rows.clone())),
                scale: 1.0 / (width as f32).sqrt(),
                out: room,
            });
            let panel = floats_mut(panel);
            if rows.len() < LANES {
                panel.fill(0.0);
            }
            transpose(room, width + LANES, rows.len(), width, panel, LANES);
        }
    }
}

/// Rotates the pairs `(j, j + half)` of some rows by their angles, and scales.
pub(super) struct Turn<'a> {
    /// From the first row's head on; rows are `stride` apart.
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Cosines and sines, row after row.
    pub(super) by: Option<(&'a [f32], usize)>,
    pub(super) scale: f32,
    /// Rows are `width + 16` apart.
    pub(super) out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.by.map_or(0, |(_, half)| half);
        for r in 0..self.rows {
            let x = &self.x[r * self.stride..][..self.width];
            let out = &mut self.out[r * (self.width + LANES)..][..self.width];
            if let Some((table, half)) = self.by {
                let (cosines, sines) = table[r * 2 * half..][..2 * half].split_at(half);
                rotate(s, x, cosines, sines, self.scale, out);
            }
            for (out, x) in out[2 * half..].iter_mut().zip(&x[2 * half..]) {
                *out = x * self.scale;
            }
        }
    }
}

#[inline(always)]
fn rotate<S: Simd>(s: S, x: &[f32], cosines: &[f32], sines: &[f32], scale: f32, out: &mut [f32]) {
    let half = cosines.len();
    let (a, b) = x[..2 * half].split_at(half);
    let (out_a, out_b) = out[..2 * half].split_at_mut(half);
    let whole = half - half % LANES;
    for j in (0..whole).step_by(LANES) {
        let at = |x: &[f32]| s.load(x[j..].first_chunk().expect("a whole line is left"));
        let (a, b, cos, sin) = (at(a), at(b), at(cosines), at(sines));
        // Separate products, because the rows of the remainder below have no fused ones.
        let turned_a = s.sub(s.mul(a, cos), s.mul(b, sin));
        let turned_b = s.add(s.mul(b, cos), s.mul(a, sin));
        let line = |out| <&mut [f32; LANES]>::try_from(out).expect("a whole line");
        s.store(
            s.mul(turned_a, s.splat(scale)),
            line(&mut out_a[j..j + LANES]),
        );
        s.store(
            s.mul(turned_b, s.splat(scale)),
            line(&mut out_b[j..j + LANES]),
        );
    }
    for j in whole..half {
        out_a[j] = (a[j] * cosines[j] - b[j] * sines[j]) * scale;
        out_b[j] = (b[j] * cosines[j] + a[j] * sines[j]) * scale;
    }
}
