//! Products of quantised weights: inputs are rounded to whole numbers, and integers are summed exactly.
//!
//! A row of inputs is rounded group by group, with the groups of the weight and a scale for each: the
//! largest number becomes ±32767 beside q8 and ±8191 beside q4, the most that a group's sum has room for.
//! That is about 2e-5 and 1e-4 of the root mean square, far below what is left out of the weights. Only
//! between groups are there floats: `c += (input scale · weight scale) · sum`, group after group in
//! ascending order, each operation rounded on its own. So a sum has the same bits whatever the instruction
//! set, with or without fused multiply-add.

use super::isa::{Chosen, Kernel, Simd};
use super::lines::Line;
use super::micro::Ahead;
use crate::quant::{Q4_GROUP, Q8_GROUP};

/// Numbers below this are zero: their scale would not be a normal float.
const TINY: f32 = 1e-30;

/// Rounds some groups of one row, the last of which may be short, to pairs: of a group's `n` inputs,
/// `p` and `p + n / 2`.
pub(super) struct Round<'a> {
    pub(super) x: &'a [f32],
    /// Inputs of a group.
    pub(super) group: usize,
    /// Bits of pairs, `group / 2` for each group.
    pub(super) pairs: &'a mut [f32],
    /// One for each group.
    pub(super) scales: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        if self.group == Q8_GROUP {
            self.groups::<Q8_GROUP>(32767.0);
        } else {
            self.groups::<Q4_GROUP>(8191.0);
        }
    }
}

impl Round<'_> {
    #[inline(always)]
    fn groups<const GROUP: usize>(self, most: f32) {
        let places = self.pairs.chunks_exact_mut(GROUP / 2);
        for ((x, pairs), scale) in self.x.chunks(GROUP).zip(places).zip(self.scales) {
            if let Ok(x) = <&[f32; GROUP]>::try_from(x) {
                *scale = round(x, most, pairs);
            } else {
                let mut whole = [0.0; GROUP];
                whole[..x.len()].copy_from_slice(x);
                *scale = round(&whole, most, pairs);
            }
        }
    }
}

/// Returns the scale. Numbers that are not finite make it so too.
#[inline(always)]
fn round<const GROUP: usize>(x: &[f32; GROUP], most: f32, pairs: &mut [f32]) -> f32 {
    /// Added to a float below 2²², this leaves its nearest whole number in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    // Compared as integers, so that infinities and what is no number win.
    let mut largest = 0;
    for x in x {
        largest = largest.max(x.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let (scale, inverse) = if largest < TINY {
        (0.0, 0.0)
    } else {
        (largest / most, most / largest)
    };
    let whole = |x: f32| (x * inverse + MAGIC).to_bits();
    let (first, second) = x.split_at(GROUP / 2);
    for ((pair, first), second) in pairs.iter_mut().zip(first).zip(second) {
        *pair = f32::from_bits(whole(*first) & 0xffff | whole(*second) << 16);
    }
    scale
}

/// `c[row][panel] (+)= Σ over groups of (a scale · b scale) · Σ a · b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTile {
    pub(super) groups: usize,
    /// Pairs of a group.
    pub(super) pairs: usize,
    /// Bits of the pair `a[group][p][row]` are at `(group * pairs + p) * a_step + row`.
    pub(super) a: *const f32,
    /// `a_scales[group][row]` is at `group * a_step + row`.
    pub(super) a_scales: *const f32,
    pub(super) a_step: usize,
    /// `b[panel][group][p]` is at `panel * b_panel + group * pairs + p`.
    pub(super) b: *const Line,
    /// `b_scales[panel][group]` is at `panel * b_panel + group`.
    pub(super) b_scales: *const Line,
    pub(super) b_panel: usize,
    /// `c[row][panel]` is at `row + panel * c_panel`.
    pub(super) c: *mut Line,
    pub(super) c_panel: usize,
    /// Continue from what `c` holds instead of from zero.
    pub(super) resume: bool,
    pub(super) ahead: Ahead,
}

struct Fixed<const ROWS: usize, const PANELS: usize>(GroupTile);

impl GroupTile {
    /// Computes `rows × panels` outputs, at most as many as the instruction set's largest tile.
    ///
    /// # Safety
    /// The pointers must reach what the fields describe, and nobody else may use `c`.
    pub(super) unsafe fn compute(self, isa: Chosen, rows: usize, panels: usize) {
        macro_rules! sizes {
            ($($r:literal)*) => {
                match (rows, panels) {
                    $(($r, 1) => isa.run(Fixed::<$r, 1>(self)),
                      ($r, 2) => isa.run(Fixed::<$r, 2>(self)),)*
                    _ => unreachable!("no tile of {rows} rows and {panels} panels"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

impl<const ROWS: usize, const PANELS: usize> Kernel for Fixed<ROWS, PANELS> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if ROWS > S::ROWS || PANELS > S::PANELS {
            unreachable!("a tile larger than the instruction set's registers");
        }
        let tile = self.0;
        let burst = tile.ahead.lines.div_ceil(tile.groups.max(1));
        for group in 0..tile.groups {
            for line in group * burst..(group + 1) * burst {
                tile.ahead.fetch(PANELS, line);
            }
            let mut sums = [[s.splat_pair(0); PANELS]; ROWS];
            // SAFETY: `GroupTile::compute` obliges its caller to pass pointers that reach all of these.
            unsafe {
                for p in group * tile.pairs..(group + 1) * tile.pairs {
                    step(s, &tile, p, &mut sums);
                }
                scale(s, &tile, group, &sums);
            }
        }
    }
}

/// Adds the products of one pair of inputs.
///
/// # Safety
/// The tile's pointers must reach what its fields say, and `p` is one of its pairs.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const PANELS: usize>(
    s: S,
    tile: &GroupTile,
    p: usize,
    sums: &mut [[S::I; PANELS]; ROWS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, b) = (tile.a.add(p * tile.a_step).cast::<i32>(), tile.b.add(p));
        let mut columns = [s.splat_pair(0); PANELS];
        for (panel, column) in columns.iter_mut().enumerate() {
            *column = s.load_pairs(&*b.add(panel * tile.b_panel));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = s.splat_pair(*a.add(r));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = s.dot_pairs(*sum, x, column);
            }
        }
    }
}

/// Adds a group's sums, scaled, to `c`.
///
/// # Safety
/// As for [`step`], and nobody else may use `c`.
#[inline(always)]
unsafe fn scale<S: Simd, const ROWS: usize, const PANELS: usize>(
    s: S,
    tile: &GroupTile,
    group: usize,
    sums: &[[S::I; PANELS]; ROWS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut scales = [s.zero(); PANELS];
        for (panel, scale) in scales.iter_mut().enumerate() {
            *scale = s.load(&*tile.b_scales.add(panel * tile.b_panel + group));
        }
        for (r, sums) in sums.iter().enumerate() {
            let x = s.splat(*tile.a_scales.add(group * tile.a_step + r));
            for (panel, (sum, scale)) in sums.iter().zip(scales).enumerate() {
                let c = &mut *tile.c.add(r + panel * tile.c_panel);
                let value = s.mul(s.mul(x, scale), s.to_floats(*sum));
                let before = if tile.resume || group > 0 {
                    s.load(c)
                } else {
                    s.zero()
                };
                s.store(s.add(before, value), c);
            }
        }
    }
}
