//! Tables on the terminal: left-aligned names, right-aligned numbers, no frame.

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};

/// A table whose first column is text and whose others are numbers.
pub fn table<const N: usize>(titles: [&str; N]) -> Table {
    let mut table = listing();
    table.set_header(titles);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table of text.
pub fn listing() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Cells of a row.
pub fn row<const N: usize>(cells: [String; N]) -> Vec<Cell> {
    cells.into_iter().map(Cell::new).collect()
}

/// 1234567 → `1,234,567`.
pub fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

/// Bytes with a binary unit: `1.43 MiB`.
pub fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (8_388_608, "8,388,608"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(8 << 30), "8.00 GiB");
    }
}
