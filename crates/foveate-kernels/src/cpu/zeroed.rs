//! Memory that begins as zeros without anybody having written them.
//!
//! Stores of keys and values are large and zero at first. The operating system hands out pages of zeros on first
//! touch, so nobody spends time on writing them, and on machines with several memory controllers a page lies near
//! the thread that wrote it first.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::lines::Line;
use crate::error::{Error, Result};
#[cfg(target_os = "linux")]
use crate::memory::want_large_pages;

/// A type whose values may be all zero bits.
///
/// # Safety
/// All zero bits must be a value of it, it must be plain data, and its alignment at most 64.
pub(super) unsafe trait Zeroable: Copy {}
// SAFETY: sixteen zeros.
unsafe impl Zeroable for Line {}

/// Values in memory that begins as zeros and that nobody has touched: its pages come when they are written,
/// on the thread that writes them.
pub(super) struct Zeroed<T> {
    /// As it was allocated; the values begin at the first cache line in it.
    memory: *mut u8,
    layout: Layout,
    len: usize,
    values: PhantomData<T>,
}

// SAFETY: it owns its memory as a `Vec` does.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

impl<T: Zeroable> Zeroed<T> {
    /// `len` zeros for `what`, a noun that an error names when there is no room for them.
    pub(super) fn new(len: usize, what: &'static str) -> Result<Self> {
        let refused = || Error::Memory {
            what,
            bytes: len.saturating_mul(size_of::<T>()),
        };
        // Only memory of no special alignment comes from the system as zeros; others would be written here.
        let bytes = len.checked_mul(size_of::<T>());
        let bytes = bytes.and_then(|bytes| bytes.checked_add(size_of::<Line>()));
        let layout = bytes.and_then(|bytes| Layout::array::<u8>(bytes).ok());
        let layout = layout.ok_or_else(refused)?;
        // SAFETY: the size is at least one line.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            return Err(refused());
        }
        #[cfg(target_os = "linux")]
        want_large_pages(memory, layout.size());
        Ok(Self {
            memory,
            layout,
            len,
            values: PhantomData,
        })
    }
}

impl<T> Zeroed<T> {
    /// The first value, at the beginning of a cache line.
    fn start(&self) -> *mut T {
        // SAFETY: there is a line more than the values need.
        unsafe {
            self.memory
                .add(self.memory.align_offset(size_of::<Line>()))
                .cast()
        }
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values are inside, aligned, and were zeros, which are values, before any was written.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and it is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; plain data needs no drop.
        unsafe { dealloc(self.memory, self.layout) };
    }
}

impl<T> std::fmt::Debug for Zeroed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Zeroed};

    #[test]
    fn they_begin_as_zeros_at_a_cache_line_and_keep_what_is_written() {
        for len in [0, 1, 3, 100_000] {
            let mut pages: Zeroed<Line> = Zeroed::new(len, "test").expect("memory");
            assert_eq!(pages.len(), len);
            assert_eq!(pages.as_ptr().align_offset(64), 0);
            assert!(
                pages
                    .iter()
                    .all(|line| line.iter().all(|x| x.to_bits() == 0))
            );
            pages.iter_mut().for_each(|line| line.fill(1.5));
            assert!(pages.iter().all(|line| line.iter().all(|x| *x > 1.0)));
        }
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        for len in [usize::MAX, usize::MAX / 64, usize::MAX / 128] {
            assert!(Zeroed::<Line>::new(len, "test").is_err());
        }
    }
}
