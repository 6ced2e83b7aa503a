//! A slice that several threads write at once, each in its own part.
//!
//! Rows, tiles and panels of one buffer are written by different tasks. Their places are computed and not always
//! contiguous, so the borrow checker cannot split the slice for them; the one promise that replaces it is stated at
//! [`SharedSlice::part`], and every caller says why it holds.

use std::marker::PhantomData;
use std::ops::Range;

/// Hands out disjoint mutable parts of one slice to several threads.
pub(super) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, and `part` obliges its callers to take disjoint parts.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}
// SAFETY: as above; all access goes through `part`.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    /// Borrows the slice for as long as parts of it may be taken.
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The elements `range`, to be written. Panics when they are not all inside the slice.
    ///
    /// # Safety
    /// No element may be in two parts that are alive at the same time.
    #[expect(
        clippy::mut_from_ref,
        reason = "disjoint parts of one slice are what this type is for"
    )]
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part outside the shared slice"
        );
        // SAFETY: inside the slice by the assertion, and disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The whole slice, to be read.
    ///
    /// # Safety
    /// No part may be alive or be taken while this is.
    pub(super) unsafe fn all(&self) -> &[T] {
        // SAFETY: it is the slice that this was made of, and nobody writes by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}
