//! Writes a model's weights as bfloat16 in several files and an index, as Hugging Face does, piece by piece.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use foveate_kernels::Dtype;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Bytes that are made before they are written.
const PIECE: usize = 16 << 20;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blueprint {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

impl Blueprint {
    /// A tensor of that name and these sizes.
    pub(crate) fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        let shape = shape.to_vec();
        let name = name.into();
        Self { name, shape }
    }

    /// `[rows, numbers in a row]`, as they are taken when they are read: a vector is one row.
    pub(crate) fn folded(&self) -> [usize; 2] {
        match &self.shape[..] {
            [] => [1, 1],
            [n] => [1, *n],
            [rows, rest @ ..] => [*rows, rest.iter().product()],
        }
    }

    fn row_bytes(&self) -> usize {
        Dtype::Bf16.row_bytes(self.folded()[1])
    }

    fn bytes(&self) -> usize {
        self.folded()[0] * self.row_bytes()
    }
}

/// Writes the tensors in order to files of at most `shard_bytes`, or of one tensor, and then their index.
/// `rows` makes the bfloat16 numbers of some rows; `progress` hears of bytes done and in all.
pub(crate) fn write_shards(
    folder: &Path,
    tensors: &[Blueprint],
    shard_bytes: usize,
    rows: &dyn Fn(&Blueprint, Range<usize>) -> Vec<u8>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let shards = shards(tensors, shard_bytes);
    let total: u64 = tensors.iter().map(|tensor| tensor.bytes() as u64).sum();
    let (mut done, mut places) = (0, Map::new());
    for (index, tensors) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        let path = folder.join(&name);
        let failed = |error| Error::write(&path, error);
        let mut file = File::create(&path).map_err(failed)?;
        file.write_all(&header(tensors)).map_err(failed)?;
        for tensor in *tensors {
            let count = tensor.folded()[0];
            let step = (PIECE / tensor.row_bytes().max(1)).max(1);
            for first in (0..count).step_by(step) {
                progress(done, total);
                let bytes = rows(tensor, first..(first + step).min(count));
                file.write_all(&bytes).map_err(failed)?;
                done += bytes.len() as u64;
            }
            places.insert(tensor.name.clone(), Value::from(name.clone()));
        }
        file.sync_all().map_err(failed)?;
    }
    progress(total, total);
    // Last, because without it the folder is no model.
    let index = json!({"metadata": {"total_size": total}, "weight_map": places});
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, index.to_string()).map_err(|error| Error::write(path, error))
}

/// Cuts a list of tensors where the next one would not fit.
fn shards(tensors: &[Blueprint], shard_bytes: usize) -> Vec<&[Blueprint]> {
    let (mut shards, mut start, mut held) = (Vec::new(), 0, 0);
    for (index, tensor) in tensors.iter().enumerate() {
        if index > start && held + tensor.bytes() > shard_bytes {
            shards.push(&tensors[start..index]);
            (start, held) = (index, 0);
        }
        held += tensor.bytes();
    }
    shards.push(&tensors[start..]);
    shards
}

/// The length of a safetensors header and the header.
fn header(tensors: &[Blueprint]) -> Vec<u8> {
    let (mut entries, mut start) = (Map::new(), 0);
    for tensor in tensors {
        let end = start + tensor.bytes();
        let entry = json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [start, end]});
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend(text);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn tensors_are_spread_over_files_and_found_again() {
        let tensors = [
            Blueprint::new("a", &[3, 4]),
            Blueprint::new("b", &[5]),
            Blueprint::new("c", &[2, 2, 2]),
        ];
        let cut: Vec<usize> = shards(&tensors, 30).iter().map(|s| s.len()).collect();
        assert_eq!(cut, [1, 2], "24 bytes, then 10 and 16");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.json"), "{}").expect("written");
        let rows = |tensor: &Blueprint, rows: Range<usize>| {
            let numbers = rows.len() * tensor.folded()[1];
            tensor.name.repeat(2 * numbers).into_bytes()
        };
        let mut told = Vec::new();
        let mut progress = |done, of| told.push((done, of));
        write_shards(folder.path(), &tensors, 30, &rows, &mut progress).expect("written");
        assert_eq!(told, [(0, 50), (24, 50), (34, 50), (50, 50)]);
        let checkpoint = Checkpoint::open(folder.path()).expect("a model");
        for tensor in &tensors {
            let stored = checkpoint.take(&tensor.name, &tensor.shape).expect("there");
            assert_eq!(stored.bytes, tensor.name.repeat(tensor.bytes()).as_bytes());
        }
        assert!(checkpoint.finish(&[]).is_ok());
    }
}
