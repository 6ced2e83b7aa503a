//! The tables of an evaluation.

use serde_json::Value;

use super::page::{BY_MASKS, Measured, Page, Row};
use super::summary::{Estimate, Summary};
use crate::report::{Column, Table, integer, interval, number, signed, swept_columns};

/// A column of a table with a line per setting.
type Of<'p> = Column<'p, Measured<'p>>;

/// One family of questions, or all.
pub(super) struct Line<'p> {
    name: &'p str,
    metric: String,
    summary: &'p Summary,
}

/// A mean and its interval.
fn score<'a, R: 'a>(title: &str, of: impl Fn(&R) -> Estimate + Copy + 'a) -> [Column<'a, R>; 2] {
    [
        Column::number(title, move |row| number(of(row).mean, 3)),
        Column::number("95 %", move |row| interval(of(row).interval(), 3)),
    ]
}

/// A difference and its interval, empty where nothing is compared.
fn gain<'a, R: 'a>(
    title: &str,
    of: impl Fn(&R) -> Option<Estimate> + Copy + 'a,
) -> [Column<'a, R>; 2] {
    [
        Column::number(title, move |row| signed(Some(of(row)?.mean), 3)).or_empty(),
        Column::number("95 %", move |row| interval(Some(of(row)?.interval()), 3)).or_empty(),
    ]
}

/// Visual tokens, forwards and time of a question.
fn costs<'a, R: 'a>(of: fn(&R) -> &Summary) -> [Column<'a, R>; 3] {
    let kept = move |row: &R| {
        let Summary {
            visual_tokens_kept: kept,
            visual_tokens_seen: seen,
            ..
        } = of(row);
        Some(format!("{kept:.1}/{seen:.1}"))
    };
    [
        Column::number("visual tokens kept", kept),
        Column::number("forwards", move |row| number(of(row).forwards, 1)),
        Column::number("ms", move |row| number(of(row).time_ms, 1)),
    ]
}

impl Row<'_> {
    /// Against the baseline, which is not compared with itself.
    fn difference(&self, of: &Summary) -> Option<Estimate> {
        let is_swept = !self.setup.combination.is_empty();
        of.difference.filter(|_| is_swept)
    }
}

impl Page<'_> {
    /// The first columns of a line per setting: the swept flags.
    fn swept(&self) -> Vec<Of<'_>> {
        swept_columns(self.about.sweeps, |(row, _)| &row.setup)
    }

    /// Every family of the first row, then all of them if they are several.
    pub(super) fn by_family(&self) -> Vec<Line<'_>> {
        let Some((row, all)) = self.measured().next() else {
            return Vec::new();
        };
        let families = self.about.questions.families().into_iter();
        let line = |(name, summary)| Line {
            name,
            metric: self.metric(name),
            summary,
        };
        let mut lines: Vec<Line<'_>> = families.zip(&row.summaries[1..]).map(line).collect();
        if lines.len() > 1 {
            lines.push(line(("overall", all)));
        }
        lines
    }

    /// A line per family.
    pub(super) fn unpruned(&self) -> Table {
        Table::new(scores_of_families(), self.by_family())
    }

    /// A line per family with what its answers cost, and for what is masked after the first step.
    pub(super) fn single(&self) -> Table {
        let mut columns = scores_of_families();
        columns.extend(costs(|line: &Line<'_>| line.summary));
        let mut lines = self.by_family();
        if let Some(row) = self.rows.first().filter(|_| self.splits()) {
            lines.extend(
                BY_MASKS
                    .iter()
                    .zip(&row.by_masks)
                    .map(|((name, _), summary)| Line {
                        name,
                        metric: String::new(),
                        summary,
                    }),
            );
        }
        Table::new(columns, lines)
    }

    /// A line per setting, over all questions; with `parts` also for what is masked after the first step.
    pub(super) fn overall(&self, parts: bool) -> Table {
        let mut columns = self.swept();
        columns.extend(score("score", |(_, all): &Measured<'_>| all.score));
        columns.extend(gain("to the baseline", |(row, all): &Measured<'_>| {
            row.difference(all)
        }));
        if parts && self.splits() {
            columns.extend(BY_MASKS.iter().enumerate().map(|(index, (name, _))| {
                Of::number(*name, move |(row, _)| {
                    number(row.by_masks[index].score.mean, 3)
                })
            }));
        }
        columns.extend(costs(|(_, all): &Measured<'_>| *all));
        columns.push(Of::number("times faster", |(_, all)| {
            number(self.times_faster(all), 2)
        }));
        Table::new(columns, self.measured())
    }

    /// The score of every setting on every family.
    pub(super) fn families(&self) -> Table {
        let mut columns = self.swept();
        let families = self.about.questions.families().into_iter();
        columns.extend((1..).zip(families).map(|(index, family)| {
            Of::number(family, move |(row, _)| {
                number(row.summaries[index].score.mean, 3)
            })
        }));
        Table::new(columns, self.measured())
    }

    /// Scores where the answer is still to be written when tokens leave, and where it is not.
    pub(super) fn by_masks(&self) -> Table {
        let mut columns = self.swept();
        let first = self.rows.first().into_iter().flat_map(|row| &row.by_masks);
        for (index, ((name, _), part)) in BY_MASKS.iter().zip(first).enumerate() {
            let title = format!("{name} ({})", part.questions);
            let of = move |(row, _): &Measured<'_>| row.by_masks[index].score;
            columns.extend(score(&title, of));
            columns.extend(
                gain("to the baseline", move |(row, _): &Measured<'_>| {
                    row.difference(&row.by_masks[index])
                })
                .into_iter()
                .take(1),
            );
        }
        Table::new(columns, self.measured())
    }

    /// Where the settings differ in more than their names.
    pub(super) fn methods(&self) -> Table {
        let mut lines: Vec<[String; 4]> = Vec::new();
        for (row, _) in self.measured() {
            let settings = row.setup.options.to_json()["prune"].take();
            let line = ["method", "at", "queries", "positions"].map(|name| match &settings[name] {
                Value::String(text) => text.clone(),
                _ => crate::sweep::UNSAID.to_owned(),
            });
            if row.setup.options.prune.is_some() && !lines.contains(&line) {
                lines.push(line);
            }
        }
        let titles = [
            "method",
            "tokens leave at",
            "attention of",
            "positions of the rest",
        ];
        let column = |(index, title): (usize, &'static str)| {
            Column::text(title, move |line: &[String; 4]| line[index].clone())
        };
        Table::new(titles.into_iter().enumerate().map(column).collect(), lines)
    }

    /// How much better each setting is than the same with tokens chosen at random.
    pub(super) fn against_random(&self, pairs: &[(&Row<'_>, Estimate)]) -> Table {
        let mut columns = swept_columns(self.about.sweeps, |(row, _): &(&Row<'_>, _)| &row.setup);
        columns.extend(gain("better than random by", |(_, gain)| Some(*gain)));
        Table::new(columns, pairs.iter().copied())
    }
}

fn scores_of_families<'p>() -> Vec<Column<'p, Line<'p>>> {
    let mut columns = vec![
        Column::text("family", |line: &Line<'_>| line.name.to_owned()),
        Column::text("metric", |line: &Line<'_>| line.metric.clone()),
        Column::number("questions", |line: &Line<'_>| {
            integer(line.summary.questions)
        }),
    ];
    columns.extend(score("score", |line: &Line<'_>| line.summary.score));
    columns
}
