//! Checkpoints on disk: whole, sharded, built in, incomplete, hostile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foveate_core::{
    Checkpoint, Dialect, Environment, Error, GenerationDefaults, Identity, ModelConfig, Result,
    VisionConfig, VisionTower,
};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden/checkpoints")
        .join(name)
}

/// One tensor of a made-up file: name, type, shape, offsets.
type Tensor<'a> = (&'a str, &'a str, &'a [u64], [u64; 2]);

fn header(tensors: &[Tensor<'_>]) -> String {
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, dtype, shape, offsets)| {
            format!(
                r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{offsets:?}}}"#
            )
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn file(header: &[u8], data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend((0..data).map(|byte| byte as u8));
    bytes
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("config.json"), "{}").expect("written");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("written");
    }
    folder
}

fn open(files: &[(&str, &[u8])]) -> Result<()> {
    Checkpoint::open(folder(files).path()).map(drop)
}

#[test]
fn the_golden_checkpoint_is_read_tensor_by_tensor() {
    let model = Checkpoint::open(golden("llada-v-tiny-a")).expect("opens");
    let names: Vec<String> = model.names().map(str::to_owned).collect();
    for name in &names {
        let shape = model.tensor(name).expect("supported").shape;
        let tensor = model.take(name, &shape).expect("taken");
        assert!(
            tensor.to_f32().iter().all(|value| value.is_finite()),
            "{name}"
        );
    }
    model.finish(&[]).expect("all taken");
}

#[test]
fn tensors_that_nobody_took_are_named_unless_declared_ignorable() {
    let bytes = file(
        header(&[
            ("a", "F32", &[2], [0, 8]),
            ("b.position_ids", "I64", &[1], [8, 16]),
        ])
        .as_bytes(),
        16,
    );
    let folder = folder(&[("model.safetensors", &bytes)]);
    let model = Checkpoint::open(folder.path()).expect("opens");
    let error = model
        .finish(&["*.position_ids"])
        .expect_err("a is untaken")
        .to_string();
    assert!(
        error.contains("\"a\"") && error.contains("model.safetensors"),
        "{error}"
    );
    model.take("a", &[2]).expect("taken");
    assert!(model.finish(&[]).is_err());
    model
        .finish(&["*.position_ids"])
        .expect("all taken or ignored");
}

