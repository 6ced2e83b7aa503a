//! What an evaluation tells: a short report for the terminal, and a page with what the numbers show.

use super::page::{Page, Row};
use super::summary::Estimate;
use crate::report::{Report, percentage, refusals};
use crate::table::grouped;

impl Page<'_> {
    /// The report for the terminal.
    pub(super) fn short(&self) -> Report {
        let (about, count) = (&self.about, self.about.questions.list.len());
        let questions = if count == 1 { "question" } else { "questions" };
        let report = empty().printed(format!(
            "{} on {}, {count} {questions}; [ ] are 95 % bootstrap intervals, all numbers per question",
            about.model, about.questions.name,
        ));
        let report = if about.sweeps.is_empty() {
            report.table(self.single())
        } else {
            let report = report.table(self.overall(true)).table(self.families());
            report.printed(self.saving())
        };
        report.printed(refusals(self.rows.iter().map(|row| &row.setup)))
    }

    /// The page.
    pub(super) fn long(&self) -> Report {
        let about = &self.about;
        let report = empty()
            .about(format!(
                "Model {} (fingerprint `{}`) with --dtype {} on --backend {}, questions {}: {} of them about {} \
                 pictures. Scores go from 0 to 1. Intervals in brackets are 95 % bootstrap intervals (2,000 draws of \
                 the pictures, each with all its questions). Differences compare the same questions. Times are per \
                 question, denoising alone, a share of the questions that are denoised together{}.",
                about.model,
                about.model_fingerprint,
                about.machine.dtype.name(),
                about.machine.backend.name(),
                about.questions.name,
                about.questions.list.len(),
                about.questions.by_pictures().len(),
                if cfg!(debug_assertions) {
                    "; this was a development build, so they are a hint and no measurement"
                } else {
                    ""
                },
            ))
            .heading("Unpruned")
            .table(self.unpruned());
        if about.sweeps.is_empty() {
            return report.chart("--chart", "Accuracy", self.chart());
        }
        self.findings(self.comparison(report))
    }

    /// Every setting with all its scores.
    fn comparison(&self, mut report: Report) -> Report {
        let methods = self.methods();
        if !methods.is_empty() {
            report = report
                .heading("What was compared")
                .about(
                    "Before the decoder, after a step, or after a layer of the first step (`fastv`: of every pass). \
                     Compact positions are renumbered without gaps, original ones are as they were.",
                )
                .table(methods);
        }
        report = report
            .heading("Answers by what is left to write")
            .about(self.about_masks());
        if self.splits() {
            report = report.table(self.by_masks());
        }
        report
            .heading("All questions")
            .about(format!(
                "The first row is the baseline: no pruning, no cache, fixed schedule. Keep 1 is the baseline too, \
                 bit for bit. {}.",
                self.saving()
            ))
            .table(self.overall(false))
            .chart("--chart", "Accuracy", self.chart())
            .heading("By family")
            .table(self.families())
    }

    /// The headline: where the answer is still to be written when the tokens leave, and where it is not.
    fn about_masks(&self) -> String {
        let first = self.rows.first().and_then(|row| row.by_masks.first());
        let all = match first {
            _ if self.splits() => "",
            Some(half_masked) if half_masked.questions == 0 => " Here every answer is a short one.",
            _ => " Here every answer is of the first kind, so all numbers below are about those.",
        };
        format!(
            "An unpruned answer that is still masked by half or more of its tokens after step 1 can lose something \
             to pruning there; of a short one, most is written before the tokens leave.{all}"
        )
    }

    /// How much work the runs had in common.
    fn saving(&self) -> String {
        format!(
            "{} denoising steps, {} of them shared: settings that begin alike take the first one once",
            grouped(self.steps as u64),
            grouped(self.shared_steps as u64),
        )
    }

    /// Each row that prunes with the row that differs in nothing but pruning at random.
    fn pairs(&self) -> Vec<(&Row<'_>, Estimate)> {
        let all: Vec<usize> = (0..self.about.questions.list.len()).collect();
        let compare = |row: &'_ Row<'_>| {
            let mut wanted = row.setup.combination.clone();
            for (_, value) in wanted.iter_mut().filter(|(flag, _)| flag == "prune") {
                "random".clone_into(value);
            }
            if !prunes(row) || wanted == row.setup.combination {
                return None;
            }
            let mut rows = self.rows.iter();
            let random = rows.find(|other| other.setup.combination == wanted)?;
            let (scored, random) = (row.scored.as_ref()?, random.scored.as_ref()?);
            Some(scored.difference(self.about.questions, &all, random))
        };
        let rows = self.rows.iter();
        rows.filter_map(|row| Some((row, compare(row)?))).collect()
    }

    /// Comparisons with chance, and sentences that the numbers allow, and no others.
    fn findings(&self, mut report: Report) -> Report {
        let pairs = self.pairs();
        if !pairs.is_empty() {
            report = report
                .heading("Against random")
                .about("The same share of tokens, chosen at random.")
                .table(self.against_random(&pairs));
        }
        let half_masked = |row: &Row<'_>| {
            let part = row.by_masks.first().filter(|_| self.splits());
            part.map(|part| part.score.mean)
        };
        let all = |row: &Row<'_>| row.summaries.first().map(|part| part.score.mean);
        let compared = |holds: fn(&Estimate) -> bool| -> Vec<String> {
            let those = pairs.iter().filter(|(_, gain)| holds(gain));
            those.map(|(row, _)| name(row)).collect()
        };
        let findings = [
            (
                "Of answers at least half masked after step 1, at least 98 % of the unpruned score is left with",
                self.left(&half_masked, 0.98, f64::INFINITY),
            ),
            (
                "Between 93 and 98 % of theirs",
                self.left(&half_masked, 0.93, 0.98),
            ),
            (
                "Of all, at least 98 % of the unpruned score is left with",
                self.left(&all, 0.98, f64::INFINITY),
            ),
            ("Between 93 and 98 %", self.left(&all, 0.93, 0.98)),
            ("Less than 93 %", self.left(&all, f64::NEG_INFINITY, 0.93)),
            ("Best layer to prune at", self.best_layers()),
            (
                "Better than random, the interval above 0",
                compared(|gain| gain.low > 0.0),
            ),
            (
                "Worse than random, the interval below 0",
                compared(|gain| gain.high < 0.0),
            ),
            (
                "No difference from random shown",
                compared(|gain| gain.low <= 0.0 && gain.high >= 0.0),
            ),
        ];
        let said = findings.into_iter().filter(|(_, rows)| !rows.is_empty());
        let said = said.map(|(intro, rows)| format!("{intro}: {}.", rows.join("; ")));
        report.heading("What it shows").findings(said.collect())
    }

    /// The pruned rows of which a share from `low` to below `high` of the unpruned `score` is left.
    fn left(&self, score: &dyn Fn(&Row<'_>) -> Option<f64>, low: f64, high: f64) -> Vec<String> {
        let whole = self.measured().next().and_then(|(row, _)| score(row));
        let whole = whole.unwrap_or_default().max(f64::MIN_POSITIVE);
        let said = self.measured().filter(|(row, _)| prunes(row));
        let said = said.filter_map(|(row, _)| {
            let share = score(row)? / whole;
            let said = format!("{} ({})", name(row), percentage(share, 1));
            (low..high).contains(&share).then_some(said)
        });
        said.collect()
    }

    /// For every sweep over layers, the best and the worst one.
    fn best_layers(&self) -> Vec<String> {
        let compare = |(name, mut layers): (String, Vec<(usize, f64)>)| {
            layers.sort_by(|a, b| b.1.total_cmp(&a.1));
            let (best, worst) = layers.first().zip(layers.last())?;
            let say = |(layer, score): &(usize, f64)| format!("{layer} ({score:.3})");
            Some(format!("{name}: {}, worst {}", say(best), say(worst)))
        };
        self.by_layer().into_iter().filter_map(compare).collect()
    }
}

fn empty() -> Report {
    Report::new("eval", "Accuracy under pruning")
}

/// Whether visual tokens leave.
fn prunes(row: &Row<'_>) -> bool {
    let prune = row.setup.options.prune.as_ref();
    prune.is_some_and(|prune| prune.keep < 1.0)
}

/// The swept values of a row.
fn name(row: &Row<'_>) -> String {
    let values = row.setup.combination.iter();
    let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
    values.join(" ")
}
