//! What a linear does to its sums before they leave the cache: bias, activation, residual.

use super::exp::{gate, gelu_erf, gelu_tanh};
use super::gemm::Done;
use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line};
use super::share::Share;
use crate::backend::{Act, Into};

/// The end of a linear, for one block of sums.
pub(super) struct Finish<'a> {
    pub(super) done: Done<'a>,
    /// One line per panel, or none.
    pub(super) bias: &'a [Line],
    pub(super) act: Act,
    pub(super) into: Into,
    /// `[rows, outputs]`
    pub(super) out: &'a Share<'a, f32>,
    pub(super) outputs: usize,
}

impl Kernel for Finish<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.done.rows.len();
        // Gate and up are neighbours and make one output.
        let step = if self.act == Act::SwiGlu { 2 } else { 1 };
        let first_column = self.done.panels.start / step * LANES;
        let width = (self.done.panels.len() / step * LANES).min(self.outputs - first_column);
        for (i, row) in self.done.rows.clone().enumerate() {
            let at = row * self.outputs + first_column;
            // SAFETY: every block of rows and group of panels is finished once.
            let out = unsafe { self.out.part(at..at + width) };
            for (o, slot) in out.chunks_mut(LANES).enumerate() {
                let value = |panel: usize| {
                    let sum = s.load(&self.done.sums[panel * rows + i]);
                    match self.bias.get(self.done.panels.start + panel) {
                        Some(bias) => s.add(sum, s.load(bias)),
                        None => sum,
                    }
                };
                let x = value(o * step);
                let x = match self.act {
                    Act::None => x,
                    Act::SwiGlu => s.mul(gate(s, x, x), value(o * step + 1)),
                    Act::GeluTanh => gelu_tanh(s, x),
                    Act::GeluErf => gelu_erf(s, x),
                };
                put(s, x, slot, self.into);
            }
        }
    }
}

/// Stores the first lanes of `x`, or adds them to what is there.
#[inline(always)]
fn put<S: Simd>(s: S, x: S::V, slot: &mut [f32], into: Into) {
    if let Ok(slot) = <&mut [f32; LANES]>::try_from(&mut *slot) {
        let x = match into {
            Into::Store => x,
            Into::Add => s.add(s.load(slot), x),
        };
        s.store(x, slot);
    } else {
        for (slot, x) in slot.iter_mut().zip(s.array(x)) {
            *slot = match into {
                Into::Store => x,
                Into::Add => *slot + x,
            };
        }
    }
}
