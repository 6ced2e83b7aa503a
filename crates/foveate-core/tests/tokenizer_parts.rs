//! A tokenizer saved as vocab.json and merges.txt is the one saved as tokenizer.json.

use std::fs;
use std::path::{Path, PathBuf};

use foveate_core::{Checkpoint, SpecialText, Tokenizer};
use serde_json::Value;

fn whole() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/checkpoints/lavida-dream-tiny-a")
}

/// The same model with its tokenizer in parts; `listed` keeps `added_tokens_decoder`.
fn parts(listed: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["config.json", "model.safetensors"] {
        fs::copy(whole().join(name), at(name)).unwrap();
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(whole().join(name)).unwrap()).unwrap()
    };
    let tokenizer = read("tokenizer.json");
    let pairs = tokenizer["model"]["merges"].as_array().unwrap();
    let side = |pair: &Value, i: usize| pair[i].as_str().unwrap().to_owned();
    let lines = pairs
        .iter()
        .map(|pair| format!("{} {}", side(pair, 0), side(pair, 1)));
    let merges = std::iter::once("#version: 0.2".to_owned()).chain(lines);
    let merges = merges.collect::<Vec<_>>().join("\n");
    fs::write(at("vocab.json"), tokenizer["model"]["vocab"].to_string()).unwrap();
    fs::write(at("merges.txt"), merges).unwrap();
    let mut config = read("tokenizer_config.json");
    if !listed {
        config
            .as_object_mut()
            .unwrap()
            .remove("added_tokens_decoder");
        let added = tokenizer["added_tokens"].as_array().unwrap().iter();
        let named = added.map(|t| (t["content"].as_str().unwrap().to_owned(), t["id"].clone()));
        let named: serde_json::Map<String, Value> = named.collect();
        fs::write(at("added_tokens.json"), Value::Object(named).to_string()).unwrap();
    }
    fs::write(at("tokenizer_config.json"), config.to_string()).unwrap();
    folder
}

fn open(folder: &Path) -> foveate_core::Result<Tokenizer> {
    Tokenizer::open(&Checkpoint::open(folder).unwrap())
}

#[test]
fn the_parts_make_the_same_ids_and_texts() {
    let want = open(&whole()).unwrap();
    for listed in [true, false] {
        let folder = parts(listed);
        let got = open(folder.path()).unwrap();
        assert_eq!(got.len(), want.len());
        assert_eq!(got.special_ids(), want.special_ids());
        for text in [
            "What is in the picture?",
            "  It's a cat,\n\n a dog's tail;\tand más…  ",
            "<|im_start|>user\nwhat<|im_end|>\n",
            "",
        ] {
            let ids = got.encode(text).unwrap();
            assert_eq!(ids, want.encode(text).unwrap(), "{text:?}");
            assert_eq!(got.decode(&ids, SpecialText::Keep).unwrap(), text);
            assert_eq!(
                got.encode_user(text).unwrap(),
                want.encode_user(text).unwrap(),
                "{text:?}"
            );
        }
    }
}

#[test]
fn digits_stand_alone_and_accents_are_composed_as_dream_has_it() {
    let folder = parts(true);
    let tokenizer = open(folder.path()).unwrap();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    assert_eq!(ids("123"), [ids("1"), ids("2"), ids("3")].concat());
    assert_eq!(ids("e\u{301}"), ids("\u{e9}"));
}

#[test]
fn a_missing_or_broken_part_is_named() {
    let cases: [(&str, Option<&str>, &str); 4] = [
        ("merges.txt", None, "vocab.json and merges.txt"),
        ("vocab.json", None, "vocab.json and merges.txt"),
        ("vocab.json", Some("{"), "vocab.json"),
        ("merges.txt", Some("a b c d"), "tokenizer.json"),
    ];
    for (name, content, word) in cases {
        let folder = parts(true);
        let file = folder.path().join(name);
        match content {
            Some(content) => fs::write(file, content).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}
