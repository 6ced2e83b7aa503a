//! Where a vision tower may lie in a checkpoint.

mod common;

use std::fs;
use std::path::Path;

use common::{engine, golden, options, picture, request, run};
use foveate_core::{Checkpoint, Engine, Environment, Result};
use foveate_kernels::Reference;
use serde_json::{Map, Value};

const STORED: &str = "model.vision_tower.vision_tower.vision_model";

/// The tiny model with its tensors renamed and others of one number added.
fn model(folder: &Path, rename: impl Fn(&str) -> String, more: &[&str]) -> Result<Engine> {
    for part in ["llada-v-tiny-a", "siglip2-tiny-patch14-84"] {
        fs::create_dir(folder.join(part)).expect("made");
        for file in fs::read_dir(golden().join("checkpoints").join(part)).expect("golden data") {
            let file = file.expect("an entry").path();
            let name = file.file_name().expect("named");
            fs::copy(&file, folder.join(part).join(name)).expect("copied");
        }
    }
    let weights = folder.join("llada-v-tiny-a/model.safetensors");
    let bytes = fs::read(&weights).expect("weights");
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..start]).expect("a header");
    let renamed = header
        .into_iter()
        .map(|(name, entry)| (rename(&name), entry));
    let mut header: Map<String, Value> = renamed.collect();
    let mut data = bytes[start..].to_vec();
    for name in more {
        let entry = serde_json::json!({"dtype": "F32", "shape": [1], "data_offsets": [data.len(), data.len() + 4]});
        header.insert((*name).to_owned(), entry);
        data.extend([0; 4]);
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let file = [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat();
    fs::write(&weights, file).expect("written");
    let checkpoint = Checkpoint::open(folder.join("llada-v-tiny-a"))?;
    Engine::load(
        &checkpoint,
        &Environment::default(),
        Reference::default(),
        &mut |_, _| {},
    )
}

#[test]
fn a_tower_named_as_in_a_plain_folder_is_the_same_tower() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let usual = engine(Reference::default());
    let unread = format!(
        "vision_model.encoder.layers.{}.mlp.fc1.bias",
        usual.card().vision.layers
    );
    let more = ["vision_model.head.probe", unread.as_str()];
    let plain = |name: &str| name.replace(STORED, "vision_model");
    let renamed = model(folder.path(), plain, &more).expect("a model");
    let answer = |engine: &Engine| {
        run(
            engine,
            &request(engine, "What is it?", &[picture(90, 120, 1)], options()),
        )
    };
    assert_eq!(answer(&renamed), answer(&usual));
}

#[test]
fn other_tensors_that_nothing_reads_are_named_with_their_shape() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = model(folder.path(), str::to_owned, &["vision_model.extra"]).err();
    let error = error.expect("a stray tensor").to_string();
    assert!(
        error.contains("vision_model.extra") && error.contains("[1]"),
        "{error}"
    );
}

#[test]
fn a_missing_tensor_is_named_with_its_shape_and_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rename = |name: &str| name.replace("model.norm.weight", "model.rmsnorm.weight");
    let error = model(folder.path(), rename, &[])
        .err()
        .expect("no norm")
        .to_string();
    for part in ["model.norm.weight", "[96]", "model.safetensors"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
