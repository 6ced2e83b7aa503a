//! Weight files and shard indices: whatever opens has tensors of exactly the bytes they claim.
//!
//! Input: a byte of flags, then files divided by `FILE`. The first is the index where `INDEXED` is
//! set, all others are shards `a.safetensors`, `b.safetensors` …. With `LENGTH_ADDED` a shard is a
//! header and its data divided by `DATA`, and the header's length is put in front, so that
//! mutations reach beyond the first eight bytes.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use foveate_core::Checkpoint;
use libfuzzer_sys::fuzz_target;

const INDEXED: u8 = 1;
const LENGTH_ADDED: u8 = 2;
const FILE: &[u8] = b"\n=\n";
const DATA: &[u8] = b"\n-\n";
const SHARDS: [&str; 3] = ["a.safetensors", "b.safetensors", "c.safetensors"];

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|input: &[u8]| {
    let Some((flags, files)) = input.split_first() else {
        return;
    };
    let folder = FOLDER.path();
    let mut files = divided(files, FILE).into_iter();
    write(folder, "config.json", b"{}");
    if flags & INDEXED == 0 {
        let shard = files.next().unwrap_or_default();
        write(folder, "model.safetensors", &weights(shard, *flags));
    } else {
        let _ = std::fs::remove_file(folder.join("model.safetensors"));
        let index = files.next().unwrap_or_default();
        write(folder, "model.safetensors.index.json", index);
        for name in SHARDS {
            match files.next() {
                Some(shard) => write(folder, name, &weights(shard, *flags)),
                None => drop(std::fs::remove_file(folder.join(name))),
            }
        }
    }
    match Checkpoint::open(folder) {
        Ok(checkpoint) => check(&checkpoint),
        Err(error) => assert!(error.to_string().contains(&*folder.to_string_lossy())),
    }
});

fn check(checkpoint: &Checkpoint) {
    let names: Vec<&str> = checkpoint.names().collect();
    assert!(names.is_sorted_by(|a, b| a < b));
    assert!(checkpoint.finish(&["*"]).is_ok());
    let mut all_taken = true;
    for name in &names {
        assert!(checkpoint.contains(name));
        let Ok(tensor) = checkpoint.tensor(name) else {
            all_taken = false; // an element type that is not read
            continue;
        };
        assert_eq!(tensor.name, *name);
        let numbers = if tensor.shape.contains(&0) {
            0
        } else {
            tensor.shape.iter().product()
        };
        let rows = tensor.rows();
        let columns = numbers.checked_div(rows).unwrap_or(0);
        assert_eq!(tensor.bytes.len(), rows * tensor.dtype.row_bytes(columns));
        assert_eq!(tensor.to_f32().len(), numbers);
        if numbers > 0 {
            assert_eq!(tensor.row_bytes(0..rows).len(), tensor.bytes.len());
            assert_eq!(
                tensor.row_bytes(rows - 1..rows).len() * rows,
                tensor.bytes.len()
            );
        }
        assert!(tensor.row_bytes(rows..rows.saturating_add(1)).is_empty());

        assert!(checkpoint.finish(&[]).is_err(), "{name} is not taken yet");
        let longer = [tensor.shape.as_slice(), &[2]].concat();
        assert!(checkpoint.take(name, &longer).is_err());
        checkpoint.take(name, &tensor.shape).expect("its own shape");
    }
    // Tensors that the index places elsewhere keep this from being an equality.
    assert!(all_taken || checkpoint.finish(&[]).is_err());
    assert!(checkpoint.tensor("no such tensor").is_err() || names.contains(&"no such tensor"));
}

/// The bytes of a shard.
fn weights(shard: &[u8], flags: u8) -> Vec<u8> {
    if flags & LENGTH_ADDED == 0 {
        return shard.to_vec();
    }
    let mut parts = divided(shard, DATA).into_iter();
    let header = parts.next().unwrap_or_default();
    let length = (header.len() as u64).to_le_bytes();
    let data = parts.collect::<Vec<_>>().concat();
    [&length[..], header, &data].concat()
}

fn divided<'a>(mut bytes: &'a [u8], divider: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes
        .windows(divider.len())
        .position(|window| window == divider)
    {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + divider.len()..];
    }
    parts.push(bytes);
    parts
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
}
