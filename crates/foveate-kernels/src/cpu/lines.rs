//! Memory in lines of sixteen floats: the width of every kernel and the size of a cache line.
//!
//! All packed operands are lines, so that loads never cross a cache line and one layout serves every instruction
//! set: a line is one AVX-512 register, two AVX2 registers, or a loop of sixteen.

use crate::error::Result;
use crate::memory::reserve;
use std::ops::{Deref, DerefMut};

/// Floats in a [`Line`].
pub(super) const LANES: usize = 16;

/// Sixteen floats that start a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; LANES]);

impl Line {
    /// Sixteen zeros.
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

impl Deref for Line {
    type Target = [f32; LANES];

    fn deref(&self) -> &[f32; LANES] {
        &self.0
    }
}

impl DerefMut for Line {
    fn deref_mut(&mut self) -> &mut [f32; LANES] {
        &mut self.0
    }
}

/// The lines as plain floats.
pub(super) fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a `Line` is exactly sixteen floats without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
}

/// The lines as plain floats, to be written.
pub(super) fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a `Line` is exactly sixteen floats without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// Scratch memory that is kept from call to call and grows only when it never was as large.
#[derive(Debug, Default)]
pub(super) struct LineBuf(Vec<Line>);

impl LineBuf {
    /// The first `count` lines, whose contents are unspecified.
    pub(super) fn lines(&mut self, count: usize) -> Result<&mut [Line]> {
        grow(&mut self.0, count, Line::ZERO, "working memory")?;
        Ok(&mut self.0[..count])
    }

    /// The first `count` floats, whose contents are unspecified.
    pub(super) fn floats(&mut self, count: usize) -> Result<&mut [f32]> {
        Ok(&mut floats_mut(self.lines(count.div_ceil(LANES))?)[..count])
    }

    /// Bytes held, used or not.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Line>()
    }
}

/// Lengthens `memory` to `count` elements, refusing instead of aborting when there is no room.
pub(super) fn grow<T: Clone>(
    memory: &mut Vec<T>,
    count: usize,
    fill: T,
    what: &'static str,
) -> Result<()> {
    if count > memory.len() {
        reserve(memory, count - memory.len(), what)?;
        memory.resize(count, fill);
    }
    Ok(())
}

/// Starts to bring `numbers` into the cache.
#[inline(always)]
pub(super) fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in numbers.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, and part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}
