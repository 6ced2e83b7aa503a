//! A model folder: its JSON files and its tensors by name, mapped and not copied.
//!
//! Every tensor that is stored must be taken by somebody: [`Checkpoint::finish`] lists those that
//! nobody asked for, because a tensor that is silently skipped is a model that silently differs.

mod fresh;
mod quantize;
mod resolve;
mod sharded;
mod shards;
mod source;
mod stamp;
mod tensor;

pub(crate) use fresh::write_fresh;
pub(crate) use quantize::Kept;
pub(crate) use resolve::cached;
pub use resolve::{Environment, is_repository, resolve};
pub(crate) use sharded::{Blueprint, write_shards};
pub use source::EmbeddedFiles;
pub(crate) use source::read_small;
pub use tensor::TensorRef;
use tensor::dtype;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use foveate_kernels::Dtype;

use crate::error::{Error, Result};
use source::{Bytes, Source};

/// An opened model: the weights are mapped, the headers are checked, no tensor is read yet.
pub struct Checkpoint {
    source: Source,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Entry>,
    /// Tensors that a shard holds although the index does not place them there.
    strays: Vec<(String, usize)>,
}

/// One weight file.
struct Shard {
    path: PathBuf,
    bytes: Bytes,
}

/// Where a tensor lies, as its shard's header says.
struct Entry {
    shard: usize,
    dtype: safetensors::Dtype,
    /// What its bytes mean instead, in a quantized file.
    quantized: Option<Dtype>,
    shape: Vec<usize>,
    /// Bytes of the shard, already checked against its length.
    range: Range<usize>,
    taken: AtomicBool,
}

