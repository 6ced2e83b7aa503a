//! One row of a matrix: the same questions under other settings, compared with the baseline's answers.

use std::time::Instant;

use anyhow::Result;
use foveate_core::{Engine, Outcome};

use super::questions::Question;
use crate::bench::measure::median;
use crate::report::{refusal, step};
use crate::sweep::Setup;

/// A row with what came of it.
pub(super) struct Row {
    pub(super) setup: Setup,
    /// Per round, per question.
    pub(super) rounds: Vec<Vec<Answer>>,
}

/// One answer and its cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Response ids before the end.
    pub(super) ids: Vec<u32>,
    /// How many of them are no masks.
    pub(super) settled: usize,
    pub(super) text: String,
    /// Denoising alone: images are encoded before.
    pub(super) milliseconds: f64,
    pub(super) forwards: usize,
    pub(super) visual_tokens: (usize, usize),
    pub(super) cache_bytes: usize,
}

/// A row in numbers, over all questions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// The median over the rounds, of all questions together.
    pub(super) milliseconds: f64,
    pub(super) forwards: usize,
    /// Answer tokens before the end, over `forwards`.
    pub(super) tokens_per_forward: f64,
    /// Seen and kept.
    pub(super) visual_tokens: (usize, usize),
    /// The largest of any answer.
    pub(super) peak_cache_bytes: usize,
    /// Share of positions before the end that have the baseline's token.
    pub(super) agreement: f64,
    /// Answers that are the reference answer, of those that have one.
    pub(super) exact: (usize, usize),
}

impl Row {
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            setup,
            rounds: Vec::new(),
        }
    }

    /// Answers every question once more. Settings that cannot be refuse the row, not the matrix.
    pub(super) fn measure(&mut self, engine: &Engine, questions: &[Question]) -> Result<()> {
        if self.setup.refused.is_some() {
            return Ok(());
        }
        let mut round = Vec::with_capacity(questions.len());
        for question in questions {
            match answer(engine, question, &self.setup) {
                Ok(answer) => round.push(answer),
                Err(error) => {
                    self.setup.refused = Some(refusal(error)?);
                    return Ok(());
                }
            }
        }
        self.rounds.push(round);
        Ok(())
    }

    /// The numbers, against the answers of the baseline.
    pub(super) fn summary(&self, baseline: &[Answer], questions: &[Question]) -> Option<Summary> {
        let first = self.rounds.first()?;
        let total = |round: &Vec<Answer>| round.iter().map(|answer| answer.milliseconds).sum();
        let tokens: usize = first.iter().map(|answer| answer.settled).sum();
        let forwards: usize = first.iter().map(|answer| answer.forwards).sum();
        let (mut equal, mut positions, mut exact) = (0, 0, (0, 0));
        for ((answer, reference), question) in first.iter().zip(baseline).zip(questions) {
            let same = answer
                .ids
                .iter()
                .zip(&reference.ids)
                .filter(|(a, b)| a == b);
            equal += same.count();
            positions += answer.ids.len().max(reference.ids.len());
            if let Some(right) = &question.answer {
                exact.0 += usize::from(right.trim() == answer.text.trim());
                exact.1 += 1;
            }
        }
        Some(Summary {
            milliseconds: median(self.rounds.iter().map(total).collect()),
            forwards,
            tokens_per_forward: tokens as f64 / forwards.max(1) as f64,
            visual_tokens: first.iter().fold((0, 0), |(seen, kept), answer| {
                (seen + answer.visual_tokens.0, kept + answer.visual_tokens.1)
            }),
            peak_cache_bytes: first
                .iter()
                .map(|answer| answer.cache_bytes)
                .max()
                .unwrap_or(0),
            agreement: if positions == 0 {
                1.0
            } else {
                equal as f64 / positions as f64
            },
            exact,
        })
    }
}

fn answer(engine: &Engine, question: &Question, setup: &Setup) -> Result<Answer> {
    let prompt = question.prompt(engine, setup.options.think)?;
    let denoiser = engine.start_from(&prompt, &question.images, &setup.options)?;
    let mut denoisers = [denoiser];
    let clock = Instant::now();
    let mut cache_bytes = 0;
    while let [Some(step)] = &step(engine, &mut denoisers)?[..] {
        cache_bytes = cache_bytes.max(step.cache_bytes);
    }
    let milliseconds = clock.elapsed().as_secs_f64() * 1e3;
    let outcome = denoisers[0].outcome();
    let ids = outcome.ids[..outcome.response].to_vec();
    let response = Outcome {
        ids: ids.clone(),
        ..outcome.clone()
    };
    Ok(Answer {
        text: engine.answer(&response)?,
        ids,
        settled: outcome.settled,
        milliseconds,
        forwards: outcome.forwards,
        visual_tokens: (outcome.visual_tokens_seen, outcome.visual_tokens_kept),
        cache_bytes,
    })
}

#[cfg(test)]
mod tests {
    use foveate_core::Options;

    use super::*;
    use crate::bench::matrix::questions::Text;

    fn answered(ids: &[u32], text: &str) -> Answer {
        Answer {
            ids: ids.to_vec(),
            settled: ids.len(),
            text: text.into(),
            forwards: 2,
            ..Answer::default()
        }
    }

    #[test]
    fn agreement_counts_positions_before_the_end_of_either_answer() {
        let question = |answer: Option<&str>| Question {
            text: Text::Words("?".into()),
            images: Vec::new(),
            answer: answer.map(str::to_owned),
        };
        let questions = [
            question(Some("a cat")),
            question(None),
            question(Some("dog")),
        ];
        let baseline = [
            answered(&[1, 2, 3], ""),
            answered(&[], ""),
            answered(&[7], ""),
        ];
        let setup = Setup {
            combination: Vec::new(),
            options: Options::default(),
            refused: None,
        };
        let mut row = Row::new(setup);
        assert_eq!(row.summary(&baseline, &questions), None);
        row.rounds.push(vec![
            answered(&[1, 9, 3, 4], " a cat\n"),
            answered(&[], ""),
            answered(&[7], "Dog"),
        ]);
        let summary = row.summary(&baseline, &questions).expect("measured");
        assert!((summary.agreement - 3.0 / 5.0).abs() < 1e-12);
        assert_eq!((summary.exact, summary.forwards), ((1, 2), 6));
        assert!((summary.tokens_per_forward - 5.0 / 6.0).abs() < 1e-12);
    }
}
