//! Laws of answer templates.

mod common;

use std::num::NonZeroUsize;

use common::{engine, golden, options, picture, request};
use foveate_core::{
    AnswerTemplate, CACHES, CacheSettings, Denoiser, Engine, Method, Options, POLICIES, Policy,
    Progress, PruneSettings, Request, Tokenizer,
};
use foveate_core::{Checkpoint, Environment};
use foveate_kernels::{Cpu, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(NonZeroUsize::new(2)).unwrap())
}

fn template(engine: &Engine, text: &str, choices: &[&str]) -> AnswerTemplate {
    let choices: Vec<String> = choices.iter().map(|&c| c.to_owned()).collect();
    AnswerTemplate::new(Some(text), &choices, engine.tokenizer(), engine.card()).unwrap()
}

fn finish(engine: &Engine, request: &Request) -> Denoiser {
    let mut denoiser = engine.start(request).unwrap();
    while let Progress::Stepped(_) = engine.step(&mut [&mut denoiser]).unwrap()[0] {}
    denoiser
}

/// The parts of `text` between slots must follow each other in the answer.
fn assert_verbatim(answer: &str, literals: &[&str]) {
    let mut rest = answer;
    for literal in literals {
        let at = rest.find(literal);
        let at = at.unwrap_or_else(|| panic!("{literal:?} is missing in {answer:?}"));
        rest = &rest[at + literal.len()..];
    }
}

const TEXT: &str = "The «answer» is {slot:5}, {{surely}}: {choice:yes|no|perhaps not}.\n";
const LITERALS: [&str; 3] = ["The «answer» is ", ", {surely}: ", ".\n"];

#[test]
fn pinned_text_is_in_every_answer_verbatim() {
    let engine = cpu();
    for (name, _, policy) in POLICIES {
        for (i, (cache, method)) in CACHES.into_iter().enumerate() {
            let prune = (i % 2 == 0).then(|| PruneSettings::new(Method::Redvtp, 0.4));
            let options = Options {
                policy,
                prune,
                cache: CacheSettings::new(method),
                cfg_scale: if i % 3 == 0 { 0.5 } else { 0.0 },
                ..options()
            };
            let options = options.with_template(template(&engine, TEXT, &[]));
            let request = request(&engine, "What?", &[picture(84, 84, i as u32)], options);
            let Ok(mut denoiser) = engine.start(&request) else {
                continue; // This cache and this pruner exclude each other.
            };
            while let Progress::Stepped(_) = engine.step(&mut [&mut denoiser]).unwrap()[0] {}
            let outcome = denoiser.outcome();
            let answer = engine.decode(&outcome.ids).unwrap();
            assert_verbatim(&answer, &LITERALS);
            assert!(answer.starts_with(LITERALS[0]), "{name}, {cache}: {answer}");
            assert!(answer.ends_with(LITERALS[2]), "{name}, {cache}: {answer}");
            assert_eq!(outcome.choices.len(), 1);
            assert!(!denoiser.ids().contains(&denoiser.mask()));
        }
    }
}

#[test]
fn a_choice_is_one_of_the_options_as_a_whole() {
    let engine = cpu();
    let options_of = ["A", "something longer", "no"];
    let template = template(&engine, "{choice}{slot:2}{choice}", &options_of);
    let request = request(&engine, "Which?", &[], options().with_template(template));
    let denoiser = finish(&engine, &request);
    let outcome = denoiser.outcome();
    let answer = engine.decode(&outcome.ids).unwrap();
    let [first, second] = &outcome.choices[..] else {
        panic!("two choices");
    };
    assert!(answer.starts_with(options_of[first.option]), "{answer}");
    assert!(answer.ends_with(options_of[second.option]), "{answer}");
    for choice in [first, second] {
        let best = choice.scores.iter().copied().fold(f64::MIN, f64::max);
        assert_eq!(choice.scores.len(), 3);
        assert!(choice.scores[choice.option].total_cmp(&best).is_eq());
        assert!(choice.scores.iter().all(|score| *score < 0.0));
    }
}

#[test]
fn a_choice_of_single_tokens_follows_the_models_own_ranking() {
    let engine = cpu();
    // With every letter to choose from, the option is the model's best letter.
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let names: Vec<&str> = letters.iter().map(String::as_str).collect();
    let chosen = |names: &[&str]| {
        let options = options().with_template(template(&engine, "{choice}", names));
        let request = request(&engine, "Which?", &[picture(84, 84, 3)], options);
        let choice = finish(&engine, &request).outcome().choices.remove(0);
        names[choice.option].to_owned()
    };
    let best = chosen(&names);
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    assert_eq!(chosen(&reversed), best, "whatever their order");
    let others: Vec<&str> = names.into_iter().filter(|&n| n != best).collect();
    assert_ne!(chosen(&others), best);
}

#[test]
fn a_choice_takes_one_forward_and_waits_for_what_is_before_it() {
    let engine = cpu();
    let template = template(&engine, "{slot:4}: {choice:A|B}", &[]);
    let options = Options {
        steps: 4,
        ..options().with_template(template)
    };
    let mut denoiser = engine
        .start(&request(&engine, "Which?", &[], options))
        .unwrap();
    let mut commits = Vec::new();
    while let Progress::Stepped(step) = engine.step(&mut [&mut denoiser]).unwrap().remove(0) {
        assert_eq!(
            denoiser.outcome().choices.len(),
            usize::from(step.step == 5)
        );
        commits.push(step.commits.len());
    }
    assert_eq!(commits, [1, 1, 1, 1, 1]);
}

