//! How an answer is scored against the acceptable ones: a number from 0 to 1, one file per metric.

mod anls;
mod exact;
mod relaxed;
mod set_f1;

/// A way to score. Its name is what a line of `--jsonl` says under `metric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Exact,
    Anls,
    Relaxed,
    SetF1,
}

const METRICS: [(&str, Metric); 4] = [
    ("exact", Metric::Exact),
    ("anls", Metric::Anls),
    ("relaxed", Metric::Relaxed),
    ("set-f1", Metric::SetF1),
];

impl Metric {
    /// Finds a metric; the error lists them all.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let known = METRICS.iter().find(|(known, _)| *known == name);
        known.map(|(_, metric)| *metric).ok_or_else(|| {
            let names = METRICS.map(|(name, _)| name).join(", ");
            format!("metric: expected one of {names}, got {name:?}")
        })
    }

    /// What a family is scored by when a question does not say: captions by clauses, all else exactly.
    pub(crate) fn of_family(family: &str) -> Self {
        match family {
            "caption" | "captions" => Self::SetF1,
            _ => Self::Exact,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        let known = METRICS.iter().find(|(_, metric)| *metric == self);
        known.map_or("", |(name, _)| name)
    }

    /// The best score over the acceptable answers.
    pub(crate) fn score(self, said: &str, acceptable: &[String]) -> f64 {
        let score = match self {
            Self::Exact => exact::score,
            Self::Anls => anls::score,
            Self::Relaxed => relaxed::score,
            Self::SetF1 => set_f1::score,
        };
        acceptable
            .iter()
            .map(|right| score(said, right))
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_several_acceptable_answers_counts() {
        let acceptable = ["two".to_owned(), "2".to_owned()];
        for (said, score) in [("2", 1.0), ("two", 1.0), ("three", 0.0)] {
            assert!((Metric::Exact.score(said, &acceptable) - score).abs() < 1e-12);
        }
    }

    #[test]
    fn an_unknown_metric_is_refused_with_those_that_there_are() {
        for (name, metric) in METRICS {
            assert_eq!((Metric::find(name), metric.name()), (Ok(metric), name));
        }
        let error = Metric::find("bleu").expect_err("unknown");
        assert!(
            error.contains("set-f1") && error.contains("\"bleu\""),
            "{error}"
        );
    }
}
