//! How values are written in cells; `None` is a value that is not there.

use crate::table::{bytes as binary, grouped};

/// A written value.
pub(crate) type Cell = Option<String>;

/// Places and sizes: `4480`.
pub(crate) fn integer(number: impl Into<Option<usize>>) -> Cell {
    let number = number.into()?;
    Some(number.to_string())
}

/// How many: `4,480`.
pub(crate) fn count(number: impl Into<Option<usize>>) -> Cell {
    let number = number.into()?;
    Some(grouped(number as u64))
}

/// So many digits after the point.
pub(crate) fn number(number: impl Into<Option<f64>>, digits: usize) -> Cell {
    let number = number.into()?;
    Some(format!("{number:.digits$}"))
}

/// A difference: `+0.012`.
pub(crate) fn signed(number: impl Into<Option<f64>>, digits: usize) -> Cell {
    let number = number.into()?;
    Some(format!("{number:+.digits$}"))
}

/// A share of 1: `99.74 %`.
pub(crate) fn percent(share: impl Into<Option<f64>>, digits: usize) -> Cell {
    share.into().map(|share| percentage(share, digits))
}

/// A share of 1 in a sentence: `99.74 %`.
pub(crate) fn percentage(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", 100.0 * share)
}

/// From the lowest to the highest: `[0.801, 0.866]`.
pub(crate) fn interval(range: impl Into<Option<[f64; 2]>>, digits: usize) -> Cell {
    let [low, high] = range.into()?;
    Some(format!("[{low:.digits$}, {high:.digits$}]"))
}

/// Bytes with a binary unit: `1.43 MiB`.
pub(crate) fn bytes(count: impl Into<Option<usize>>) -> Cell {
    let count = count.into()?;
    Some(binary(count as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_with_their_units() {
        for (cell, text) in [
            (integer(4480), "4480"),
            (count(4480), "4,480"),
            (number(0.5, 2), "0.50"),
            (signed(0.0123, 3), "+0.012"),
            (percent(0.9974, 2), "99.74 %"),
            (interval([0.8, 0.87], 1), "[0.8, 0.9]"),
            (bytes(1_500_000), "1.43 MiB"),
        ] {
            assert_eq!(cell.as_deref(), Some(text));
        }
        assert_eq!((number(None, 1), count(None)), (None, None));
    }
}
