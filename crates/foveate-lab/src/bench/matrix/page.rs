//! A finished matrix as a table, as JSON lines and as points of a chart.

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::row::{Row, Summary};
use crate::chart::{Chart, Joined, Point};
use crate::sweep::{Sweep, UNSAID, cells, label};
use crate::table::{bytes, grouped, listing};

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) questions: usize,
    pub(super) sweeps: &'a [Sweep],
    pub(super) rows: &'a [(Row, Option<Summary>)],
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let with_answers = self.summaries().any(|(_, summary)| summary.exact.1 > 0);
        let mut titles: Vec<String> = self.sweeps.iter().map(|sweep| sweep.flag.clone()).collect();
        let numbers = [
            "ms",
            "times faster",
            "forwards",
            "tokens/forward",
            "visual tokens kept",
            "peak cache",
            "agreement",
        ];
        titles.extend(numbers.map(str::to_owned));
        if with_answers {
            titles.push("exact match".into());
        }
        let mut table = listing();
        table.set_header(&titles);
        for column in table.column_iter_mut().skip(self.sweeps.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for (row, summary) in self.summaries() {
            let (seen, kept) = summary.visual_tokens;
            let mut cells = cells(&row.setup.combination, self.sweeps);
            cells.extend([
                format!("{:.1}", summary.milliseconds),
                format!("{:.2}", self.times_faster(summary)),
                grouped(summary.forwards as u64),
                format!("{:.2}", summary.tokens_per_forward),
                format!("{}/{}", grouped(kept as u64), grouped(seen as u64)),
                match summary.peak_cache_bytes {
                    0 => UNSAID.to_owned(),
                    count => bytes(count as u64),
                },
                format!("{:.1} %", 100.0 * summary.agreement),
            ]);
            if with_answers {
                cells.push(format!("{}/{}", summary.exact.0, summary.exact.1));
            }
            table.add_row(cells);
        }
        let questions = match self.questions {
            1 => "1 question".to_owned(),
            count => format!("{count} questions"),
        };
        let refused = |(row, _): &(Row, Option<Summary>)| {
            let reason = row.refused.as_ref()?;
            Some(format!(
                "refused: {}: {reason}\n",
                label(&row.setup.combination)
            ))
        };
        let refused: String = self.rows.iter().filter_map(refused).collect();
        let text = format!(
            "{}, {questions}; the first row is the baseline: no pruning, no cache, fixed schedule\n\n{table}\n\n{refused}",
            self.model
        );
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// One object a row.
    pub(super) fn json_lines(&self) -> String {
        let line = |(row, summary): &(Row, Option<Summary>)| {
            self.object(row, summary.as_ref()).to_string() + "\n"
        };
        self.rows.iter().map(line).collect()
    }

    fn object(&self, row: &Row, summary: Option<&Summary>) -> Value {
        let combination = &row.setup.combination;
        let sweep: serde_json::Map<String, Value> = combination
            .iter()
            .map(|(flag, value)| (flag.replace('-', "_"), json!(value)))
            .collect();
        let mut object = json!({
            "model": self.model,
            "questions": self.questions,
            "sweep": sweep,
            "status": if combination.is_empty() { "baseline" } else { "measured" },
        });
        if let Some(reason) = &row.refused {
            object["status"] = json!("refused");
            object["reason"] = json!(reason);
            return object;
        }
        object["options"] = row.setup.options.to_json();
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
    pub(super) fn chart(&self) -> Chart {
        let group = |row: &Row| match row.setup.combination.first() {
            Some((_, value)) => value.clone(),
            None => "baseline".into(),
        };
        let points = self.summaries().map(|(row, summary)| Point {
            label: label(&row.setup.combination),
            group: group(row),
            x: self.times_faster(summary),
            y: 100.0 * summary.agreement,
        });
        Chart {
            title: format!("{}: speed against agreement", self.model),
            x_title: "times faster than the baseline".into(),
            y_title: "tokens as in the baseline, %".into(),
            points: points.collect(),
            joined: Joined::Front,
        }
    }

    fn summaries(&self) -> impl Iterator<Item = (&Row, &Summary)> {
        self.rows
            .iter()
            .filter_map(|(row, summary)| Some((row, summary.as_ref()?)))
    }

    fn times_faster(&self, summary: &Summary) -> f64 {
        let baseline = self.rows.first().and_then(|(_, summary)| summary.as_ref());
        let baseline = baseline.map_or(summary.milliseconds, |first| first.milliseconds);
        baseline / summary.milliseconds.max(f64::MIN_POSITIVE)
    }
}