impl Checkpoint {
    /// Opens a folder with `config.json` and `model.safetensors`, or the index and its shards.
    ///
    /// The folder must not be changed while the checkpoint is open, since its files are mapped.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::from_source(Source::Folder(folder.as_ref().to_path_buf()))
    }

    /// Opens a model that was compiled into the program; names are relative, with `/`.
    ///
    /// ```
    /// let error = foveate_core::Checkpoint::embedded(&[("config.json", b"{}")]).err().unwrap();
    /// assert!(error.to_string().contains("model.safetensors"));
    /// ```
    pub fn embedded(files: EmbeddedFiles) -> Result<Self> {
        Self::from_source(Source::Embedded(files))
    }

    /// The folder, or a label for an embedded model.
    pub fn path(&self) -> PathBuf {
        self.source.root()
    }

    /// The folder on disk; `None` for an embedded model.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Folder(folder) => Some(folder),
            Source::Embedded(_) => None,
        }
    }

    /// Where `name` lies in this model, for messages.
    pub fn file_path(&self, name: &str) -> PathBuf {
        self.source.path(name)
    }

    /// Reads a small file of the model; `None` when there is none.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        self.source.read(name)
    }

    /// Reads a small file that the model must have.
    pub fn require(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        self.read(name)?.ok_or_else(|| {
            let reason = format!("the model has no {name}; is the download complete?");
            Error::malformed(self.source.root(), reason)
        })
    }

    /// Whether a tensor of this name is stored.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names of all stored tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Looks at a tensor without taking it.
    pub fn tensor(&self, name: &str) -> Result<TensorRef<'_>> {
        let (name, entry) = self.find(name, "a tensor of this name")?;
        self.view(name, entry)
    }

    /// Takes a tensor of exactly this shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<TensorRef<'_>> {
        let (name, entry) = self.find(name, &format!("{shape:?}"))?;
        let tensor = self.view(name, entry)?;
        if tensor.shape != shape {
            return Err(self.misshapen(&tensor, format!("{shape:?}")));
        }
        entry.taken.store(true, Ordering::Relaxed);
        Ok(tensor)
    }

    /// Begins to read a tensor's bytes from the disk.
    pub(crate) fn read_ahead(&self, name: &str) {
        if let Some(entry) = self.tensors.get(name) {
            let bytes = &self.shards[entry.shard].bytes;
            bytes.read_ahead(entry.range.clone());
        }
    }

    /// Says that a tensor's bytes will not be read again soon, so that they are not held in memory beside
    /// what was made of them. They can still be read.
    pub(crate) fn release(&self, name: &str) {
        if let Some(entry) = self.tensors.get(name) {
            self.shards[entry.shard].bytes.release(entry.range.clone());
        }
    }

    /// Fails if a stored tensor was never taken, unless its name matches a pattern of `ignored`.
    ///
    /// In a pattern `*` stands for any text, also an empty one: `*.position_ids`.
    pub fn finish(&self, ignored: &[&str]) -> Result<()> {
        let untaken = self
            .tensors
            .iter()
            .filter(|(_, entry)| !entry.taken.load(Ordering::Relaxed))
            .map(|(name, entry)| (name.as_str(), entry.shard));
        let strays = self
            .strays
            .iter()
            .map(|(name, shard)| (name.as_str(), *shard));
        let unexpected: Vec<(&str, usize)> = untaken
            .chain(strays)
            .filter(|(name, _)| !ignored.iter().any(|pattern| matches(pattern, name)))
            .collect();
        let Some(&(name, shard)) = unexpected.first() else {
            return Ok(());
        };
        let more = match unexpected.len() - 1 {
            0 => String::new(),
            more => {
                let names: Vec<_> = unexpected.iter().skip(1).take(4).map(|(n, _)| *n).collect();
                format!("; and {more} more: {}", names.join(", "))
            }
        };
        let shape = self.tensors.get(name).map(|entry| &entry.shape);
        let of_shape = shape.map_or(String::new(), |shape| format!(" of shape {shape:?}"));
        let got = format!("a tensor{of_shape} that nothing uses{more}");
        let expected = "only tensors of this model family; is this another family or a newer one?";
        Err(Error::tensor(name, &self.shards[shard].path, expected, got))
    }

    fn from_source(source: Source) -> Result<Self> {
        if source.read("config.json")?.is_none() {
            let reason = "no config.json here; a model is a folder with config.json, \
                          tokenizer.json and model.safetensors";
            return Err(Error::malformed(source.root(), reason));
        }
        shards::open(source)
    }

    fn find(&self, name: &str, expected: &str) -> Result<(&str, &Entry)> {
        let found = self.tensors.get_key_value(name);
        found
            .map(|(name, entry)| (name.as_str(), entry))
            .ok_or_else(|| {
                let got = "no tensor of this name; is the checkpoint complete?";
                Error::tensor(name, self.weights_path(), expected, got)
            })
    }

    /// The file of the weights, or the folder where there are several.
    fn weights_path(&self) -> PathBuf {
        match &self.shards[..] {
            [only] => only.path.clone(),
            _ => self.source.root(),
        }
    }

    fn view<'a>(&'a self, name: &'a str, entry: &'a Entry) -> Result<TensorRef<'a>> {
        let shard = &self.shards[entry.shard];
        let Some(dtype) = entry.quantized.or(dtype(entry.dtype)) else {
            let got = format!("{:?}", entry.dtype);
            return Err(Error::tensor(name, &shard.path, "F32, F16 or BF16", got));
        };
        Ok(TensorRef {
            name,
            shape: entry.shape.clone(),
            dtype,
            bytes: &shard.bytes.as_slice()[entry.range.clone()],
            file: &shard.path,
        })
    }

    fn misshapen(&self, tensor: &TensorRef<'_>, expected: String) -> Error {
        let position = self
            .shards
            .iter()
            .position(|s| s.path == tensor.file)
            .unwrap_or(0)
            + 1;
        let got = format!(
            "{:?} (shard {position} of {})",
            tensor.shape,
            self.shards.len()
        );
        Error::tensor(tensor.name, tensor.file, expected, got)
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("path", &self.path())
            .field("shards", &self.shards.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

/// `*` stands for any text; everything else for itself.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    // The leftmost place of each piece leaves the most text for those after it.
    for piece in pieces {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*.position_ids", "model.embeddings.position_ids", true),
            ("*.position_ids", "model.position_ids.weight", false),
            ("*.layers.26.*", "vision.layers.26.mlp.fc1.bias", true),
            ("*.layers.26.*", "vision.layers.2.mlp.fc1.bias", false),
            ("model.*.head.*.bias", "model.v.head.a.b.bias", true),
            ("model.norm", "model.norm", true),
            ("model.norm", "model.norm.weight", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
