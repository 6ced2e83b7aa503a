//! Weights of 8 and 4 bits as the kernels read them, and how they become whole numbers.
//!
//! Panels of sixteen outputs as elsewhere, group of inputs after group. A q8 group is lines of pairs: pair
//! `p` of an output holds its codes of inputs `p` and `p + 16`. A q4 group is lines of fours: byte `j` of an
//! output in line `i` holds its codes of inputs `4 i + j` and `64 + 4 i + j`. Before they are multiplied, the
//! groups of a slice are expanded to whole numbers, which is exact: a q8 weight is its code, a q4 weight its
//! level times its factor by 16, rounded. They have 16 bits, or q4's 8 where the machine multiplies fours.

use std::array::from_fn;
use std::mem::MaybeUninit;

use super::isa::{Kernel, Simd};
use super::lines::{LANES, Line};
use super::micro::Prefetch;
use super::panels::{Bf16Line, WeightRows};
use super::shared_slice::SharedSlice;
use super::thread_pool::ThreadPool;
use crate::error::Result;
use crate::memory::reserve;
use crate::quant::{LEVELS, Q4, Q4_GROUP, Q8, Q8_GROUP, RUN, RUNS};
use crate::tensor::Dtype;

/// Lines of pairs in a q8 group.
const Q8_PAIRS: usize = Q8_GROUP / 2;
/// Lines of fours in half a q4 group.
const Q4_FOURS: usize = Q4_GROUP / 8;
/// Lines of fours that share factors.
const RUN_FOURS: usize = RUN / 4;

/// The codes of sixteen outputs in one group.
#[derive(Debug)]
pub(super) enum Codes {
    /// `[panels][groups]` of lines of pairs: byte `i` of a line belongs to output `i / 2`.
    Q8(Vec<[[u8; 2 * LANES]; Q8_PAIRS]>),
    /// `[panels][groups]` of groups with two codes a byte.
    Q4(Vec<Q4Group>),
}

/// The codes and factors of sixteen outputs in one q4 group.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Q4Group {
    /// Lines of fours: byte `i` of a line belongs to output `i / 4`.
    fours: [[u8; 4 * LANES]; Q4_FOURS],
    /// Signed; of the first sixteen inputs, of the next sixteen, …
    factors: [[u8; LANES]; RUNS],
}

/// Quantized panels: `[panels][groups]`.
#[derive(Debug)]
pub(super) struct QuantPanels {
    codes: Codes,
    /// One line per group, bfloat16.
    scales: Vec<Bf16Line>,
    /// Groups of a row.
    pub(super) count: usize,
    /// Inputs of a group.
    pub(super) group: usize,
}

impl QuantPanels {
    /// Packs panel by panel on all threads; rows that are not stored as `dtype`, q8 or q4, are quantized first.
    pub(super) fn new(rows: &WeightRows<'_, '_>, dtype: Dtype, pool: &ThreadPool) -> Result<Self> {
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
                (from_fn(|p| from_fn(|i| code(p, i))), Bf16Line(scales))
            };
            Codes::Q8(Self::pack(rows, dtype, count, pool, &mut scales, pack)?)
        } else {
            let pack = |stored: &[Option<&[u8]>; LANES], group: usize| {
                let blocks = stored.map(|row| row.map(|row| Q4::at(row, group)));
                let four =
                    |i: usize, at: usize| blocks[at / 4].map_or(0, |b| b.pairs()[4 * i + at % 4]);
                let block = Q4Group {
                    fours: from_fn(|i| from_fn(|at| four(i, at))),
                    factors: from_fn(|r| blocks.map(|b| b.map_or(0, |b| b.factors()[r]))),
                };
                let scales = blocks.map(|b| b.map_or(0, |b| b.scale().to_bits()));
                (block, Bf16Line(scales))
            };
            Codes::Q4(Self::pack(rows, dtype, count, pool, &mut scales, pack)?)
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
        rows: &WeightRows<'_, '_>,
        dtype: Dtype,
        count: usize,
        pool: &ThreadPool,
        scales: &mut Vec<Bf16Line>,
        pack: impl Fn(&[Option<&[u8]>; LANES], usize) -> (G, Bf16Line) + Sync,
    ) -> Result<Vec<G>> {
        let total = rows.panel_count() * count;
        let mut codes: Vec<G> = Vec::new();
        reserve(&mut codes, total, "a weight")?;
        reserve(scales, total, "the scales of a weight")?;
        let shared_codes = SharedSlice::new(&mut codes.spare_capacity_mut()[..total]);
        let shared_scales = SharedSlice::new(&mut scales.spare_capacity_mut()[..total]);
        pool.for_each(rows.panel_count(), |_, panel| {
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
                unsafe { (shared_codes.part(range.clone()), shared_scales.part(range)) };
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

    /// Bytes of codes, factors and scales.
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
            Codes::Q4(codes) => (codes[group..].as_ptr().cast(), size_of::<Q4Group>()),
        }
    }
}

