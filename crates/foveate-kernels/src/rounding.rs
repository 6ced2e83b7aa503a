//! How inputs are rounded beside quantized weights, so that whole numbers can be multiplied.
//!
//! Group by group, with the groups of the weight and a scale for each, the largest number becomes ±32767
//! beside q8 and ±127 beside q4. That leaves out about 2e-5 of q8's and 6.5e-3 of q4's root mean square,
//! against 5.5e-3 and 6.6e-2 that the weights leave out. An input that dwarfs its group takes precision from
//! the others in it, together about 2.6e-2 of itself, which is less than what its own weight is off makes.

use crate::quant::Q4_GROUP;

/// The largest input of a group beside q8.
pub(crate) const MOST_Q8: f32 = 32767.0;
/// The largest input of a group beside q4.
pub(crate) const MOST_Q4: f32 = 127.0;

/// Numbers below this are zero: their scale would not be a normal float.
const TINY: f32 = 1e-30;
/// Added to a float below 2²², this leaves its nearest whole number in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// The rounding of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounding {
    /// What a code stands for. Numbers that are not finite make it so too.
    pub(crate) scale: f32,
    /// One over the scale.
    inverse: f32,
}

impl Rounding {
    /// Makes the largest number of `group` ± `most`.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it becomes part of a function with the features it needs only by inlining"
    )]
    pub(crate) fn new(group: &[f32], most: f32) -> Self {
        // Compared as integers, so that infinities and what is no number win.
        let mut largest = 0;
        for x in group {
            largest = largest.max(x.to_bits() & 0x7fff_ffff);
        }
        let largest = f32::from_bits(largest);
        let (scale, inverse) = if largest < TINY {
            (0.0, 0.0)
        } else {
            (largest / most, most / largest)
        };
        Self { scale, inverse }
    }

    /// The code of `x`, in as many low bits as it needs.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it becomes part of a function with the features it needs only by inlining"
    )]
    pub(crate) fn code(self, x: f32) -> u32 {
        (x * self.inverse + MAGIC).to_bits()
    }
}

/// Replaces a row by what rounding beside q4 leaves of it: the reference multiplies these floats.
pub(crate) fn round_row(row: &mut [f32]) {
    for group in row.chunks_mut(Q4_GROUP) {
        let rounding = Rounding::new(group, MOST_Q4);
        for x in group {
            *x = f32::from(rounding.code(*x) as u8 as i8) * rounding.scale;
        }
    }
}