#[test]
fn batches_and_backends_fill_templates_alike() {
    for engine in [cpu(), engine(Reference::default())] {
        let requests: Vec<Request> = POLICIES
            .into_iter()
            .enumerate()
            .map(|(i, (_, _, policy))| {
                let text = ["{slot:3} or {choice:A|B}", "{choice:A|BB} {slot:4}", TEXT][i % 3];
                let options = Options {
                    policy,
                    cfg_scale: if i % 2 == 0 { 0.0 } else { 1.0 },
                    ..options()
                };
                let options = options.with_template(template(&engine, text, &[]));
                request(&engine, "Why?", &[picture(84, 84, i as u32)], options)
            })
            .collect();
        let mut together: Vec<Denoiser> =
            requests.iter().map(|r| engine.start(r).unwrap()).collect();
        loop {
            let mut all: Vec<&mut Denoiser> = together.iter_mut().collect();
            let results = engine.step(&mut all).unwrap();
            if results.iter().all(|r| matches!(r, Progress::Finished)) {
                break;
            }
        }
        for (request, got) in requests.iter().zip(together) {
            let alone = finish(&engine, request);
            assert_eq!(got.ids(), alone.ids(), "{}", request.options.policy);
            assert_eq!(got.outcome().choices, alone.outcome().choices);
        }
    }
}

#[test]
fn an_end_token_ends_its_slot_and_not_the_answer() {
    let folder = golden().join("../models/foveate-nano");
    let engine = Engine::load(
        &Checkpoint::open(folder).unwrap(),
        &Environment::default(),
        Cpu::new(NonZeroUsize::new(2)).unwrap(),
        &mut |_, _| {},
    )
    .unwrap();
    let text = "answer {slot:8}. end";
    for (name, _, policy) in POLICIES {
        let options = Options {
            policy,
            ..engine.default_options()
        };
        let options = options.with_template(template(&engine, text, &[]));
        let question = "Describe the image.";
        let request = request(&engine, question, &[picture(84, 84, 2)], options);
        let denoiser = finish(&engine, &request);
        let outcome = denoiser.outcome();
        let answer = engine.decode(&outcome.ids).unwrap();
        assert!(answer.starts_with("answer "), "{name}: {answer}");
        assert!(answer.ends_with(". end"), "{name}: {answer}");
        let ends = &engine.card().end;
        assert!(!outcome.ids.iter().any(|id| ends.contains(id)), "{name}");
        assert!(!outcome.ids.contains(&denoiser.mask()), "{name}");
    }
}

#[test]
fn templates_that_cannot_be_filled_are_refused_by_name() {
    let engine = cpu();
    let (tokenizer, card): (&Tokenizer, _) = (engine.tokenizer(), engine.card());
    let mask = tokenizer
        .decode(&[card.mask], foveate_core::SpecialText::Keep)
        .unwrap();
    let masked = format!("x {mask} {{slot:2}}");
    let cases: [(&str, &[&str], &str); 7] = [
        ("{slot:0}", &[], "template"),
        ("{slot:99999999}", &[], "template"),
        ("{slot:18446744073709551615}x{slot:1}", &[], "template"),
        (&masked, &[], "template"),
        ("{choice}", &["A", ""], "choices"),
        ("{choice}", &["A", "A"], "choices"),
        ("{slot:2}", &["A"], "choices"),
    ];
    for (text, choices, field) in cases {
        let choices: Vec<String> = choices.iter().map(|&c| c.to_owned()).collect();
        let error = AnswerTemplate::new(Some(text), &choices, tokenizer, card).unwrap_err();
        assert!(error.to_string().starts_with(field), "{text}: {error}");
    }
}

#[test]
fn a_canvas_that_does_not_suit_its_template_is_refused() {
    let engine = cpu();
    let fitted = options().with_template(template(&engine, "{slot:6}{choice:ab cd|e}", &[]));
    let tokens = fitted.gen_length;
    let cases = [
        (
            "gen-length",
            Options {
                gen_length: tokens + 1,
                block_length: tokens + 1,
                ..fitted.clone()
            },
        ),
        (
            "gen-length",
            Options {
                gen_length: 1,
                block_length: 1,
                steps: 1,
                ..fitted.clone()
            },
        ),
        (
            "block-length",
            Options {
                block_length: 1,
                steps: tokens,
                ..fitted.clone()
            },
        ),
    ];
    for (field, options) in cases {
        let error = engine
            .start(&request(&engine, "?", &[], options))
            .unwrap_err();
        assert!(error.to_string().starts_with(field), "{field}: {error}");
    }
}

#[test]
fn blocks_that_cut_no_choice_are_denoised_in_order() {
    let engine = cpu();
    let options = Options {
        block_length: 4,
        steps: 4,
        policy: Policy::default(),
        ..options().with_template(template(&engine, "{slot:8}", &[]))
    };
    let denoiser = finish(&engine, &request(&engine, "?", &[], options.clone()));
    let plain = Options {
        template: None,
        stop: vec!["<|eot_id|>".into()],
        ..options
    };
    let plain = finish(&engine, &request(&engine, "?", &[], plain));
    assert_eq!(
        denoiser.outcome().ids,
        plain.outcome().ids,
        "one slot is an answer without a template"
    );
}
