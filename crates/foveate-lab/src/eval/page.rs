//! A finished evaluation: its rows in numbers, and as JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::answering::{Planned, Run};
use super::beginning::shared_steps;
use super::questions::Questions;
use super::summary::{Part, Scored, Summary};
use crate::args::MachineArgs;
use crate::report::{Finished, Report, swept_object};
use crate::sweep::{Setup, Sweep};

/// What was asked of which model.
pub(super) struct About<'a> {
    pub(super) model: &'a str,
    pub(super) model_fingerprint: &'a str,
    pub(super) machine: MachineArgs,
    /// Of the decoder.
    pub(super) layers: usize,
    pub(super) questions: &'a Questions,
    pub(super) sweeps: &'a [Sweep],
}

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) about: About<'a>,
    pub(super) rows: Vec<Row<'a>>,
    /// Denoising steps of all runs.
    pub(super) steps: usize,
    /// How many of them are shared with another run.
    pub(super) shared_steps: usize,
}

/// The parts of the questions that pruning after the first step treats differently.
pub(super) const BY_MASKS: [(&str, Part<'static>); 2] = [
    ("at least half masked after step 1", Part::HalfMasked),
    ("short answers", Part::Short),
];

/// One setting.
pub(super) struct Row<'a> {
    pub(super) setup: Setup,
    pub(super) scored: Option<Scored<'a>>,
    /// All questions, then each family.
    pub(super) summaries: Vec<Summary>,
    /// Answers still at least half masked after step 1, and short ones.
    pub(super) by_masks: Vec<Summary>,
}

/// A row that has numbers, with those of all questions.
pub(super) type Measured<'p> = (&'p Row<'p>, &'p Summary);

impl<'a> Page<'a> {
    /// Scores the answers of `runs`; the first of `setups` is the baseline.
    pub(super) fn new(about: About<'a>, setups: Vec<Planned>, runs: &'a [Run]) -> Result<Self> {
        let questions = about.questions;
        let scored = |run: Option<usize>| Scored::new(questions, &runs.get(run?)?.answers);
        let first = setups.first().and_then(|(_, run)| scored(*run));
        let members = |part: Part<'_>| {
            let by = first.as_ref();
            by.map_or_else(Vec::new, |by| part.questions(questions, by))
        };
        let families = questions.families().into_iter().map(Part::Family);
        let parts: Vec<_> = [Part::All]
            .into_iter()
            .chain(families)
            .map(members)
            .collect();
        let by_masks = BY_MASKS.map(|(_, part)| members(part));
        let baseline = first.as_ref().filter(|_| !about.sweeps.is_empty());
        let row = |(mut setup, run): Planned| {
            let scored = scored(run);
            let summaries = |parts: &[Vec<usize>]| -> Vec<Summary> {
                let summary = |(scored, part): (&Scored<'_>, &Vec<usize>)| {
                    scored.summary(questions, part, baseline)
                };
                let scored = scored.iter();
                scored
                    .flat_map(|scored| parts.iter().map(move |part| summary((scored, part))))
                    .collect()
            };
            let (summaries, by_masks) = (summaries(&parts), summaries(&by_masks));
            let refused = run.and_then(|run| runs[run].refused.clone());
            setup.refused = setup.refused.or(refused);
            Row {
                setup,
                scored,
                summaries,
                by_masks,
            }
        };
        let rows: Vec<Row<'_>> = setups.into_iter().map(row).collect();
        if let Some(reason) = rows.first().and_then(|row| row.setup.refused.as_ref()) {
            anyhow::bail!("the questions cannot be answered with these settings: {reason}");
        }
        Ok(Self {
            steps: runs.iter().map(Run::steps).sum(),
            shared_steps: shared_steps(runs, questions.list.len(), about.layers)?,
            about,
            rows,
        })
    }

    /// Rows that have numbers.
    pub(super) fn measured(&self) -> impl Iterator<Item = Measured<'_>> {
        let rows = self.rows.iter();
        rows.filter_map(|row| Some((row, row.summaries.first()?)))
    }

    /// Whether some answers, and not all, are half masked after step 1.
    pub(super) fn splits(&self) -> bool {
        let first = self.rows.first();
        first.is_some_and(|row| row.by_masks.iter().all(|part| part.questions > 0))
    }

    /// The metrics of a family, mostly one.
    pub(super) fn metric(&self, family: &str) -> String {
        let mut names: Vec<&str> = Vec::new();
        for question in &self.about.questions.list {
            let name = question.metric.name();
            if question.family == family && !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    pub(super) fn times_faster(&self, summary: &Summary) -> f64 {
        let first = self.measured().next();
        let baseline = first.map_or(summary.time_ms, |(_, first)| first.time_ms);
        baseline / summary.time_ms.max(f64::MIN_POSITIVE)
    }

    fn object(&self, row: &Row<'_>) -> Result<Value> {
        let about = &self.about;
        let object = json!({
            "model": about.model,
            "model_fingerprint": about.model_fingerprint,
            "dtype": about.machine.dtype,
            "backend": about.machine.backend.name(),
            "questions": about.questions.name,
        });
        let mut object = swept_object(object, &row.setup, !about.sweeps.is_empty());
        let Some((overall, families)) = row.summaries.split_first() else {
            return Ok(object);
        };
        object["times_faster"] = json!(self.times_faster(overall));
        object["overall"] = serde_json::to_value(overall)?;
        for (key, part) in ["half_masked", "short"].iter().zip(&row.by_masks) {
            object[*key] = serde_json::to_value(part)?;
        }
        object["families"] = json!({});
        for (family, summary) in about.questions.families().into_iter().zip(families) {
            object["families"][family] = serde_json::to_value(summary)?;
            object["families"][family]["metric"] = json!(self.metric(family));
        }
        Ok(object)
    }
}

impl Finished for Page<'_> {
    fn json(&self) -> Result<Vec<Value>> {
        self.rows.iter().map(|row| self.object(row)).collect()
    }

    fn printed(&self) -> Report {
        self.short()
    }

    fn page(&self) -> Report {
        self.long()
    }
}
