//! What is allocated, and how much of it is held.
//!
//! Large memory is asked for fallibly: a picture or a batch too many is an error that a server survives, where Rust's
//! collections would abort. [`Backend::memory`](crate::Backend::memory) reads the totals that are counted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Makes room in `memory` for exactly `more` further elements, or fails with an error that names `what`.
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
    /// Adds `bytes` to `total`.
    pub(crate) fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self {
            total: Arc::clone(total),
            bytes,
        }
    }

    /// Corrects the count after memory has grown.
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
