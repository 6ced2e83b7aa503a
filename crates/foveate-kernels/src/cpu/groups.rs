//! Weights of 8 and 4 bits as the kernels read them, and how they become 16-bit integers.
//!
//! Panels of sixteen outputs as elsewhere, group of inputs after group. A group of `n` inputs is `n / 2`
//! lines of pairs: pair `p` of an output holds its codes of inputs `p` and `p + n / 2`. Before they are
//! multiplied, the lines of a slice are expanded to pairs of 16-bit integers, which is exact: a q8 weight
//! is its code, a q4 weight its level times its factor.

use std::array::from_fn;
use std::mem::MaybeUninit;

use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line, reserve};
use super::panels::{Half, Rows};
use super::share::Share;
use super::team::Team;
use crate::error::Result;
use crate::quant::{LEVELS, Q4, Q4_GROUP, Q8, Q8_GROUP, RUN, RUNS};
use crate::tensor::Dtype;

/// Lines of pairs in a q8 group.
const Q8_PAIRS: usize = Q8_GROUP / 2;
/// Lines of pairs in a q4 group.
const Q4_PAIRS: usize = Q4_GROUP / 2;

/// The codes of sixteen outputs in one group.
#[derive(Debug)]
pub(super) enum Codes {
    /// `[panels][groups]` of lines of pairs.
    Q8(Vec<[[u8; 2 * LANES]; Q8_PAIRS]>),
    /// The same with both codes of a pair in one byte.
    Q4(Vec<Block>),
}

/// A group of q4.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Block {
    pairs: [[u8; LANES]; Q4_PAIRS],
    /// Signed; of both inputs of the first sixteen pairs, of the next sixteen, …
    factors: [[u8; 2 * LANES]; RUNS / 2],
}

/// Quantised panels: `[panels][groups]`.
#[derive(Debug)]
pub(super) struct Groups {
    codes: Codes,
    /// bfloat16.
    scales: Vec<Half>,
    /// Groups of a row.
    pub(super) count: usize,
    /// Inputs of a group.
    pub(super) group: usize,
}

impl Groups {
    /// Packs panel by panel; rows that are not stored as `dtype` are quantised.
    pub(super) fn new(rows: &Rows<'_, '_>, dtype: Dtype, team: &Team) -> Result<Self> {
        let group = if dtype == Dtype::Q8 {
            Q8_GROUP
        } else {
            Q4_GROUP
        };
        let count = rows.inputs.div_ceil(group);
        let mut scales = Vec::new();
        // Byte `i` of a line of pairs belongs to output `i / 2`.
        let codes = if dtype == Dtype::Q8 {
            let pack = |stored: &[Option<&[u8]>; LANES], group: usize| {
                let blocks = stored.map(|row| row.map(|row| Q8::at(row, group)));
                let code = |p: usize, i: usize| {
                    blocks[i / 2].map_or(0, |b| b.codes()[p + i % 2 * Q8_PAIRS])
                };
                let scales = blocks.map(|b| b.map_or(0, |b| b.scale().to_bits()));
                (from_fn(|p| from_fn(|i| code(p, i))), Half(scales))
            };
            Codes::Q8(Self::pack(rows, dtype, count, team, &mut scales, pack)?)
        } else {
            let pack = |stored: &[Option<&[u8]>; LANES], group: usize| {
                let blocks = stored.map(|row| row.map(|row| Q4::at(row, group)));
                let factor = |r: usize, i: usize| {
                    blocks[i / 2].map_or(0, |b| b.factors()[r + i % 2 * (RUNS / 2)])
                };
                let block = Block {
                    pairs: from_fn(|p| blocks.map(|b| b.map_or(0, |b| b.pairs()[p]))),
                    factors: from_fn(|r| from_fn(|i| factor(r, i))),
                };
                let scales = blocks.map(|b| b.map_or(0, |b| b.scale().to_bits()));
                (block, Half(scales))
            };
            Codes::Q4(Self::pack(rows, dtype, count, team, &mut scales, pack)?)
        };
        Ok(Self {
            codes,
            scales,
            count,
            group,
        })
    }

