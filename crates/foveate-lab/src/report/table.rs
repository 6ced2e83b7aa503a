//! A table: columns that say what they show of a row, for a terminal or in Markdown.

use std::fmt::Write as _;

use comfy_table::CellAlignment;

use super::cell::Cell;
use crate::table::listing;

/// What a column shows of a row `R`.
pub(crate) struct Column<'a, R> {
    title: String,
    alignment: CellAlignment,
    /// In place of a value that is not there.
    absent: &'static str,
    cell: Box<dyn Fn(&R) -> Cell + 'a>,
}

impl<'a, R: 'a> Column<'a, R> {
    /// Numbers, from the right.
    pub(crate) fn number(title: impl Into<String>, cell: impl Fn(&R) -> Cell + 'a) -> Self {
        Self {
            title: title.into(),
            alignment: CellAlignment::Right,
            absent: "–",
            cell: Box::new(cell),
        }
    }

    /// Text, from the left.
    pub(crate) fn text(title: impl Into<String>, value: impl Fn(&R) -> String + 'a) -> Self {
        Self {
            alignment: CellAlignment::Left,
            ..Self::number(title, move |row| Some(value(row)))
        }
    }

    /// Leaves cells without a value empty.
    pub(crate) fn or_empty(mut self) -> Self {
        self.absent = "";
        self
    }
}

/// Titles and cells, written.
pub(crate) struct Table {
    /// Empty where there is nothing to say above the columns.
    titles: Vec<String>,
    alignments: Vec<CellAlignment>,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A line for each of `rows`.
    pub(crate) fn new<R>(columns: Vec<Column<'_, R>>, rows: impl IntoIterator<Item = R>) -> Self {
        let cells = |row: R| {
            let cell = |column: &Column<'_, R>| {
                (column.cell)(&row).unwrap_or_else(|| column.absent.to_owned())
            };
            columns.iter().map(cell).collect()
        };
        Self {
            lines: rows.into_iter().map(cells).collect(),
            alignments: columns.iter().map(|column| column.alignment).collect(),
            titles: columns.into_iter().map(|column| column.title).collect(),
        }
    }

    /// Names and what they stand for, without titles.
    pub(crate) fn facts(facts: Vec<(&str, String)>) -> Self {
        let line = |(name, value): (&str, String)| vec![name.to_owned(), value];
        Self {
            titles: Vec::new(),
            alignments: vec![CellAlignment::Left; 2],
            lines: facts.into_iter().map(line).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let mut table = listing();
        if !self.titles.is_empty() {
            table.set_header(&self.titles);
        }
        table.add_rows(&self.lines);
        for (column, alignment) in table.column_iter_mut().zip(&self.alignments) {
            column.set_cell_alignment(*alignment);
        }
        table.to_string()
    }

    /// For a page.
    pub(super) fn markdown(&self) -> String {
        let rule = |alignment: &CellAlignment| match alignment {
            CellAlignment::Right => "--:",
            _ => "---",
        };
        let rules: Vec<&str> = self.alignments.iter().map(rule).collect();
        let joined = |line: &[String]| {
            let cells: Vec<String> = line.iter().map(|text| escaped(text)).collect();
            cells.join(" | ")
        };
        let mut text = format!("| {} |\n|{}|", joined(&self.titles), rules.join("|"));
        for line in &self.lines {
            let _ = write!(text, "\n| {} |", joined(line));
        }
        text
    }
}

/// A text that stays in its cell: bars are escaped, and line breaks and other blanks are spaces.
fn escaped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('\\', "\\\\").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::cell::number;
    use super::*;

    type Of = Column<'static, (&'static str, Option<f64>)>;

    #[test]
    fn numbers_are_aligned_to_the_right_and_what_is_not_there_is_a_dash_or_nothing() {
        let columns = vec![
            Of::text("name", |row| row.0.to_owned()),
            Of::number("a", |row| number(row.1, 2)),
            Of::number("b", |row| number(row.1, 0)).or_empty(),
        ];
        let table = Table::new(columns, [("x", Some(3.0)), ("y", None)]);
        let expected = "| name | a | b |\n|---|--:|--:|\n| x | 3.00 | 3 |\n| y | – |  |";
        assert_eq!(table.markdown(), expected);
        assert_eq!(table.text().lines().count(), 3);
    }

    #[test]
    fn names_stay_in_their_cells() {
        let columns = vec![Of::text("a|b", |_| "x\\|\ny".to_owned())];
        let text = Table::new(columns, [("", None)]).markdown();
        assert_eq!(text, "| a\\|b |\n|---|\n| x\\\\\\| y |");
    }
}
