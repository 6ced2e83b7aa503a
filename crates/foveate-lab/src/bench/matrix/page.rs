//! A finished matrix as a table, as JSON lines and as points of a chart.

use anyhow::Result;
use serde_json::{Value, json};

use super::row::{Row, Summary};
use crate::chart::{Chart, Joined};
use crate::report::{
    Column, Finished, Report, Table, bytes, count, number, percent, point, refusals, swept_columns,
    swept_object,
};
use crate::sweep::Sweep;
use crate::table::grouped;

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) questions: usize,
    pub(super) sweeps: &'a [Sweep],
    pub(super) rows: &'a [(Row, Option<Summary>)],
}

type Measured<'p> = (&'p Row, &'p Summary);
type Of<'p> = Column<'p, Measured<'p>>;

impl Finished for Page<'_> {
    fn json(&self) -> Result<Vec<Value>> {
        let object = |(row, summary): &(Row, Option<Summary>)| self.object(row, summary.as_ref());
        Ok(self.rows.iter().map(object).collect())
    }

    fn printed(&self) -> Report {
        let questions = match self.questions {
            1 => "1 question".to_owned(),
            count => format!("{count} questions"),
        };
        Report::new("bench", "Speed against agreement")
            .printed(format!(
                "{}, {questions}; the first row is the baseline: no pruning, no cache, fixed schedule",
                self.model
            ))
            .table(self.table())
            .printed(refusals(self.rows.iter().map(|(row, _)| &row.setup)))
            .chart("--chart", "Speed against agreement", self.chart())
    }
}

impl Page<'_> {
    fn table(&self) -> Table {
        let mut columns = swept_columns(self.sweeps, |(row, _): &Measured<'_>| &row.setup);
        columns.extend([
            Of::number("ms", |(_, it)| number(it.milliseconds, 1)),
            Of::number("times faster", |(_, it)| number(self.times_faster(it), 2)),
            Of::number("forwards", |(_, it)| count(it.forwards)),
            Of::number("tokens/forward", |(_, it)| number(it.tokens_per_forward, 2)),
            Of::number("visual tokens kept", |(_, it)| {
                let (seen, kept) = it.visual_tokens;
                Some(format!("{}/{}", grouped(kept as u64), grouped(seen as u64)))
            }),
            Of::number("peak cache", |(_, it)| {
                bytes(Some(it.peak_cache_bytes).filter(|bytes| *bytes > 0))
            }),
            Of::number("agreement", |(_, it)| percent(it.agreement, 1)),
        ]);
        if self.measured().any(|(_, it)| it.exact.1 > 0) {
            let exact = |(_, it): &Measured<'_>| Some(format!("{}/{}", it.exact.0, it.exact.1));
            columns.push(Of::number("exact match", exact));
        }
        Table::new(columns, self.measured())
    }

    fn object(&self, row: &Row, summary: Option<&Summary>) -> Value {
        let object = json!({"model": self.model, "questions": self.questions});
        let mut object = swept_object(object, &row.setup, true);
        if let Some(summary) = summary {
            let (seen, kept) = summary.visual_tokens;
            let (right, asked) = summary.exact;
            object["time_ms"] = json!(summary.milliseconds);
            object["times_faster"] = json!(self.times_faster(summary));
            object["forwards"] = json!(summary.forwards);
            object["tokens_per_forward"] = json!(summary.tokens_per_forward);
            object["visual_tokens"] = json!({"seen": seen, "kept": kept});
            object["peak_cache_bytes"] = json!(summary.peak_cache_bytes);
            object["agreement"] = json!(summary.agreement);
            let exact = (asked > 0).then(|| right as f64 / asked as f64);
            object["exact_match"] = json!(exact);
            let answers = row.rounds.first().into_iter().flatten();
            object["answers"] = answers.map(|answer| json!(answer.text)).collect();
        }
        object
    }

    /// Speed against agreement.
    fn chart(&self) -> Chart {
        let points = self.measured().map(|(row, summary)| {
            let agreement = 100.0 * summary.agreement;
            point(
                &row.setup.combination,
                self.times_faster(summary),
                agreement,
            )
        });
        Chart {
            title: format!("{}: speed against agreement", self.model),
            x_title: "times faster than the baseline".into(),
            y_title: "tokens as in the baseline, %".into(),
            points: points.collect(),
            joined: Joined::Front,
        }
    }

    /// Rows that have numbers.
    fn measured(&self) -> impl Iterator<Item = Measured<'_>> {
        let rows = self.rows.iter();
        rows.filter_map(|(row, summary)| Some((row, summary.as_ref()?)))
    }

    fn times_faster(&self, summary: &Summary) -> f64 {
        let first = self.measured().next();
        let baseline = first.map_or(summary.milliseconds, |(_, first)| first.milliseconds);
        baseline / summary.milliseconds.max(f64::MIN_POSITIVE)
    }
}
