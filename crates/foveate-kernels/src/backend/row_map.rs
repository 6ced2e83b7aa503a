//! Weighted sums of rows: one form for gathering, pooling, pruning, merging and guiding.

use crate::error::{Error, Result, same};
use crate::rows::check_rows;

/// Weighted sums of rows in compressed form: output row `i` is
/// `Σ weight[j] · x[from[j]]` over `j` in `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowMap {
    /// One more entry than there are output rows.
    pub starts: Vec<u32>,
    /// Input rows.
    pub from: Vec<u32>,
    /// Their weights.
    pub weight: Vec<f32>,
}

impl RowMap {
    /// No output rows yet, room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self {
            starts,
            from: Vec::with_capacity(rows),
            weight: Vec::with_capacity(rows),
        }
    }

    /// Appends an output row made of `(input row, weight)` pairs.
    pub fn push(&mut self, sources: impl IntoIterator<Item = (usize, f32)>) {
        for (from, weight) in sources {
            self.from.push(from as u32);
            self.weight.push(weight);
        }
        self.starts.push(self.from.len() as u32);
    }

    /// Every input row, once.
    pub fn identity(rows: usize) -> Self {
        Self::gather(&(0..rows as u32).collect::<Vec<_>>())
    }

    /// Output row `i` is a copy of input row `rows[i]`.
    pub fn gather(rows: &[u32]) -> Self {
        Self {
            starts: (0..=rows.len() as u32).collect(),
            from: rows.to_vec(),
            weight: vec![1.0; rows.len()],
        }
    }

    /// Number of output rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Refuses a map that is no map of `rows` input rows.
    pub(crate) fn check(&self, rows: usize) -> Result<()> {
        same("weights of a row map", self.from.len(), self.weight.len())?;
        let ascending = self.starts.windows(2).all(|w| w[0] <= w[1]);
        let end = self.starts.last().copied().unwrap_or(0) as usize;
        if !ascending || end > self.from.len() {
            return Err(Error::shape(
                "starts of a row map",
                format!("ascending, at most {}", self.from.len()),
                format!("{end}"),
            ));
        }
        check_rows("rows combined", &self.from, rows)
    }

    /// The `(input row, weight)` pairs of output row `i`.
    pub fn sources(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        self.from[range.clone()]
            .iter()
            .map(|&f| f as usize)
            .zip(self.weight[range].iter().copied())
    }
}
