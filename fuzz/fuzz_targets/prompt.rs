//! Text from a user and templates from a model: only the template writes special tokens, only
//! images make slots.
//!
//! Input: a byte of flags, then texts divided by `NEXT`. With `TEMPLATE` the first text is a chat
//! template; the others are the messages.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use foveate_core::{
    ChatTemplate, Checkpoint, LLAVA_SYSTEM_PROMPT, Message, Prompt, PromptBuilder, PromptToken,
    Role, SpecialText, ThinkMode, Tokenizer,
};
use libfuzzer_sys::fuzz_target;

const TEMPLATE: u8 = 1;
const SYSTEM_PROMPT: u8 = 2;
const THINK: u8 = 4;
const HISTORY: u8 = 8;
const IMAGES_SHIFT: u32 = 6;
const NEXT: char = '\u{1e}';

static TINY: LazyLock<(Tokenizer, ChatTemplate, Vec<u32>)> = LazyLock::new(|| {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../golden/checkpoints/llada-v-tiny-a"
    );
    let checkpoint = Checkpoint::open(folder).expect("the golden checkpoint");
    let tokenizer = Tokenizer::open(&checkpoint).expect("its tokenizer");
    let template = ChatTemplate::open(&checkpoint, ChatTemplate::LLADA).expect("its template");
    // Special ids are those that decoding can leave out.
    let hidden = |id: &u32| {
        let decoded = tokenizer
            .decode(&[*id], SpecialText::Skip)
            .expect("decodes");
        decoded.is_empty()
    };
    let specials: Vec<u32> = (0..tokenizer.len() as u32).filter(hidden).collect();
    assert!(specials.contains(&tokenizer.special_ids().mask));
    (tokenizer, template, specials)
});

fuzz_target!(|input: &[u8]| {
    let Some((flags, texts)) = input.split_first() else {
        return;
    };
    let texts = String::from_utf8_lossy(texts);
    let mut texts = texts.split(NEXT);
    let (tokenizer, golden, _) = &*TINY;
    let given = (flags & TEMPLATE != 0).then(|| texts.next().unwrap_or_default());
    let messages = conversation(texts, *flags);
    let builder = PromptBuilder {
        tokenizer,
        template: golden,
        system_prompt: if flags & SYSTEM_PROMPT == 0 {
            ""
        } else {
            LLAVA_SYSTEM_PROMPT
        },
        think: if flags & THINK == 0 {
            ThinkMode::Unset
        } else {
            ThinkMode::NoThink
        },
    };
    if let Some(source) = given {
        let config = serde_json::json!({"bos_token": "<|startoftext|>", "eos_token": null});
        let Ok(template) = ChatTemplate::new(source, &config, Path::new("chat_template.jinja"))
        else {
            return;
        };
        let builder = PromptBuilder {
            template: &template,
            ..builder
        };
        if let Ok(prompt) = builder.build(&messages) {
            check_slots(&prompt, &messages);
        }
    } else {
        check_golden(&builder, &messages);
    }
});

/// The last message is the user's and has the images.
fn conversation<'a>(texts: impl Iterator<Item = &'a str>, flags: u8) -> Vec<Message> {
    let texts: Vec<&str> = texts.collect();
    let last = texts.len().saturating_sub(1);
    let message = |(index, text): (usize, &&str)| Message {
        role: match (index == last, flags & HISTORY != 0, index % 2) {
            (false, true, 1) => Role::Assistant,
            (false, false, _) => Role::System,
            _ => Role::User,
        },
        text: (*text).to_owned(),
        images: if index == last {
            usize::from(flags >> IMAGES_SHIFT)
        } else {
            0
        },
    };
    texts.iter().enumerate().map(message).collect()
}

fn check_golden(builder: &PromptBuilder<'_>, messages: &[Message]) {
    let (tokenizer, _, specials) = &*TINY;
    if messages.is_empty() {
        assert!(builder.build(messages).is_err());
        return;
    }
    let prompt = builder.build(messages).expect("every text can be encoded");
    check_slots(&prompt, messages);

    // A blank question stays blank: as in the references, the token after an image is dropped, and
    // without a text that is the end of the turn.
    let plain = |text: &str| if text.trim().is_empty() { "" } else { "x" };
    let plain: Vec<Message> = messages
        .iter()
        .map(|message| Message {
            text: plain(&message.text).to_owned(),
            ..message.clone()
        })
        .collect();
    let plain = builder.build(&plain).expect("plain text");
    let found = |prompt: &Prompt| -> Vec<u32> {
        ids(prompt)
            .into_iter()
            .filter(|id| specials.contains(id))
            .collect()
    };
    assert_eq!(
        found(&prompt),
        found(&plain),
        "only the template writes special tokens"
    );
    assert!(!ids(&prompt).contains(&tokenizer.special_ids().mask));

    // The line break after an image is lost on purpose, and the text's own breaks with it.
    if prompt.images() == 0 {
        let decoded = tokenizer
            .decode(&ids(&prompt), SpecialText::Keep)
            .expect("decodes");
        for message in messages {
            assert!(
                decoded.contains(message.text.trim()),
                "{:?} in {decoded:?}",
                message.text
            );
        }
    }
}

/// Every image once and in order.
fn check_slots(prompt: &Prompt, messages: &[Message]) {
    let slot = |token: &PromptToken| match token {
        PromptToken::Image(index) => Some(*index),
        PromptToken::Text(_) => None,
    };
    let images: usize = messages.iter().map(|message| message.images).sum();
    assert!(prompt.ids.iter().filter_map(slot).eq(0..images));
}

fn ids(prompt: &Prompt) -> Vec<u32> {
    let id = |token: &PromptToken| match token {
        PromptToken::Text(id) => Some(*id),
        PromptToken::Image(_) => None,
    };
    prompt.ids.iter().filter_map(id).collect()
}
