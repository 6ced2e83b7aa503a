//! Trying every combination of settings on a small random model.

mod cover;

use std::collections::BTreeMap;
use std::sync::Arc;

use foveate_core::{
    AnswerTemplate, DecoderShape, Denoiser, Draft, Engine, Error, Holes, NamedShape, Options,
    Progress, PromptToken, SHAPES, VisionShape, VisualTokens,
};
use foveate_kernels::{Cpu, Heads};

pub(crate) use cover::covering;

/// A choice within one dimension.
pub(crate) struct Setting {
    dimension: &'static str,
    choice: &'static str,
    apply: Box<dyn Fn(&mut Options)>,
}

impl Setting {
    pub(crate) fn new(
        dimension: &'static str,
        choice: &'static str,
        apply: impl Fn(&mut Options) + 'static,
    ) -> Self {
        Self {
            dimension,
            choice,
            apply: Box::new(apply),
        }
    }

    pub(crate) fn choice(&self) -> &'static str {
        self.choice
    }

    /// `cache prefix`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.dimension, self.choice)
    }
}

/// What came of all combinations.
pub(crate) struct Explored<'s> {
    /// Combinations that can be asked.
    pub(crate) answering: Vec<Vec<&'s Setting>>,
    /// How many cannot.
    pub(crate) refused: usize,
    /// Pairs that no combination may hold, with the reason.
    pub(crate) pairs: BTreeMap<(String, String), String>,
}

/// Asks every combination of one choice per dimension, without a step of its answer.
///
/// Panics unless every refusal is explained by a pair that is refused whatever else is chosen.
pub(crate) fn explore<'s>(model: &Model, dimensions: &[&'s [Setting]]) -> Explored<'s> {
    let combinations = combinations(dimensions);
    let outcomes: Vec<Option<String>> = combinations
        .iter()
        .map(|combination| model.refusal(combination))
        .collect();

    // A pair is to blame if nothing that holds it answers, though each half answers elsewhere.
    let mut pairs: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    for (combination, outcome) in combinations.iter().zip(&outcomes) {
        for pair in pairs_of(combination) {
            let reason = pairs.entry(pair).or_insert_with(|| outcome.clone());
            if outcome.is_none() {
                *reason = None;
            }
        }
    }
    let mut pairs: BTreeMap<_, _> = pairs
        .into_iter()
        .filter_map(|(pair, reason)| Some((pair, reason?)))
        .collect();
    for (combination, outcome) in combinations.iter().zip(&outcomes) {
        let to_blame: Vec<_> = pairs_of(combination)
            .filter(|pair| pairs.contains_key(pair))
            .collect();
        assert_eq!(
            outcome.is_some(),
            !to_blame.is_empty(),
            "{}: {outcome:?}",
            labels(combination)
        );
        // Where only one pair is wrong, the reason is that pair's own.
        if let ([pair], Some(reason)) = (to_blame.as_slice(), outcome) {
            pairs.insert(pair.clone(), reason.clone());
        }
    }
    let refused = outcomes.iter().flatten().count();
    let answering = combinations.into_iter().zip(outcomes);
    Explored {
        answering: answering
            .filter_map(|(combination, outcome)| outcome.is_none().then_some(combination))
            .collect(),
        refused,
        pairs,
    }
}

/// `prune none, cache prefix`.
pub(crate) fn labels(combination: &[&Setting]) -> String {
    let labels: Vec<String> = combination.iter().map(|choice| choice.label()).collect();
    labels.join(", ")
}

/// One choice of each dimension, in every way.
fn combinations<'s>(dimensions: &[&'s [Setting]]) -> Vec<Vec<&'s Setting>> {
    let mut combinations: Vec<Vec<&Setting>> = vec![Vec::new()];
    for choices in dimensions {
        let shorter = std::mem::take(&mut combinations);
        for combination in &shorter {
            for choice in *choices {
                combinations.push([combination.as_slice(), &[choice]].concat());
            }
        }
    }
    combinations
}

/// The labels of every two choices.
pub(crate) fn pairs_of(combination: &[&Setting]) -> impl Iterator<Item = (String, String)> {
    let labels: Vec<String> = combination.iter().map(|choice| choice.label()).collect();
    (0..labels.len()).flat_map(move |b| {
        let labels = labels.clone();
        (0..b).map(move |a| (labels[a].clone(), labels[b].clone()))
    })
}

