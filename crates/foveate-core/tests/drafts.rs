//! Laws of drafts: what is given stays, only holes and what follows are filled.

mod common;

use std::num::NonZeroUsize;
use std::sync::Arc;

use common::{engine, engine_of, options, request};
use foveate_core::{
    CACHES, CacheSettings, Denoiser, Draft, Engine, Holes, Options, POLICIES, Policy, Progress,
    Request,
};
use foveate_kernels::{Cpu, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(NonZeroUsize::new(2)).unwrap())
}

fn draft(engine: &Engine, text: &str) -> Draft {
    Draft::new(text, Holes::Plain, engine.tokenizer(), engine.card()).unwrap()
}

fn drafted(engine: &Engine, draft: Draft) -> Request {
    let options = Options {
        gen_length: 24,
        block_length: 12,
        steps: 12,
        draft: Some(Arc::new(draft)),
        ..options()
    };
    request(engine, "What?", &[], options)
}

fn finish(engine: &Engine, request: &Request) -> Denoiser {
    let mut denoiser = engine.start(request).unwrap();
    while let Progress::Stepped(_) = engine.step(&mut [&mut denoiser]).unwrap()[0] {}
    denoiser
}

const TEXT: &str = "It {{is}} {slot:4}, é{slot:2}!";

#[test]
fn only_masks_are_filled_under_every_policy_and_cache() {
    for engine in [
        cpu(),
        engine_of(
            "lavida-dream-tiny-a",
            Cpu::new(NonZeroUsize::new(2)).unwrap(),
        ),
    ] {
        for (i, (name, _, policy)) in POLICIES.into_iter().enumerate() {
            let mut request = drafted(&engine, draft(&engine, TEXT));
            request.options.policy = policy;
            request.options.cache = CacheSettings::new(CACHES[i % CACHES.len()].1);
            let Ok(before) = engine.start(&request) else {
                continue; // This policy excludes this cache or family.
            };
            let after = finish(&engine, &request);
            let mask = before.mask();
            for (given, got) in before.ids().iter().zip(after.ids()) {
                assert!(*given == mask || given == got, "{name}");
            }
            let given = before.ids().iter().filter(|id| **id != mask).count();
            assert!(given > 4, "{name}");
            assert!(!after.ids().contains(&mask), "{name}: {:?}", after.ids());
        }
    }
}

#[test]
fn given_text_is_in_the_answer_verbatim() {
    let engine = cpu();
    let denoiser = finish(&engine, &drafted(&engine, draft(&engine, TEXT)));
    let text = engine.answer(&denoiser.outcome()).unwrap();
    assert!(text.starts_with("It {is} "), "{text:?}");
    assert!(text.contains(", é") && text.contains('!'), "{text:?}");
}

#[test]
fn a_draft_without_holes_is_a_longer_prompt() {
    // Under full attention a given token is a row like any other, wherever it came from.
    let engine = cpu();
    let text = "It is a";
    let given = draft(&engine, text);
    let tokens = given.len();
    let mut prompt = engine
        .prompt(
            &drafted(&engine, draft(&engine, text)).messages,
            foveate_core::ThinkMode::Unset,
        )
        .unwrap();
    let ids = engine.tokenizer().encode_user(text).unwrap();
    assert_eq!(ids.len(), tokens);
    prompt.extend(ids.into_iter().map(foveate_core::PromptToken::Text));
    let rest = 24 - tokens;
    let plain = Options {
        gen_length: rest,
        block_length: rest,
        steps: rest,
        policy: Policy::default(),
        ..options()
    };
    let mut longer = engine.start_from(&prompt, &[], &plain).unwrap();
    // The same budget: one token a step, all in one block.
    let mut request = drafted(&engine, draft(&engine, text));
    (request.options.block_length, request.options.steps) = (24, rest);
    let mut within = engine.start(&request).unwrap();
    assert_eq!(longer.rows(), within.rows());
    for _ in 0..rest {
        engine.step(&mut [&mut longer]).unwrap();
        engine.step(&mut [&mut within]).unwrap();
        assert_eq!(longer.ids(), &within.ids()[tokens..]);
    }
}

#[test]
fn a_stop_inside_the_draft_ends_nothing() {
    let engine = cpu();
    let mut request = drafted(&engine, draft(&engine, "a\nb {slot:2}"));
    request.options.stop = vec!["\n".into()];
    let denoiser = finish(&engine, &request);
    let outcome = denoiser.outcome();
    assert!(outcome.response >= outcome.draft, "{outcome:?}");
    assert!(outcome.draft >= 5);
}

#[test]
fn holes_of_the_infilling_model_end_with_its_marker() {
    let engine = cpu();
    let (tokenizer, card) = (engine.tokenizer(), engine.card());
    let marker = tokenizer.id("<|reserved_token_1|>").unwrap();
    let marked = Draft::new("a{slot:2}b{slot:1}", Holes::Marked, tokenizer, card).unwrap();
    let denoiser = engine.start(&drafted(&engine, marked)).unwrap();
    let (a, b) = (
        tokenizer.encode_user("a").unwrap()[0],
        tokenizer.encode_user("b").unwrap()[0],
    );
    let mask = denoiser.mask();
    assert_eq!(
        denoiser.ids()[..7],
        [a, mask, mask, marker, b, mask, marker]
    );
    let dream = engine_of("lavida-dream-tiny-a", Reference::default());
    let error = Draft::new("{slot:2}", Holes::Marked, dream.tokenizer(), dream.card());
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("<|reserved_token_1|>")
    );
}

#[test]
fn drafts_that_cannot_be_are_refused_by_name() {
    let engine = cpu();
    let (tokenizer, card) = (engine.tokenizer(), engine.card());
    for (text, reason) in [
        ("", "got nothing"),
        ("{slot:0}", "from 1 on"),
        ("{slot:99999999}", "at most"),
        ("{choice:a|b}", "template"),
        ("{slot:2", "without its }"),
        ("a <|mdm_mask|> b", "mask token"),
    ] {
        let error = Draft::new(text, Holes::Plain, tokenizer, card)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("draft") && error.contains(reason),
            "{text}: {error}"
        );
    }
    for ids in [[Some(card.mask)], [Some(u32::MAX)]] {
        let error = Draft::of(&ids, card).unwrap_err().to_string();
        assert!(error.contains("draft"), "{error}");
    }
    let long = draft(&engine, "{slot:25}");
    let error = engine
        .start(&drafted(&engine, long))
        .unwrap_err()
        .to_string();
    assert!(error.contains("draft") && error.contains("25"), "{error}");
}
