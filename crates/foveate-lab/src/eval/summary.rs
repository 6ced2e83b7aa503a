//! The answers of one row in numbers, for all questions and for each family.

use std::collections::BTreeMap;

use super::bootstrap::{Cluster, interval};
use super::journal::Answer;
use super::questions::Questions;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Estimate {
    pub(super) fn interval(&self) -> [f64; 2] {
        [self.low, self.high]
    }
}

/// Means over questions.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Summary {
    pub(super) questions: usize,
    pub(super) score: Estimate,
    /// Against the baseline, question by question; nothing to compare without a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<Estimate>,
    pub(super) visual_tokens_seen: f64,
    pub(super) visual_tokens_kept: f64,
    pub(super) forwards: f64,
    pub(super) time_ms: f64,
}

/// Scored answers, one per question.
pub(super) struct Scored<'a> {
    answers: Vec<&'a Answer>,
    scores: Vec<f64>,
}

impl<'a> Scored<'a> {
    /// None if an answer is missing.
    pub(super) fn new(questions: &Questions, answers: &'a [Option<Answer>]) -> Option<Self> {
        let answers: Vec<&Answer> = answers.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let scores = questions.list.iter().zip(&answers);
        let scores = scores
            .map(|(question, said)| question.metric.score(&said.text, &question.acceptable))
            .collect();
        Some(Self { answers, scores })
    }

    fn is_half_masked(&self, index: usize) -> bool {
        let answer = self.answers[index];
        2 * answer.masked_after_step_1 >= answer.tokens
    }

    /// The numbers of a part of the questions.
    pub(super) fn summary(
        &self,
        questions: &Questions,
        chosen: &[usize],
        baseline: Option<&Scored<'_>>,
    ) -> Summary {
        let mean = |value: fn(&Answer) -> f64| {
            let sum: f64 = chosen.iter().map(|index| value(self.answers[*index])).sum();
            sum / chosen.len().max(1) as f64
        };
        Summary {
            questions: chosen.len(),
            score: estimate(questions, chosen, |index| self.scores[index]),
            difference: baseline.map(|baseline| self.difference(questions, chosen, baseline)),
            visual_tokens_seen: mean(|answer| answer.visual_tokens_seen as f64),
            visual_tokens_kept: mean(|answer| answer.visual_tokens_kept as f64),
            forwards: mean(|answer| answer.forwards as f64),
            time_ms: mean(|answer| answer.time_ms),
        }
    }

    /// How much better this is than `other`, question by question.
    pub(super) fn difference(
        &self,
        questions: &Questions,
        chosen: &[usize],
        other: &Scored<'_>,
    ) -> Estimate {
        let gain = |index: usize| self.scores[index] - other.scores[index];
        estimate(questions, chosen, gain)
    }
}

/// Which questions a number is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    All,
    /// The unpruned answer is still masked by half or more after the first denoising step.
    HalfMasked,
    /// It is not: what is pruned later can change little.
    Short,
    Family(&'a str),
}

impl Part<'_> {
    /// The questions of this part, by the baseline's answers.
    pub(super) fn questions(self, questions: &Questions, baseline: &Scored<'_>) -> Vec<usize> {
        let is_in = |index: &usize| match self {
            Self::All => true,
            Self::HalfMasked => baseline.is_half_masked(*index),
            Self::Short => !baseline.is_half_masked(*index),
            Self::Family(family) => questions.list[*index].family == family,
        };
        (0..questions.list.len()).filter(is_in).collect()
    }
}

fn estimate(questions: &Questions, chosen: &[usize], value: impl Fn(usize) -> f64) -> Estimate {
    let mut clusters: BTreeMap<&[usize], Cluster> = BTreeMap::new();
    for index in chosen {
        let cluster = clusters
            .entry(&questions.list[*index].pictures)
            .or_default();
        cluster.sum += value(*index);
        cluster.count += 1.0;
    }
    let clusters: Vec<Cluster> = clusters.into_values().collect();
    let (low, high) = interval(&clusters);
    let sum: f64 = clusters.iter().map(|cluster| cluster.sum).sum();
    Estimate {
        mean: sum / chosen.len().max(1) as f64,
        low,
        high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metric::Metric;
    use crate::eval::questions::Question;

    fn questions(families: &[&str]) -> Questions {
        let question = |(index, family): (usize, &&str)| Question {
            family: (*family).to_owned(),
            text: "?".into(),
            acceptable: vec!["yes".into()],
            metric: Metric::Exact,
            pictures: vec![index],
        };
        let list = families.iter().enumerate().map(question).collect();
        Questions::new("q".into(), list, Vec::new())
    }

    fn answers(said: &[&str]) -> Vec<Option<Answer>> {
        let answer = |said: &&str| {
            Some(Answer {
                text: (*said).to_owned(),
                tokens: 3,
                masked_after_step_1: said.len() - 1,
                forwards: said.len(),
                visual_tokens_seen: 36,
                visual_tokens_kept: 9,
                time_ms: 2.0,
            })
        };
        said.iter().map(answer).collect()
    }

    #[test]
    fn families_are_scored_apart_and_compared_question_by_question() {
        let questions = questions(&["a", "b", "a", "b"]);
        let (said, plain) = (
            answers(&["yes", "no", "no", "yes"]),
            answers(&["yes", "yes", "no", "no"]),
        );
        let said = Scored::new(&questions, &said).expect("whole");
        let plain = Scored::new(&questions, &plain).expect("whole");
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let part = |part: Part<'_>| part.questions(&questions, &plain);
        let all = said.summary(&questions, &part(Part::All), Some(&plain));
        close(all.score.mean, 0.5);
        close(all.difference.expect("compared").mean, 0.0);
        assert!(
            all.difference.expect("compared").low < 0.0,
            "two questions differ"
        );
        close(all.forwards, 10.0 / 4.0);
        let first = said.summary(&questions, &part(Part::Family("a")), Some(&plain));
        assert_eq!(first.questions, 2);
        let difference = first.difference.expect("compared");
        assert_eq!(
            (difference.low, difference.high),
            (0.0, 0.0),
            "family a has the same answers"
        );
        close(first.visual_tokens_kept, 9.0);
    }

    #[test]
    fn short_answers_are_those_that_are_mostly_written_in_the_first_step() {
        let questions = questions(&["a", "a", "a"]);
        // Of three tokens, as many are masked after the first step as the text has letters, less one.
        let said = answers(&["yes", "no", "yes"]);
        let said = Scored::new(&questions, &said).expect("whole");
        assert_eq!(Part::HalfMasked.questions(&questions, &said), [0, 2]);
        assert_eq!(Part::Short.questions(&questions, &said), [1]);
    }

    #[test]
    fn a_missing_answer_is_no_score() {
        let questions = questions(&["a", "a"]);
        let mut said = answers(&["yes", "no"]);
        said[1] = None;
        assert!(Scored::new(&questions, &said).is_none());
    }
}
