//! Products of quantized weights: inputs are rounded to whole numbers, and integers are summed exactly.
//!
//! A row of inputs is rounded group by group (see `rounding.rs`). Only between groups are there floats:
//! `c += (input scale · weight scale) · sum`, group after group in ascending order, each operation rounded
//! on its own. A sum thus has the same bits whatever the instruction set, with or without fused multiply-add.

use super::isa::{DetectedIsa, Kernel, Simd};
use super::lines::Line;
use super::micro::Prefetch;
use crate::quant::{Q4_GROUP, Q8_GROUP};
use crate::rounding::{MOST_Q4, MOST_Q8, Rounding};

/// How the inputs beside a quantized weight lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputLayout {
    /// Inputs of a group.
    pub(super) group: usize,
    /// Inputs of a word of 32 bits.
    pub(super) inputs: usize,
}

impl InputLayout {
    /// Beside weights of floats: one input a word and nothing else.
    pub(super) const FLOATS: Self = Self {
        group: usize::MAX,
        inputs: 1,
    };

    /// Beside weights in groups of `group`: as many inputs a word as the instruction set multiplies in a lane.
    pub(super) fn new(group: usize, isa: DetectedIsa) -> Self {
        let inputs = if group == Q8_GROUP { 2 } else { isa.bytes() };
        Self { group, inputs }
    }

    /// Words of a group's inputs.
    pub(super) fn words(self) -> usize {
        self.group / self.inputs
    }

    /// Words of `depth` inputs in whole groups: a group also has a scale and an offset.
    pub(super) fn width(self, depth: usize) -> usize {
        depth / self.inputs + 2 * (depth / self.group)
    }
}

/// The kernel that rounds some groups of one row, the last of which may be short.
///
/// A word has two inputs of a q8 group, `p` and `p + 16`. Of a q4 group, word `i` has the four from `4 i` on,
/// or where pairs are multiplied words `2 i` and `2 i + 1` have the even and the odd ones of them.
pub(super) struct RoundInputs<'a> {
    /// The inputs.
    pub(super) x: &'a [f32],
    /// How they lie afterwards.
    pub(super) layout: InputLayout,
    /// Bits of words, group after group.
    pub(super) words: &'a mut [f32],
    /// One for each group.
    pub(super) scales: &'a mut [f32],
    /// Bits of what each group's sums start with, to make up for weights that are stored `BIAS` too high.
    pub(super) offsets: &'a mut [f32],
}

impl Kernel for RoundInputs<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        if self.layout.group == Q8_GROUP {
            self.groups::<Q8_GROUP>(|x, words, offset| {
                let rounding = Rounding::new(x, MOST_Q8);
                let (first, second) = x.split_at(Q8_GROUP / 2);
                for ((word, first), second) in words.iter_mut().zip(first).zip(second) {
                    *word = pair(rounding.code(*first), rounding.code(*second));
                }
                *offset = 0.0;
                rounding.scale
            });
        } else {
            self.groups::<Q4_GROUP>(|x, words, offset| {
                let rounding = Rounding::new(x, MOST_Q4);
                // No `map` of arrays here and below, which may stay a call without the features.
                let mut codes = [0i8; Q4_GROUP];
                for (code, x) in codes.iter_mut().zip(x) {
                    *code = rounding.code(*x) as u8 as i8;
                }
                let sum: i32 = codes.iter().map(|code| i32::from(*code)).sum();
                *offset = f32::from_bits((-S::BIAS * sum) as u32);
                let fours = codes.as_chunks::<4>().0;
                if S::BYTES == 4 {
                    for (word, four) in words.iter_mut().zip(fours) {
                        let [a, b, c, d] = *four;
                        let bytes = [a as u8, b as u8, c as u8, d as u8];
                        *word = f32::from_bits(u32::from_le_bytes(bytes));
                    }
                } else {
                    let words = words.as_chunks_mut::<2>().0.iter_mut();
                    for (words, four) in words.zip(fours) {
                        let [a, b, c, d] = *four;
                        let wide = |code: i8| i32::from(code) as u32;
                        *words = [pair(wide(a), wide(c)), pair(wide(b), wide(d))];
                    }
                }
                rounding.scale
            });
        }
    }
}

impl RoundInputs<'_> {
    /// Runs `round` on every group, with its words and its offset, and stores the scale that it returns.
    #[inline(always)]
    fn groups<const GROUP: usize>(
        self,
        round: impl Fn(&[f32; GROUP], &mut [f32], &mut f32) -> f32,
    ) {
        let places = self.words.chunks_exact_mut(self.layout.words());
        let rest = self.scales.iter_mut().zip(self.offsets);
        for ((x, words), (scale, offset)) in self.x.chunks(GROUP).zip(places).zip(rest) {
            if let Ok(x) = <&[f32; GROUP]>::try_from(x) {
                *scale = round(x, words, offset);
            } else {
                let mut whole = [0.0; GROUP];
                whole[..x.len()].copy_from_slice(x);
                *scale = round(&whole, words, offset);
            }
        }
    }
}