#[test]
fn missing_misshapen_and_unsupported_tensors_say_what_was_expected() {
    let bytes = file(
        header(&[("a", "F32", &[2, 2], [0, 16]), ("b", "I64", &[1], [16, 24])]).as_bytes(),
        24,
    );
    let folder = folder(&[("model.safetensors", &bytes)]);
    let model = Checkpoint::open(folder.path()).expect("opens");
    for (name, shape, expected) in [
        ("c", vec![1], "expected [1], got no tensor of this name"),
        ("a", vec![4], "expected [4], got [2, 2] (shard 1 of 1)"),
        ("b", vec![1], "expected F32, F16 or BF16, got I64"),
    ] {
        let error = model.take(name, &shape).expect_err(name).to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    assert!(model.finish(&[]).is_err(), "a failed take does not count");
}

#[test]
fn hostile_weight_files_are_errors() {
    let f32s = |shape: &[u64], offsets| header(&[("a", "F32", shape, offsets)]);
    let two = |first, second| header(&[("a", "F32", &[2], first), ("b", "F32", &[2], second)]);
    let twice = header(&[("a", "F32", &[2, 1], [0, 8]), ("a", "F32", &[1, 2], [0, 8])]);
    let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let beyond = [&100_u64.to_le_bytes()[..], b"{}"].concat();
    let huge = [&(50_u64 << 20).to_le_bytes()[..], b"{}"].concat();
    for (case, bytes) in [
        ("empty", Vec::new()),
        ("only a length", vec![1, 0, 0]),
        ("header longer than memory", long),
        ("header longer than the file", beyond),
        ("header over the limit", huge),
        ("truncated JSON", file(br#"{"a":{"dtype":"F32""#, 0)),
        ("not UTF-8", file(b"{\"\xff\":1}", 0)),
        ("not an object", file(b"[]", 0)),
        ("tensor listed twice", file(twice.as_bytes(), 8)),
        ("data too short", file(f32s(&[2], [0, 8]).as_bytes(), 7)),
        ("data too long", file(f32s(&[2], [0, 8]).as_bytes(), 9)),
        (
            "shape and bytes disagree",
            file(f32s(&[3], [0, 8]).as_bytes(), 8),
        ),
        ("offsets backwards", file(f32s(&[2], [8, 0]).as_bytes(), 8)),
        (
            "offsets out of range",
            file(f32s(&[2], [1 << 60, (1 << 60) + 8]).as_bytes(), 8),
        ),
        (
            "too many elements",
            file(f32s(&[u64::MAX, u64::MAX], [0, 8]).as_bytes(), 8),
        ),
        (
            "too many bytes",
            file(f32s(&[1 << 62, 4], [0, 8]).as_bytes(), 8),
        ),
        ("overlap", file(two([0, 8], [4, 12]).as_bytes(), 12)),
        ("gap", file(two([0, 8], [12, 20]).as_bytes(), 20)),
        (
            "unknown type",
            file(header(&[("a", "F99", &[2], [0, 8])]).as_bytes(), 8),
        ),
        (
            "negative shape",
            file(
                br#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
                4,
            ),
        ),
        ("deep JSON", file("[".repeat(100_000).as_bytes(), 0)),
    ] {
        let error = open(&[("model.safetensors", &bytes)]).expect_err(case);
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{case}: {error:?}"
        );
        assert!(
            error.to_string().contains("model.safetensors"),
            "{case}: {error}"
        );
    }
}

#[test]
fn hostile_or_incomplete_indices_are_errors() {
    let shard = file(header(&[("a", "F32", &[2], [0, 8])]).as_bytes(), 8);
    for (case, index, message) in [
        ("bad JSON", "{", "not a shard index"),
        ("no map", "{}", "weight_map"),
        ("empty map", r#"{"weight_map":{}}"#, "0 files"),
        (
            "not names",
            r#"{"weight_map":{"a":1}}"#,
            "not a shard index",
        ),
        (
            "parent",
            r#"{"weight_map":{"a":"../s"}}"#,
            "without a folder",
        ),
        (
            "absolute",
            r#"{"weight_map":{"a":"/etc/passwd"}}"#,
            "without a folder",
        ),
        (
            "backslash",
            r#"{"weight_map":{"a":"..\\s"}}"#,
            "without a folder",
        ),
        ("dots", r#"{"weight_map":{"a":".."}}"#, "without a folder"),
        (
            "nul",
            r#"{"weight_map":{"a":"s\u0000"}}"#,
            "without a folder",
        ),
        (
            "missing shard",
            r#"{"weight_map":{"a":"t"}}"#,
            "does not exist",
        ),
        (
            "missing tensor",
            r#"{"weight_map":{"a":"s","b":"s"}}"#,
            "places it here",
        ),
    ] {
        let files = [
            ("model.safetensors.index.json", index.as_bytes()),
            ("s", &shard[..]),
        ];
        let error = open(&files).expect_err(case).to_string();
        assert!(error.contains(message), "{case}: {error}");
    }
}

#[test]
fn a_tensor_that_the_index_does_not_list_is_unexpected() {
    let shard = file(
        header(&[("a", "F32", &[1], [0, 4]), ("b", "F32", &[1], [4, 8])]).as_bytes(),
        8,
    );
    let index = br#"{"weight_map":{"a":"s"}}"#;
    let folder = folder(&[("model.safetensors.index.json", index), ("s", &shard)]);
    let model = Checkpoint::open(folder.path()).expect("opens");
    model.take("a", &[1]).expect("taken");
    assert!(!model.contains("b"));
    assert!(
        model
            .finish(&[])
            .expect_err("b")
            .to_string()
            .contains("\"b\"")
    );
    model.finish(&["b"]).expect("ignored");
}

#[test]
fn a_sharded_checkpoint_equals_the_single_file() {
    let single = Checkpoint::open(golden("llada-v-tiny-a")).expect("opens");
    let mut shards: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (index, name) in single.names().enumerate() {
        shards
            .entry(format!("model-0000{}-of-00003.safetensors", index % 3 + 1))
            .or_default()
            .push(name);
    }
    let folder = folder(&[]);
    let mut map = Vec::new();
    for (shard, names) in &shards {
        let views = names.iter().map(|name| {
            let tensor = single.tensor(name).expect("supported");
            let dtype = safetensors::Dtype::F32;
            let view = safetensors::tensor::TensorView::new(dtype, tensor.shape, tensor.bytes);
            (*name, view.expect("valid"))
        });
        let bytes = safetensors::serialize(views, None).expect("serialised");
        std::fs::write(folder.path().join(shard), bytes).expect("written");
        map.extend(names.iter().map(|name| format!("{name:?}:{shard:?}")));
    }
    let index = format!(r#"{{"metadata":{{}},"weight_map":{{{}}}}}"#, map.join(","));
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).expect("written");

    let sharded = Checkpoint::open(folder.path()).expect("opens");
    assert!(sharded.names().eq(single.names()));
    for name in single.names() {
        let (a, b) = (
            single.tensor(name).expect("read"),
            sharded.tensor(name).expect("read"),
        );
        assert_eq!((a.shape, a.bytes), (b.shape, b.bytes), "{name}");
    }
}

#[test]
fn a_built_in_model_reads_like_a_folder() {
    let header = header(&[("a", "F32", &[1], [0, 4])]);
    let weights: &'static [u8] = Vec::leak(file(header.as_bytes(), 4));
    let tower: &[u8] = br#"{"vision_config": {"hidden_size": 48, "num_attention_heads": 4}}"#;
    let files = vec![("config.json", &b"{}"[..]), ("model.safetensors", weights)];
    let files = [files, vec![("tower/config.json", tower)]].concat();
    let model = Checkpoint::embedded(Vec::leak(files)).expect("opens");
    assert_eq!(model.take("a", &[1]).expect("taken").bytes, [0, 1, 2, 3]);
    model.finish(&[]).expect("all taken");
    let tower = VisionTower::find("tower", &model, &Environment::default()).expect("found");
    assert_eq!(tower.config.hidden_size, 48);
}

#[test]
fn folders_that_are_no_models_say_what_is_missing() {
    let empty = tempfile::tempdir().expect("temporary folder");
    let error = Checkpoint::open(empty.path())
        .expect_err("empty")
        .to_string();
    assert!(error.contains("no config.json"), "{error}");
    let error = open(&[("pytorch_model.bin", b"")])
        .expect_err("no weights")
        .to_string();
    assert!(error.contains("only safetensors"), "{error}");
}

#[test]
fn the_golden_configs_are_read() {
    let model = Checkpoint::open(golden("llada-v-tiny-a")).expect("opens");
    let json = model.require("config.json").expect("present");
    let file = model.file_path("config.json");
    let identity = Identity::parse(&json, &file).expect("named");
    assert_eq!(identity.key(), "LlavaLLaDAModelLM");
    let config = ModelConfig::parse(&json, &file, Dialect::Llama).expect("valid");
    assert_eq!(
        (
            config.language.hidden_size,
            config.language.num_hidden_layers
        ),
        (96, 5)
    );
    assert_eq!(config.multimodal.mm_hidden_size, 48);
    let json = model.require("generation_config.json").expect("present");
    let defaults = GenerationDefaults::parse(&json, &file).expect("valid");
    assert_eq!(defaults, GenerationDefaults::default());
}

#[test]
fn the_vision_tower_is_found_beside_the_model_or_by_its_released_name() {
    let model = Checkpoint::open(golden("llada-v-tiny-a")).expect("opens");
    let find = |name: &str| VisionTower::find(name, &model, &Environment::default());
    for name in [
        "siglip2-tiny-patch14-84",
        "/training/siglip2-tiny-patch14-84/",
    ] {
        let tower = find(name).expect("sibling");
        assert_eq!(
            (tower.config.image_size, tower.config.used_layers()),
            (84, 3)
        );
        assert!(tower.preprocessor.is_some());
    }
    let released = find("google/siglip2-so400m-patch14-384").expect("released");
    assert_eq!(released.config, VisionConfig::SO400M_PATCH14_384);
    assert!(matches!(find("org/clip"), Err(Error::ModelNotFound { .. })));
}
