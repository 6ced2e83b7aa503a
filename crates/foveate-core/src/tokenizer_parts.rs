//! A tokenizer that is saved in parts, `vocab.json` and `merges.txt`, as one `tokenizer.json`.
//!
//! Dream's checkpoints bring only the parts. Source: `tokenization_dream.py`: NFC, Qwen's split, bytes, merges.

use serde_json::{Map, Value, json};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// Where a text may not be merged across (Qwen2, Dream).
const SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const ADDED: &str = "added_tokens.json";

/// `tokenizer.json`, or the same made of its parts. `config` is `tokenizer_config.json`.
pub(crate) fn tokenizer_json(checkpoint: &Checkpoint, config: Option<&[u8]>) -> Result<Vec<u8>> {
    if let Some(json) = checkpoint.read("tokenizer.json")? {
        return Ok(json.into_owned());
    }
    let (Some(vocabulary), Some(merges)) = (checkpoint.read(VOCABULARY)?, checkpoint.read(MERGES)?)
    else {
        let reason = "the model has no tokenizer.json, nor vocab.json and merges.txt; is the download complete?";
        return Err(Error::malformed(checkpoint.path(), reason));
    };
    let parse = |name: &str, json: &[u8]| -> Result<Value> {
        serde_json::from_slice(json)
            .map_err(|error| Error::malformed(checkpoint.file_path(name), error.to_string()))
    };
    let vocabulary = parse(VOCABULARY, &vocabulary)?;
    let merges = str::from_utf8(&merges)
        .map_err(|error| Error::malformed(checkpoint.file_path(MERGES), error.to_string()))?;
    let listed = match config {
        Some(config) => parse("tokenizer_config.json", config)?["added_tokens_decoder"].take(),
        None => Value::Null,
    };
    let added = match (listed, checkpoint.read(ADDED)?) {
        (Value::Object(listed), _) => by_id(listed),
        (_, Some(names)) => by_name(&parse(ADDED, &names)?),
        _ => Vec::new(),
    };
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": pairs(merges),
        },
    });
    Ok(json.to_string().into_bytes())
}

/// Lines of two tokens; the first line may name a version.
fn pairs(merges: &str) -> Vec<&str> {
    let lines = merges.lines().map(str::trim).enumerate();
    lines
        .filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with("#version:")))
        .map(|(_, line)| line)
        .collect()
}

/// `added_tokens_decoder`: id → token.
fn by_id(tokens: Map<String, Value>) -> Vec<Value> {
    let token = |(id, mut token): (String, Value)| {
        token["id"] = id.parse::<u32>().ok()?.into();
        Some(token)
    };
    sorted(tokens.into_iter().filter_map(token).collect())
}

/// `added_tokens.json`: name → id; all of them are special.
fn by_name(tokens: &Value) -> Vec<Value> {
    let token = |(name, id): (&String, &Value)| {
        json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let tokens = tokens.as_object().into_iter().flatten();
    sorted(tokens.map(token).collect())
}

fn sorted(mut tokens: Vec<Value>) -> Vec<Value> {
    tokens.sort_by_key(|token| token["id"].as_u64());
    tokens
}