/// The low halves of two numbers as the bits of one.
#[inline(always)]
fn pair(first: u32, second: u32) -> f32 {
    f32::from_bits(first & 0xffff | second << 16)
}

/// `c[row][panel] (+)= Σ over groups of (a scale · b scale) · Σ a · b`: what [`Tile`](super::micro::Tile) is for floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTile {
    /// Groups of the depth.
    pub(super) groups: usize,
    /// The numbers are 8-bit ones, for [`Simd::dot_bytes`].
    pub(super) bytes: bool,
    /// Words of a group.
    pub(super) words: usize,
    /// Bits of the word `a[group][p][row]` are at `(group * words + p) * a_step + row`.
    pub(super) a: *const f32,
    /// `a_scales[group][row]` is at `group * a_step + row`.
    pub(super) a_scales: *const f32,
    /// Bits of integers, likewise.
    pub(super) a_offsets: *const f32,
    pub(super) a_step: usize,
    /// `b[panel][group][p]` is at `panel * b_panel + group * words + p`.
    pub(super) b: *const Line,
    /// `b_scales[panel][group]` is at `panel * b_panel + group`.
    pub(super) b_scales: *const Line,
    pub(super) b_panel: usize,
    /// `c[row][panel]` is at `row + panel * c_panel`.
    pub(super) c: *mut Line,
    pub(super) c_panel: usize,
    /// Continue from what `c` holds instead of from zero.
    pub(super) resume: bool,
    /// What else to bring into the cache meanwhile.
    pub(super) prefetch: Prefetch,
}

/// The kernel for a tile of known size, whose sums are registers.
struct FixedGroupTile<const ROWS: usize, const PANELS: usize, const BYTES: bool>(GroupTile);

impl GroupTile {
    /// Computes `rows × panels` outputs, at most as many as the instruction set's largest tile.
    ///
    /// # Safety
    /// The pointers must reach what the fields describe, and nobody else may use `c`.
    pub(super) unsafe fn compute(self, isa: DetectedIsa, rows: usize, panels: usize) {
        macro_rules! sizes {
            ($($r:literal)*) => {
                match (rows, panels, self.bytes) {
                    $(($r, 1, false) => isa.run(FixedGroupTile::<$r, 1, false>(self)),
                      ($r, 2, false) => isa.run(FixedGroupTile::<$r, 2, false>(self)),
                      ($r, 1, true) => isa.run(FixedGroupTile::<$r, 1, true>(self)),
                      ($r, 2, true) => isa.run(FixedGroupTile::<$r, 2, true>(self)),)*
                    _ => unreachable!("no tile of {rows} rows and {panels} panels"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

impl<const ROWS: usize, const PANELS: usize, const BYTES: bool> Kernel
    for FixedGroupTile<ROWS, PANELS, BYTES>
{
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if ROWS > S::ROWS || PANELS > S::PANELS {
            unreachable!("a tile larger than the instruction set's registers");
        }
        let tile = self.0;
        let burst = tile.prefetch.lines.div_ceil(tile.groups.max(1));
        for group in 0..tile.groups {
            for line in group * burst..(group + 1) * burst {
                tile.prefetch.fetch(PANELS, line);
            }
            let mut sums = [[s.splat_pair(0); PANELS]; ROWS];
            // SAFETY: `GroupTile::compute` obliges its caller to pass pointers that reach all of these.
            unsafe {
                if BYTES {
                    let offsets = tile.a_offsets.add(group * tile.a_step).cast::<i32>();
                    for (r, sums) in sums.iter_mut().enumerate() {
                        *sums = [s.splat_pair(*offsets.add(r)); PANELS];
                    }
                }
                for p in group * tile.words..(group + 1) * tile.words {
                    step::<S, ROWS, PANELS, BYTES>(s, &tile, p, &mut sums);
                }
                scale(s, &tile, group, &sums);
            }
        }
    }
}

/// Adds the products of one word of inputs.
///
/// # Safety
/// The tile's pointers must reach what its fields say, and `p` is one of its words.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const PANELS: usize, const BYTES: bool>(
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
                *sum = if BYTES {
                    s.dot_bytes(*sum, column, x)
                } else {
                    s.dot_pairs(*sum, x, column)
                };
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
