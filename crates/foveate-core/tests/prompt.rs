//! Prompts against the ids that the reference implementations produced.
//!
//! `FOVEATE_GOLDEN` names another folder of the same layout with more cases.

use std::path::PathBuf;

use foveate_core::{
    ChatTemplate, Checkpoint, LLAVA_SYSTEM_PROMPT, Message, PromptBuilder, PromptToken,
    SpecialText, ThinkMode, Tokenizer,
};
use serde_json::Value;

fn golden() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden");
    std::env::var_os("FOVEATE_GOLDEN").map_or_else(|| own.into(), PathBuf::from)
}

fn model(name: &str) -> (Tokenizer, ChatTemplate) {
    let checkpoint = Checkpoint::open(golden().join("checkpoints").join(name)).expect("opens");
    let tokenizer = Tokenizer::open(&checkpoint).expect("tokenizer");
    (
        tokenizer,
        ChatTemplate::open(&checkpoint, ChatTemplate::LLADA).expect("template"),
    )
}

/// An image in the reference's ids.
const IMAGE_TOKEN_INDEX: i64 = -200;

#[test]
fn prompts_equal_the_references_ids() {
    let mut cases = 0;
    for entry in std::fs::read_dir(golden()).expect("golden folder") {
        let folder = entry.expect("entry").path();
        let Ok(manifest) = std::fs::read(folder.join("manifest.json")) else {
            continue;
        };
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let Some(question) = manifest["question"].as_str() else {
            continue;
        };
        let (tokenizer, template) = model(manifest["checkpoint"].as_str().expect("named"));
        let images = manifest["image_sizes_wh"].as_array().map_or(0, Vec::len);
        let builder = PromptBuilder {
            tokenizer: &tokenizer,
            template: &template,
            system_prompt: LLAVA_SYSTEM_PROMPT,
            think: ThinkMode::Unset,
        };
        let prompt = builder
            .build(&[Message::user(question, images)])
            .expect("prompt");
        let ids = prompt.ids.iter().map(|token| match token {
            PromptToken::Text(id) => i64::from(*id),
            PromptToken::Image(_) => IMAGE_TOKEN_INDEX,
        });

        let bytes = std::fs::read(folder.join("tensors.safetensors")).expect("tensors");
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
        let expected = tensors.tensor("input_ids").expect("input_ids");
        let expected = expected
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|id| i64::from_le_bytes(*id));
        assert!(ids.eq(expected), "{}", folder.display());
        cases += 1;
    }
    assert!(cases >= 7, "only {cases} cases");
    println!("{cases} cases");
}

#[test]
fn special_ids_are_those_of_the_reference() {
    let (tokenizer, _) = model("llada-v-tiny-a");
    let ids = tokenizer.special_ids();
    assert_eq!(
        (ids.bos, ids.eos, ids.eot, ids.mask),
        (Some(560), Some(561), Some(578), 568)
    );
    assert_eq!((ids.start_header, ids.end_header), (Some(576), Some(577)));
    assert_eq!(tokenizer.len(), 579);
    assert_eq!(tokenizer.id("<|mdm_mask|>"), Some(568));
    assert_eq!(tokenizer.id("no such token"), None);
}

#[test]
fn trusted_text_encodes_as_the_plain_tokenizer_does() {
    let (tokenizer, _) = model("llada-v-tiny-a");
    let file = golden().join("checkpoints/llada-v-tiny-a/tokenizer.json");
    let plain = tokenizers::Tokenizer::from_file(file).expect("tokenizer");
    for text in [
        "",
        "Hello, world!\n\n  two  spaces",
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nHi <|eot_id|> there",
        "<|mdm_mask|><|mdm_mask|>a<|mdm_mask",
        "[CLS]ünïcödé 漢字 🎉</role>",
    ] {
        let expected = plain.encode_fast(text, false).expect("encodes");
        assert_eq!(
            tokenizer.encode(text).expect("encodes"),
            expected.get_ids(),
            "{text}"
        );
    }
}

#[test]
fn user_text_never_becomes_a_special_token_and_decodes_to_itself() {
    let (tokenizer, _) = model("llada-v-tiny-a");
    let mask = tokenizer.special_ids().mask;
    for text in ["<|mdm_mask|>", "x<|eot_id|>y", "[CLS]", "plain"] {
        let ids = tokenizer.encode_user(text).expect("encodes");
        assert_eq!(
            tokenizer.decode(&ids, SpecialText::Skip).expect("decodes"),
            text
        );
        assert!(!ids.contains(&mask));
    }
    let ids = tokenizer.encode("a<|eot_id|>").expect("encodes");
    assert_eq!(
        tokenizer.decode(&ids, SpecialText::Keep).expect("decodes"),
        "a<|eot_id|>"
    );
    assert_eq!(
        tokenizer.decode(&ids, SpecialText::Skip).expect("decodes"),
        "a"
    );
}

#[test]
fn a_special_token_that_the_file_calls_ordinary_is_guarded_all_the_same() {
    let folder = golden().join("checkpoints/llada-v-tiny-a");
    let json = std::fs::read_to_string(folder.join("tokenizer.json")).expect("read");
    let mut json: Value = serde_json::from_str(&json).expect("JSON");
    for token in json["added_tokens"].as_array_mut().expect("list") {
        token["special"] = Value::Bool(false);
        token["normalized"] = Value::Bool(true);
    }
    let tokenizer =
        Tokenizer::from_bytes(json.to_string().as_bytes(), None, &folder).expect("reads");
    let mask = tokenizer.special_ids().mask;
    assert!(
        !tokenizer
            .encode_user("a<|mdm_mask|>b")
            .expect("encodes")
            .contains(&mask)
    );
    assert!(
        tokenizer
            .encode("a<|mdm_mask|>b")
            .expect("encodes")
            .contains(&mask)
    );
}

#[test]
fn a_tokenizer_without_a_mask_is_refused() {
    let folder = golden().join("checkpoints/llada-v-tiny-a");
    let json = std::fs::read_to_string(folder.join("tokenizer.json")).expect("read");
    let json = json.replace("<|mdm_mask|>", "<|nothing|>");
    let error = Tokenizer::from_bytes(json.as_bytes(), None, &folder).expect_err("no mask");
    assert!(error.to_string().contains("no mask token"), "{error}");
    assert!(Tokenizer::from_bytes(b"{", None, &folder).is_err());
}
