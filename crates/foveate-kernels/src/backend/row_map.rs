//! Weighted sums of rows: one form for gathering, pooling, pruning, merging and guiding.
//!
//! It is a sparse matrix in compressed rows, multiplied from the left by [`Backend::combine`](super::Backend::combine).

use crate::error::{Error, Result, same};
use crate::rows::check_rows;

/// Weighted sums of rows in compressed form: output row `i` is
/// `Σ weight[j] · x[from[j]]` over `j` in `starts[i]..starts[i + 1]`.
///
/// An output row without sources is zero. Fields are public because maps are also written directly; a backend refuses
/// one whose `starts` descend or end beyond `from`, or that names a row that is not there.
///
/// ```
/// use foveate_kernels::RowMap;
///
/// // The mean of rows 0 and 1, then row 5 as it is.
/// let mut map = RowMap::with_capacity(2);
/// map.push([(0, 0.5), (1, 0.5)]);
/// map.push([(5, 1.0)]);
/// assert_eq!(map.rows(), 2);
/// assert_eq!(map.sources(0).collect::<Vec<_>>(), [(0, 0.5), (1, 0.5)]);
///
/// // What a pruner keeps is a map too.
/// assert_eq!(RowMap::gather(&[0, 5]).sources(1).collect::<Vec<_>>(), [(5, 1.0)]);
/// ```
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
    /// No output rows yet, and room for `rows` of one source each.
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

    /// Output row `i` is input row `i`, for all of them: `gather(0..rows)`.
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

    /// Refuses a map that is no map of `rows` input rows; backends call it before they combine.
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

    /// The `(input row, weight)` pairs of output row `i`, in the order in which they are added up. Panics when there is
    /// no such row.
    pub fn sources(&self, i: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = self.starts[i] as usize..self.starts[i + 1] as usize;
        self.from[range.clone()]
            .iter()
            .map(|&f| f as usize)
            .zip(self.weight[range].iter().copied())
    }
}
