//! What is allocated, and how much of it is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Room for exactly `more` further elements.
pub(crate) fn reserve<T>(memory: &mut Vec<T>, more: usize, what: &'static str) -> Result<()> {
    memory.try_reserve_exact(more).map_err(|_| Error::Memory {
        what,
        bytes: (memory.len() + more).saturating_mul(size_of::<T>()),
    })?;
    #[cfg(target_os = "linux")]
    want_large_pages(memory.as_ptr().cast(), memory.capacity() * size_of::<T>());
    Ok(())
}

/// Asks for large pages, which save most of the address translation when weights stream by.
#[cfg(target_os = "linux")]
pub(crate) fn want_large_pages(start: *const u8, bytes: usize) {
    /// The size of a large page; smaller memory has none.
    const LARGE: usize = 2 << 20;
    const PAGE: usize = 4096;
    if bytes >= LARGE {
        let skip = start.align_offset(PAGE);
        let whole = (bytes - skip) / PAGE * PAGE;
        // SAFETY: the range is inside one allocation of ours, and the advice changes no contents.
        // It may be refused, which costs only time.
        unsafe { libc::madvise(start.add(skip) as *mut _, whole, libc::MADV_HUGEPAGE) };
    }
}

/// Bytes that are counted in a total for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self {
            total: Arc::clone(total),
            bytes,
        }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
