//! Answer templates and policies as a user types them: errors or a canvas, never a panic.
//!
//! Input: texts divided by `NEXT`: a policy, a template, then the options of `--choices`.

#![no_main]

use std::sync::LazyLock;

use foveate_core::{AnswerTemplate, Checkpoint, Environment, ModelCard, Policy, Tokenizer, card};
use libfuzzer_sys::fuzz_target;

const NEXT: char = '\u{1e}';

static TINY: LazyLock<(Tokenizer, ModelCard)> = LazyLock::new(|| {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../golden/checkpoints/llada-v-tiny-a"
    );
    let checkpoint = Checkpoint::open(folder).expect("the golden checkpoint");
    let tokenizer = Tokenizer::open(&checkpoint).expect("its tokenizer");
    let card = card(&checkpoint, &Environment::default()).expect("its card");
    (tokenizer, card)
});

fuzz_target!(|input: &[u8]| {
    let texts = String::from_utf8_lossy(input);
    let mut texts = texts.split(NEXT);
    if let Ok(policy) = texts.next().unwrap_or_default().parse::<Policy>() {
        let again = policy.to_string().parse::<Policy>();
        assert_eq!(again.expect("what it prints"), policy);
    }
    let template = texts.next();
    let choices: Vec<String> = texts.map(String::from).collect();
    let (tokenizer, card) = &*TINY;
    let checked = AnswerTemplate::check(template, &choices);
    let Ok(template) = AnswerTemplate::new(template, &choices, tokenizer, card) else {
        return;
    };
    assert!(checked.is_ok(), "what a tokenizer accepts is well written");
    assert!(template.open_tokens() <= template.len());
    assert!(template.len() <= card.max_rows);
});
