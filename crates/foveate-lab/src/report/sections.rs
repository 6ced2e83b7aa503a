//! A report of sections, shown on a terminal or written as a page of Markdown.

use super::table::Table;
use crate::chart::Chart;

/// What was measured, in the order in which it is told.
pub(crate) struct Report {
    /// The command that makes it, such as `eval`.
    command: &'static str,
    title: &'static str,
    blocks: Vec<Block>,
}

enum Block {
    /// Begins a section of a page.
    Heading(&'static str),
    /// A sentence for the terminal.
    Printed(String),
    /// A paragraph of the page: what the numbers are.
    About(String),
    Table(Table),
    /// A drawing that `flag` asks for.
    Drawing {
        flag: &'static str,
        title: &'static str,
        chart: Chart,
    },
    /// Sentences of the page that the numbers allow.
    Findings(Vec<String>),
}

impl Report {
    pub(crate) fn new(command: &'static str, title: &'static str) -> Self {
        Self {
            command,
            title,
            blocks: Vec::new(),
        }
    }

    fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Begins a section; only pages show its heading.
    pub(crate) fn heading(self, heading: &'static str) -> Self {
        self.with(Block::Heading(heading))
    }

    /// Says something on the terminal alone; nothing if it is empty.
    pub(crate) fn printed(self, text: impl Into<String>) -> Self {
        self.with(Block::Printed(text.into()))
    }

    /// Explains something on the page alone.
    pub(crate) fn about(self, text: impl Into<String>) -> Self {
        self.with(Block::About(text.into()))
    }

    pub(crate) fn table(self, table: Table) -> Self {
        self.with(Block::Table(table))
    }

    /// A chart that is drawn where `flag` names a file; the page shows it under `title`.
    pub(crate) fn chart(self, flag: &'static str, title: &'static str, chart: Chart) -> Self {
        self.with(Block::Drawing { flag, title, chart })
    }

    /// A list that only pages show.
    pub(crate) fn findings(self, findings: Vec<String>) -> Self {
        self.with(Block::Findings(findings))
    }

    /// Its charts by their flags.
    pub(super) fn charts(&self) -> impl Iterator<Item = (&'static str, &Chart)> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Drawing { flag, chart, .. } => Some((*flag, chart)),
            _ => None,
        })
    }

    /// What a terminal shows.
    pub(super) fn text(&self) -> String {
        let shown = self.blocks.iter().filter_map(|block| match block {
            Block::Printed(text) if !text.is_empty() => Some(text.clone()),
            Block::Table(table) => Some(table.text()),
            _ => None,
        });
        let text = shown.collect::<Vec<_>>().join("\n\n");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// A page that says which `line` repeats it; `file` is the name of a flag's chart beside it.
    pub(super) fn markdown(&self, line: &str, file: impl Fn(&str) -> Option<String>) -> String {
        let shown = self.blocks.iter().filter_map(|block| match block {
            Block::Heading(heading) => Some(format!("## {heading}")),
            Block::About(text) => Some(text.clone()),
            Block::Table(table) => Some(table.markdown()),
            Block::Drawing { flag, title, .. } => {
                file(flag).map(|name| format!("![{title}]({name})"))
            }
            Block::Findings(all) if !all.is_empty() => Some(format!("- {}", all.join("\n- "))),
            Block::Printed(_) | Block::Findings(_) => None,
        });
        let text = shown.collect::<Vec<_>>().join("\n\n");
        let Self { command, title, .. } = self;
        format!(
            "# {title}\n\nWritten by `foveate {command}`; repeat it instead of editing it:\n\n\
             ```console\n$ {line}\n```\n\n{text}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Column, integer};

    #[test]
    fn terminals_show_sentences_and_tables_and_pages_explain_them() {
        let report = || {
            let column = Column::number("layer", |layer: &usize| integer(*layer));
            Report::new("attention", "Layers")
                .printed("2 layers")
                .heading("By layer")
                .about("From the first on.")
                .table(Table::new(vec![column], [1, 2]))
                .findings(vec!["The last is 2.".into(), "The first is 1.".into()])
        };
        assert_eq!(report().text(), "2 layers\n\n layer\n     1\n     2\n");
        let page = report().markdown("foveate attention", |_| None);
        let expected = "# Layers\n\nWritten by `foveate attention`; repeat it instead of editing it:\n\n\
            ```console\n$ foveate attention\n```\n\n## By layer\n\nFrom the first on.\n\n\
            | layer |\n|--:|\n| 1 |\n| 2 |\n\n- The last is 2.\n- The first is 1.\n";
        assert_eq!(page, expected);
    }
}
