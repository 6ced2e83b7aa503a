//! Fingerprints that tell results of different models, questions and settings apart.

use foveate_core::{Checkpoint, Result};

/// 64-bit FNV-1a (Fowler, Noll and Vo). It finds mistakes, not forgeries.
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Goes on with these bytes, and where they end.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Of one text.
pub(super) fn of_text(text: &str) -> String {
    let mut fingerprint = Fingerprint::new();
    fingerprint.add(text.as_bytes());
    fingerprint.text()
}

/// Of a model: its small files, and of every tensor name, shape, first and middle row.
pub(crate) fn of_model(checkpoint: &Checkpoint) -> Result<String> {
    let mut fingerprint = Fingerprint::new();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fingerprint.add(&checkpoint.read(name)?.unwrap_or_default());
    }
    for name in checkpoint.names() {
        let tensor = checkpoint.tensor(name)?;
        fingerprint.add(name.as_bytes());
        for size in &tensor.shape {
            fingerprint.add(&size.to_le_bytes());
        }
        let middle = tensor.rows() / 2;
        for row in [0, middle] {
            let end = (row + 1).min(tensor.rows());
            fingerprint.add(tensor.row_bytes(row.min(end)..end));
        }
    }
    Ok(fingerprint.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_part_ends_counts() {
        let of = |parts: &[&str]| {
            let mut fingerprint = Fingerprint::new();
            for part in parts {
                fingerprint.add(part.as_bytes());
            }
            fingerprint.text()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab"]), of_text("ab"));
    }
}