    /// `pack` makes one group of sixteen rows' stored bytes; rows beyond the last output are absent.
    fn pack<G: Send>(
        rows: &Rows<'_, '_>,
        dtype: Dtype,
        count: usize,
        team: &Team,
        scales: &mut Vec<Half>,
        pack: impl Fn(&[Option<&[u8]>; LANES], usize) -> (G, Half) + Sync,
    ) -> Result<Vec<G>> {
        let total = rows.panel_count() * count;
        let mut codes: Vec<G> = Vec::new();
        reserve(&mut codes, total, "a weight")?;
        reserve(scales, total, "the scales of a weight")?;
        let code_share = Share::new(&mut codes.spare_capacity_mut()[..total]);
        let scale_share = Share::new(&mut scales.spare_capacity_mut()[..total]);
        team.each(rows.panel_count(), |_, panel| {
            let mut room: [Vec<u8>; LANES] = Default::default();
            let mut stored = [None; LANES];
            for ((lane, room), stored) in room.iter_mut().enumerate().zip(&mut stored) {
                if let Some(row) = rows.source(panel, lane) {
                    *stored = Some(rows.stored(row, dtype, room));
                }
            }
            let range = panel * count..(panel + 1) * count;
            // SAFETY: each panel is packed by one task.
            let (codes, scales) =
                unsafe { (code_share.part(range.clone()), scale_share.part(range)) };
            for (group, (code, scale)) in codes.iter_mut().zip(scales).enumerate() {
                let (packed, line) = pack(&stored, group);
                *code = MaybeUninit::new(packed);
                *scale = MaybeUninit::new(line);
            }
        });
        // SAFETY: the tasks wrote every group of every panel.
        unsafe {
            codes.set_len(total);
            scales.set_len(total);
        }
        Ok(codes)
    }

    pub(super) fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Q8(codes) => size_of_val(&codes[..]),
            Codes::Q4(codes) => size_of_val(&codes[..]),
        };
        codes + size_of_val(&self.scales[..])
    }

    /// Where the codes of a group lie, and how many bytes a group has.
    pub(super) fn place(&self, group: usize) -> (*const u8, usize) {
        match &self.codes {
            Codes::Q8(codes) => (codes[group..].as_ptr().cast(), size_of_val(&codes[0])),
            Codes::Q4(codes) => (codes[group..].as_ptr().cast(), size_of::<Block>()),
        }
    }
}

/// Writes groups `first..` of the panels as lines of pairs, then a line of scales per group.
pub(super) struct Expand<'a> {
    pub(super) groups: &'a Groups,
    pub(super) first: usize,
    pub(super) pairs: &'a mut [Line],
    pub(super) scales: &'a mut [Line],
}

impl Kernel for Expand<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let groups = self.first..self.first + self.scales.len();
        for (line, half) in self
            .scales
            .iter_mut()
            .zip(&self.groups.scales[groups.clone()])
        {
            s.store(s.load_half(&half.0), line);
        }
        match &self.groups.codes {
            Codes::Q8(codes) => {
                let lines = self.pairs.as_chunks_mut::<Q8_PAIRS>().0.iter_mut();
                for (lines, codes) in lines.zip(&codes[groups]) {
                    for (line, codes) in lines.iter_mut().zip(codes) {
                        s.store_pairs(s.widen_pairs(codes), line);
                    }
                }
            }
            Codes::Q4(codes) => {
                let lines = self.pairs.as_chunks_mut::<Q4_PAIRS>().0.iter_mut();
                for (lines, block) in lines.zip(&codes[groups]) {
                    let runs = lines.as_chunks_mut::<RUN>().0.iter_mut();
                    let codes = block.pairs.as_chunks::<RUN>().0;
                    for ((run, codes), factors) in runs.zip(codes).zip(&block.factors) {
                        let factors = s.widen_pairs(factors);
                        let twos = run.as_chunks_mut::<2>().0.iter_mut();
                        for ([a, b], codes) in twos.zip(codes.as_chunks::<2>().0) {
                            let [first, second] = s.look_up(codes, &LEVELS);
                            s.store_pairs(s.mul_pairs(first, factors), a);
                            s.store_pairs(s.mul_pairs(second, factors), b);
                        }
                    }
                }
            }
        }
    }
}
