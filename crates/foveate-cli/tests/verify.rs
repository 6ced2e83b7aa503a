//! `foveate verify` passes on the golden data and fails on the smallest wrong thing in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden")
}

fn verify(paths: &[PathBuf], backend: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foveate"))
        .args(["verify", "--json", "--backend", backend])
        .args(paths)
        .output()
        .expect("the binary runs")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|l| serde_json::from_str(l).expect("one JSON object per line"))
        .collect()
}

/// A private copy of one LLaDA-V case and its checkpoint, to be damaged.
fn copy(case: &str) -> (tempfile::TempDir, PathBuf) {
    copy_of(case, ["llada-v-tiny-a", "siglip2-tiny-patch14-84"])
}

fn copy_of(case: &str, checkpoints: [&str; 2]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = golden();
    let checkpoints = checkpoints.map(|c| format!("checkpoints/{c}"));
    for part in checkpoints.iter().map(String::as_str).chain([case]) {
        let target = folder.path().join(part);
        std::fs::create_dir_all(&target).expect("a folder");
        for file in std::fs::read_dir(root.join(part)).expect("golden data") {
            let file = file.expect("an entry").path();
            std::fs::copy(&file, target.join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    let case = folder.path().join(case);
    (folder, case)
}

/// Rewrites one tensor's bytes.
fn change(file: &Path, name: &str, edit: impl Fn(&mut Vec<u8>)) {
    let bytes = std::fs::read(file).expect("tensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let changed: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .tensors()
        .into_iter()
        .map(|(n, t)| {
            let mut data = t.data().to_vec();
            if n == name {
                edit(&mut data);
            }
            (n, t.dtype(), t.shape().to_vec(), data)
        })
        .collect();
    let views = changed
        .iter()
        .map(|(n, d, s, b)| (n, TensorView::new(*d, s.clone(), b).expect("a view")));
    std::fs::write(
        file,
        safetensors::serialize(views, None).expect("serialised"),
    )
    .expect("written");
}

fn assert_fails(case: PathBuf, what: &str) {
    let output = verify(&[case], "cpu");
    assert_eq!(output.status.code(), Some(1), "{what} must fail");
    let line = &lines(&output)[0];
    assert_eq!(line["status"], "fail", "{what}");
    assert!(line["reason"].is_string(), "{what} has no reason");
}

#[test]
fn the_golden_cases_of_the_repository_pass_on_every_backend() {
    for backend in ["cpu", "portable", "reference"] {
        let output = verify(&[golden()], backend);
        let lines = lines(&output);
        assert!(lines.len() >= 8, "expected every case, got {}", lines.len());
        for line in &lines {
            assert_eq!(line["status"], "pass", "{backend}: {line}");
            assert!(!line["checks"].as_array().expect("checks").is_empty());
        }
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn one_flipped_id_fails() {
    let (_folder, case) = copy("redvtp_lladav_r025_gen2");
    change(&case.join("tensors.safetensors"), "step_ids", |data| {
        let last = data.len() - 8;
        data[last] ^= 1;
    });
    assert_fails(case, "a flipped id");
}

#[test]
fn one_flipped_id_of_the_whole_output_fails() {
    let checkpoints = ["lavida-dream-tiny-a", "siglip-tiny-patch14-98"];
    for id in [0, 200] {
        let (_folder, case) = copy_of("lavida_dream_maskgit_plus", checkpoints);
        change(&case.join("tensors.safetensors"), "output_ids", |data| {
            data[8 * id] ^= 1;
        });
        assert_fails(case, "a flipped id of the output");
    }
}

#[test]
fn a_case_that_does_not_fit_itself_fails_alone() {
    for (tensor, byte) in [("prune_range", 9), ("prune_range", 0)] {
        let (_folder, case) = copy("redvtp_lladav_r025_gen2");
        change(&case.join("tensors.safetensors"), tensor, |data| {
            data[byte] ^= 0x10;
        });
        let output = verify(&[case, golden().join("lladav_stop")], "cpu");
        assert_eq!(output.status.code(), Some(1), "{tensor}");
        let statuses: Vec<_> = lines(&output).iter().map(|l| l["status"].clone()).collect();
        assert_eq!(statuses, ["fail", "pass"], "{tensor}");
    }
    let (_folder, case) = copy("lladav_text_only");
    let manifest = case.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for key in ["gen_length", "block_length", "steps"] {
        json["generate_args"][key] = 128.into();
    }
    std::fs::write(&manifest, json.to_string()).expect("written");
    assert_fails(case, "an answer of another length");
}

#[test]
fn one_shifted_kept_index_fails() {
    let (_folder, case) = copy("redvtp_lladav_r025_gen2");
    change(
        &case.join("tensors.safetensors"),
        "keep_local_idx",
        |data| data[0] += 1,
    );
    assert_fails(case, "a shifted kept index");
}

#[test]
fn any_weight_scaled_by_one_percent_fails() {
    let weights = [
        "model.layers.2.self_attn.q_proj.weight",
        "model.layers.4.mlp.down_proj.weight",
        "model.norm.weight",
        "lm_head.weight",
        "model.mm_projector.0.weight",
        "model.vision_tower.vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias",
        "model.image_newline",
    ];
    for weight in weights {
        let (folder, case) = copy("lladav_small_1x1");
        let model = folder
            .path()
            .join("checkpoints/llada-v-tiny-a/model.safetensors");
        change(&model, weight, |data| {
            for value in data.as_chunks_mut::<4>().0 {
                *value = (f32::from_le_bytes(*value) * 1.01).to_le_bytes();
            }
        });
        assert_fails(case, weight);
    }
}

#[test]
fn what_is_not_built_yet_is_skipped_with_a_reason() {
    let (_folder, case) = copy("lladav_small_1x1");
    let manifest = case.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    std::fs::write(&manifest, text.replace("\"llada-v\"", "\"another-family\"")).expect("written");
    let output = verify(&[case], "cpu");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output)[0]["status"], "skipped");
}

#[test]
fn a_broken_case_is_a_failure_and_not_a_crash() {
    let (_folder, case) = copy("lladav_small_1x1");
    std::fs::write(case.join("manifest.json"), "{").expect("written");
    assert_fails(case, "a broken manifest");
    let output = verify(&[PathBuf::from("no/such/folder")], "cpu");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/folder"));
}