/// A model that answers in a moment, with a question about two pictures and one about none.
pub(crate) struct Model {
    engine: Engine,
    questions: [(Vec<PromptToken>, Vec<Arc<VisualTokens>>); 2],
}

/// What an answer is: its ids, and what was kept of the pictures.
pub(crate) type Answer = (Vec<u32>, usize, usize);

impl Model {
    pub(crate) fn new() -> Self {
        let hidden = 16;
        let decoder = DecoderShape {
            hidden,
            layers: 2,
            heads: Heads {
                count: 2,
                kv_count: 1,
                dim: 8,
            },
            mlp: 16,
            vocabulary: 24,
            ..SHAPES[0].decoder
        };
        let vision = VisionShape {
            projected: hidden,
            ..SHAPES[0].vision
        };
        let threads = std::num::NonZeroUsize::new(1);
        let cpu = Cpu::new(threads).expect("one thread");
        let shape = NamedShape {
            decoder,
            vision,
            ..SHAPES[0]
        };
        let engine = Engine::random(&shape, 0, cpu, &mut |_, _| {}).expect("a small model");
        let images = [5, 4].map(|tokens| Arc::new(VisualTokens::random(tokens, hidden, 0)));
        let text = PromptToken::Text;
        let with = vec![
            text(1),
            PromptToken::Image(0),
            text(2),
            PromptToken::Image(1),
            text(3),
        ];
        Self {
            engine,
            questions: [
                (with, images.to_vec()),
                (vec![text(4), text(5)], Vec::new()),
            ],
        }
    }

    /// An answer template in this model's tokens.
    pub(crate) fn template(&self, text: &str) -> AnswerTemplate {
        let (tokenizer, card) = (self.engine.tokenizer(), self.engine.card());
        AnswerTemplate::new(Some(text), &[], tokenizer, card).expect("a template")
    }

    /// A draft in this model's tokens.
    pub(crate) fn draft(&self, text: &str) -> Draft {
        let (tokenizer, card) = (self.engine.tokenizer(), self.engine.card());
        Draft::new(text, Holes::Plain, tokenizer, card).expect("a draft")
    }

    /// Both questions under a combination.
    pub(crate) fn start(&self, combination: &[&Setting]) -> Vec<Result<Denoiser, Error>> {
        let mut options = Options {
            gen_length: 8,
            block_length: 8,
            steps: 4,
            stop: Vec::new(),
            ..Options::default()
        };
        for choice in combination {
            (choice.apply)(&mut options);
        }
        let questions = self.questions.iter();
        questions
            .map(|(prompt, images)| self.engine.start_from(prompt, images, &options))
            .collect()
    }

    /// Steps all of them together to their ends, which leave nothing masked.
    pub(crate) fn finish(&self, mut denoisers: Vec<Denoiser>) -> Vec<Answer> {
        loop {
            let mut all: Vec<&mut Denoiser> = denoisers.iter_mut().collect();
            let progress = self.engine.step(&mut all).expect("a step runs");
            if !progress.iter().any(|p| matches!(p, Progress::Stepped(_))) {
                break;
            }
        }
        let answer = |denoiser: &Denoiser| {
            let ids = denoiser.ids().to_vec();
            assert!(!ids.contains(&denoiser.mask()), "masks are left: {ids:?}");
            let outcome = denoiser.outcome();
            (ids, outcome.visual_tokens_kept, outcome.steps)
        };
        denoisers.iter().map(answer).collect()
    }

    /// Why a combination is refused; panics if it fails in any other way than by name.
    fn refusal(&self, combination: &[&Setting]) -> Option<String> {
        let started = self.start(combination).into_iter();
        let errors: Vec<Error> = started.filter_map(Result::err).collect();
        let by_name = |error: &Error| matches!(error, Error::Request { .. });
        assert!(
            errors.iter().all(by_name),
            "{}: {errors:?}",
            labels(combination)
        );
        assert!(
            errors.is_empty() || errors.len() == self.questions.len(),
            "{} depends on the pictures: {errors:?}",
            labels(combination)
        );
        errors.last().map(ToString::to_string)
    }
}
