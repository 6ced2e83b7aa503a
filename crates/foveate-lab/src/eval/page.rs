//! A finished evaluation as tables, as JSON lines and as points of a chart.

use anyhow::Result;
use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::answering::{Planned, Run};
use super::beginning::shared_steps;
use super::questions::Questions;
use super::summary::{Estimate, Part, Scored, Summary};
use crate::args::MachineArgs;
use crate::sweep::{Setup, Sweep, cells, label};
use crate::table::{grouped, listing};
use foveate::Opened;

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) model_fingerprint: &'a str,
    pub(super) machine: MachineArgs,
    pub(super) questions: &'a Questions,
    pub(super) sweeps: &'a [Sweep],
    pub(super) rows: Vec<Row<'a>>,
    /// Denoising steps of all runs, and how many of them are shared with another run.
    steps: (usize, usize),
}

/// The parts of the questions that pruning after the first step treats differently.
pub(super) const BY_MASKS: [(&str, Part<'static>); 2] = [
    ("at least half masked after step 1", Part::HalfMasked),
    ("short answers", Part::Short),
];

/// One setting.
pub(super) struct Row<'a> {
    pub(super) setup: Setup,
    /// Why there are no numbers.
    refused: Option<String>,
    pub(super) scored: Option<Scored<'a>>,
    /// All questions, then each family.
    pub(super) summaries: Vec<Summary>,
    /// Answers still at least half masked after step 1, and short ones.
    pub(super) by_masks: Vec<Summary>,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        model: &'a Opened,
        model_fingerprint: &'a str,
        machine: MachineArgs,
        questions: &'a Questions,
        sweeps: &'a [Sweep],
        setups: Vec<Planned>,
        runs: &'a [Run],
    ) -> Result<Self> {
        let scored = |run: Option<usize>| {
            let run = runs.get(run?)?;
            Scored::new(questions, &run.answers)
        };
        let baseline = setups.first().and_then(|(_, run)| scored(*run));
        let families = questions.families().into_iter().map(Part::Family);
        let parts: Vec<Part<'_>> = std::iter::once(Part::All).chain(families).collect();
        let members = |parts: &[Part<'_>]| -> Vec<Vec<usize>> {
            let members = |part: &Part<'_>| {
                let by = baseline.as_ref();
                by.map_or_else(Vec::new, |by| part.questions(questions, by))
            };
            parts.iter().map(members).collect()
        };
        let (parts, by_masks) = (members(&parts), members(&BY_MASKS.map(|(_, part)| part)));
        let baseline = baseline.as_ref().filter(|_| !sweeps.is_empty());
        let mut rows = Vec::with_capacity(setups.len());
        for (setup, run) in setups {
            let scored = scored(run);
            let summaries = |parts: &[Vec<usize>]| -> Vec<Summary> {
                let summary = |scored: &Scored<'_>| -> Vec<Summary> {
                    let parts = parts.iter();
                    parts
                        .map(|part| scored.summary(questions, part, baseline))
                        .collect()
                };
                scored.as_ref().map_or_else(Vec::new, summary)
            };
            let (summaries, by_masks) = (summaries(&parts), summaries(&by_masks));
            let refused = run.and_then(|run| runs[run].refused.clone());
            rows.push(Row {
                refused: setup.refused.clone().or(refused),
                setup,
                scored,
                summaries,
                by_masks,
            });
        }
        if let Some(reason) = rows.first().and_then(|row| row.refused.as_ref()) {
            anyhow::bail!("the questions cannot be answered with these settings: {reason}");
        }
        let layers = model.card.decoder.layers;
        let taken = |run: &Run| -> usize {
            let per_step = 1 + usize::from(run.options.cfg_scale > 0.0);
            let answers = run.answers.iter().flatten();
            answers.map(|answer| answer.forwards / per_step).sum()
        };
        let steps = runs.iter().map(taken).sum();
        Ok(Self {
            model: &model.name,
            model_fingerprint,
            machine,
            questions,
            sweeps,
            rows,
            steps: (steps, shared_steps(runs, questions.list.len(), layers)?),
        })
    }

    /// Rows that have numbers, with those of all questions.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&Row<'a>, &Summary)> {
        let rows = self.rows.iter();
        rows.filter_map(|row| Some((row, row.summaries.first()?)))
    }

    /// Whether a sweep has nothing to show but the baseline.
    pub(super) fn all_refused(&self) -> bool {
        let swept = self.rows.get(1..).unwrap_or_default();
        !swept.is_empty() && swept.iter().all(|row| row.refused.is_some())
    }

    pub(super) fn text(&self) -> String {
        let count = self.questions.list.len();
        let mut text = format!(
            "{} on {}, {count} question{}; [ ] are 95 % bootstrap intervals, all numbers per question\n\n",
            self.model,
            self.questions.name,
            if count == 1 { "" } else { "s" },
        );
        if self.sweeps.is_empty() {
            text.push_str(&self.families_text());
        } else {
            text.push_str(&self.sweep_text());
            text.push_str("\n\n");
            text.push_str(&self.scores_text());
            text.push_str("\n\n");
            text.push_str(&self.saving());
        }
        text.push_str("\n\n");
        for row in &self.rows {
            if let Some(reason) = &row.refused {
                let line = format!("refused: {}: {reason}\n", label(&row.setup.combination));
                text.push_str(&line);
            }
        }
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// Whether some answers, and not all, are half masked after step 1.
    pub(super) fn splits(&self) -> bool {
        let first = self.rows.first();
        first.is_some_and(|row| row.by_masks.iter().all(|part| part.questions > 0))
    }

    /// How much work the runs had in common.
    pub(super) fn saving(&self) -> String {
        let (steps, shared) = self.steps;
        let count = |number: usize| grouped(number as u64);
        format!(
            "{} denoising steps, {} of them shared: settings that begin alike take the first one once",
            count(steps),
            count(shared),
        )
    }

    /// Without a sweep: a line per family, then all.
    fn families_text(&self) -> String {
        let mut table = listing();
        table.set_header([
            "family",
            "metric",
            "questions",
            "score",
            "95 %",
            "visual tokens kept",
            "forwards",
            "ms",
        ]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let families = self.questions.families();
        for row in &self.rows {
            let named = row.summaries.iter().skip(1).zip(&families);
            let lines = named.map(|(summary, family)| (*family, self.metric(family), summary));
            let all = row
                .summaries
                .first()
                .map(|all| ("overall", String::new(), all));
            let all = all.filter(|_| families.len() > 1);
            let by_masks = row.by_masks.iter().zip(BY_MASKS);
            let by_masks = by_masks.map(|(summary, (name, _))| (name, String::new(), summary));
            let by_masks = by_masks.filter(|_| self.splits());
            for (family, metric, summary) in lines.chain(all).chain(by_masks) {
                let mut cells = vec![family.to_owned(), metric, summary.questions.to_string()];
                cells.extend([share(summary.score.mean), range(&summary.score)]);
                cells.extend(costs(summary));
                table.add_row(cells);
            }
        }
        table.to_string()
    }

    /// With a sweep: a line per row, over all questions.
    fn sweep_text(&self) -> String {
        let mut titles: Vec<&str> = self
            .sweeps
            .iter()
            .map(|sweep| sweep.flag.as_str())
            .collect();
        titles.extend(["score", "95 %", "to the baseline", "95 %"]);
        if self.splits() {
            titles.extend(BY_MASKS.map(|(name, _)| name));
        }
        titles.extend(["visual tokens kept", "forwards", "ms", "times faster"]);
        let mut table = listing();
        table.set_header(titles);
        for column in table.column_iter_mut().skip(self.sweeps.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for (row, summary) in self.measured() {
            let mut line = cells(&row.setup.combination, self.sweeps);
            line.extend([share(summary.score.mean), range(&summary.score)]);
            let difference = summary
                .difference
                .filter(|_| !row.setup.combination.is_empty());
            line.extend(match &difference {
                Some(difference) => [signed(difference.mean), range(difference)],
                None => [String::new(), String::new()],
            });
            if self.splits() {
                line.extend(row.by_masks.iter().map(|part| share(part.score.mean)));
            }
            line.extend(costs(summary));
            line.push(format!("{:.2}", self.times_faster(summary)));
            table.add_row(line);
        }
        table.to_string()
    }

    /// With a sweep: the score of every row on every family.
    fn scores_text(&self) -> String {
        let mut titles: Vec<&str> = self
            .sweeps
            .iter()
            .map(|sweep| sweep.flag.as_str())
            .collect();
        titles.extend(self.questions.families());
        let mut table = listing();
        table.set_header(titles);
        for column in table.column_iter_mut().skip(self.sweeps.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for (row, _) in self.measured() {
            let mut line = cells(&row.setup.combination, self.sweeps);
            let families = row.summaries.iter().skip(1);
            line.extend(families.map(|summary| share(summary.score.mean)));
            table.add_row(line);
        }
        table.to_string()
    }

    /// The metrics of a family, mostly one.
    pub(super) fn metric(&self, family: &str) -> String {
        let mut names: Vec<&str> = Vec::new();
        for question in &self.questions.list {
            let name = question.metric.name();
            if question.family == family && !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// One object a row.
    pub(super) fn json_lines(&self) -> Result<String> {
        let line = |row: &Row<'_>| Ok(self.object(row)?.to_string() + "\n");
        self.rows.iter().map(line).collect()
    }

    fn object(&self, row: &Row<'_>) -> Result<Value> {
        let combination = row.setup.combination.iter();
        let sweep: serde_json::Map<String, Value> = combination
            .map(|(flag, value)| (flag.replace('-', "_"), json!(value)))
            .collect();
        let mut object = json!({
            "model": self.model,
            "model_fingerprint": self.model_fingerprint,
            "dtype": self.machine.dtype,
            "backend": self.machine.backend.name(),
            "questions": self.questions.name,
            "sweep": sweep,
            "status": if !self.sweeps.is_empty() && sweep.is_empty() { "baseline" } else { "measured" },
        });
        if let Some(reason) = &row.refused {
            object["status"] = json!("refused");
            object["reason"] = json!(reason);
            return Ok(object);
        }
        object["options"] = row.setup.options.to_json();
        let Some((overall, families)) = row.summaries.split_first() else {
            return Ok(object);
        };
        object["times_faster"] = json!(self.times_faster(overall));
        object["overall"] = serde_json::to_value(overall)?;
        for (key, part) in ["half_masked", "short"].iter().zip(&row.by_masks) {
            object[*key] = serde_json::to_value(part)?;
        }
        let named = self.questions.families().into_iter().zip(families);
        let named = named.map(|(family, summary)| {
            let mut value = serde_json::to_value(summary)?;
            value["metric"] = json!(self.metric(family));
            Ok((family.to_owned(), value))
        });
        object["families"] = Value::Object(named.collect::<Result<_>>()?);
        Ok(object)
    }

    pub(super) fn times_faster(&self, summary: &Summary) -> f64 {
        let first = self.measured().next();
        let baseline = first.map_or(summary.time_ms, |(_, first)| first.time_ms);
        baseline / summary.time_ms.max(f64::MIN_POSITIVE)
    }
}

/// What pruning does in a row, after its own defaults; null without any.
pub(super) fn pruning(row: &Row<'_>) -> Value {
    let mut options = row.setup.options.to_json();
    match row.setup.options.prune {
        Some(_) => options["prune"].take(),
        None => Value::Null,
    }
}

/// `0.834`.
pub(super) fn share(value: f64) -> String {
    format!("{value:.3}")
}

/// `+0.012`.
pub(super) fn signed(value: f64) -> String {
    format!("{value:+.3}")
}

/// `[0.801, 0.866]`.
pub(super) fn range(estimate: &Estimate) -> String {
    format!("[{:.3}, {:.3}]", estimate.low, estimate.high)
}

/// Visual tokens, forwards and time of a question.
pub(super) fn costs(summary: &Summary) -> [String; 3] {
    let (kept, seen) = (summary.visual_tokens_kept, summary.visual_tokens_seen);
    [
        format!("{kept:.1}/{seen:.1}"),
        format!("{:.1}", summary.forwards),
        format!("{:.1}", summary.time_ms),
    ]
}