/// The kernel that writes groups `first..` of a panel as lines of whole numbers, and a line of scales per group.
pub(super) struct Expand<'a> {
    /// Where they are.
    pub(super) groups: &'a QuantPanels,
    /// The first group, counted through all panels.
    pub(super) first: usize,
    /// Whole numbers, group after group.
    pub(super) lines: &'a mut [Line],
    /// Scales widened to f32; their number says how many groups are expanded.
    pub(super) scales: &'a mut [Line],
    /// The first of as many groups to prefetch meanwhile.
    pub(super) next: Option<usize>,
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
        let prefetch = self.prefetch();
        let burst = prefetch.lines.div_ceil(groups.len().max(1));
        match &self.groups.codes {
            Codes::Q8(codes) => {
                let lines = self.lines.as_chunks_mut::<Q8_PAIRS>().0.iter_mut();
                for (group, (lines, codes)) in lines.zip(&codes[groups]).enumerate() {
                    for line in group * burst..(group + 1) * burst {
                        prefetch.fetch(1, line);
                    }
                    for (line, codes) in lines.iter_mut().zip(codes) {
                        s.store_pairs(s.widen_pairs(codes), line);
                    }
                }
            }
            Codes::Q4(codes) => {
                let lines = self.lines.chunks_exact_mut(Q4_GROUP / S::BYTES);
                for (group, (lines, block)) in lines.zip(&codes[groups]).enumerate() {
                    expand(s, block, lines, prefetch.skip(group * burst, burst));
                }
            }
        }
    }
}

impl Expand<'_> {
    /// The codes of the groups to come, to be fetched little by little; fetches their scales, which are few, at once.
    #[inline(always)]
    fn prefetch(&self) -> Prefetch {
        let count = self.scales.len();
        let Some(next) = self.next else {
            return Prefetch::NONE;
        };
        let Some(scales) = self.groups.scales.get(next..next + count) else {
            return Prefetch::NONE;
        };
        let lines = size_of_val(scales).div_ceil(64);
        let scales = Prefetch::new(scales.as_ptr().cast(), lines);
        for line in 0..lines {
            scales.fetch(1, line);
        }
        let (start, bytes) = self.groups.place(next);
        Prefetch::new(start, (count * bytes).div_ceil(64))
    }
}

/// Writes a group of q4 as lines of whole numbers.
#[inline(always)]
fn expand<S: Simd>(s: S, block: &Q4Group, lines: &mut [Line], prefetch: Prefetch) {
    let (first, second) = lines.split_at_mut(Q4_GROUP / 2 / S::BYTES);
    let each = 4 / S::BYTES;
    let burst = prefetch.lines.div_ceil(RUNS / 2);
    for run in 0..RUNS / 2 {
        for line in run * burst..(run + 1) * burst {
            prefetch.fetch(1, line);
        }
        let factors = [
            s.factors(&block.factors[run]),
            s.factors(&block.factors[run + RUNS / 2]),
        ];
        for i in run * RUN_FOURS..(run + 1) * RUN_FOURS {
            let [low, high] = s.look_up(&block.fours[i], &LEVELS);
            let places = each * i..each * (i + 1);
            scaled(s, low, factors[0], &mut first[places.clone()]);
            scaled(s, high, factors[1], &mut second[places]);
        }
    }
}

/// Stores levels times factors, divided by 16 and rounded: two lines of pairs, or one of fours.
#[inline(always)]
fn scaled<S: Simd>(s: S, levels: S::I, factors: S::I, lines: &mut [Line]) {
    let [even, odd] = s.split(levels);
    s.store_bytes(
        s.mul_rounded(even, factors),
        s.mul_rounded(odd, factors),
        lines,
    );
}
