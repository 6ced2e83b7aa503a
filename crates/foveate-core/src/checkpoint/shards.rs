//! Weight files: which there are, and what their headers say, checked before anything is believed.
//!
//! The `safetensors` crate refuses headers that do not fit the file, text that is not UTF-8,
//! tensors that overlap or leave gaps, sizes that overflow, and data that is too short or too long.
//! Added here: a lower limit on the header, names that occur twice (where its map would keep the
//! last), and everything about the index.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use safetensors::SafeTensors;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::source::Source;
use super::{Checkpoint, Entry, Shard, stamp};
use crate::error::{Error, Result};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// The header of the published 8B models is below 100 kB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Models of hundreds of billions of parameters have fewer files than this.
const MAX_SHARDS: usize = 1024;

/// Bytes of the length that precedes the header.
const LENGTH_BYTES: usize = 8;

/// Maps all weight files and reads their headers.
pub(super) fn open(source: Source) -> Result<Checkpoint> {
    let (names, index) = shard_names(&source)?;
    let mut shards = Vec::with_capacity(names.len());
    let mut tensors = BTreeMap::new();
    let mut strays = Vec::new();
    for name in names {
        let path = source.path(&name);
        let Some(bytes) = source.map(&name)? else {
            let reason = format!("{INDEX_FILE} names this file but it does not exist");
            return Err(Error::malformed(
                path,
                format!("{reason}; is the download complete?"),
            ));
        };
        for (tensor, entry) in read_header(&source, &path, bytes.as_slice(), shards.len())? {
            let placed_here = index
                .as_ref()
                .is_none_or(|index| index.get(&tensor) == Some(&name));
            if placed_here {
                tensors.insert(tensor, entry);
            } else {
                strays.push((tensor, shards.len()));
            }
        }
        shards.push(Shard { path, bytes });
    }
    for (tensor, shard) in index.iter().flatten() {
        if !tensors.contains_key(tensor) {
            let expected = format!("this tensor, because {INDEX_FILE} places it here");
            return Err(Error::tensor(tensor, source.path(shard), expected, "none"));
        }
    }
    Ok(Checkpoint {
        source,
        shards,
        tensors,
        strays,
    })
}

/// Tensor → file.
type Index = BTreeMap<String, String>;

/// The weight files, and the index where there is one.
fn shard_names(source: &Source) -> Result<(Vec<String>, Option<Index>)> {
    if source.map(SINGLE_FILE)?.is_some() {
        return Ok((vec![SINGLE_FILE.to_owned()], None));
    }
    let Some(json) = source.read(INDEX_FILE)? else {
        let reason = format!("neither {SINGLE_FILE} nor {INDEX_FILE}; only safetensors is read");
        return Err(Error::malformed(source.root(), reason));
    };
    let path = source.path(INDEX_FILE);
    let index: IndexFile = serde_json::from_slice(&json)
        .map_err(|error| Error::malformed(&path, format!("not a shard index: {error}")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    if names.is_empty() || names.len() > MAX_SHARDS {
        let got = names.len();
        let reason = format!("weight_map names {got} files, expected 1 to {MAX_SHARDS}");
        return Err(Error::malformed(path, reason));
    }
    if let Some(name) = names.iter().find(|name| !is_plain_file_name(name)) {
        let reason = format!("weight_map names {name:?}, expected a file name without a folder");
        return Err(Error::malformed(path, reason));
    }
    Ok((names.into_iter().cloned().collect(), Some(index.weight_map)))
}

#[derive(serde::Deserialize)]
struct IndexFile {
    weight_map: Index,
}

/// Refuses everything that could leave the folder, also on other systems.
fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', ':'])
        && !name.contains(char::is_control)
}

fn read_header(
    source: &Source,
    path: &Path,
    file: &[u8],
    shard: usize,
) -> Result<Vec<(String, Entry)>> {
    let malformed =
        |reason: String| Error::malformed(path, format!("not a valid safetensors file: {reason}"));
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(malformed(format!(
            "{} bytes, too short for a header",
            file.len()
        )));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        let limit = MAX_HEADER_BYTES;
        return Err(malformed(format!(
            "a header of {length} bytes, the limit is {limit}"
        )));
    }
    let header = usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length));
    let Some(header) = header else {
        let left = rest.len();
        return Err(malformed(format!(
            "a header of {length} bytes in a file with {left} left"
        )));
    };
    let text = std::str::from_utf8(header)
        .map_err(|error| malformed(format!("the header is not UTF-8: {error}")))?;
    serde_json::from_str::<DistinctKeys>(text).map_err(|error| malformed(error.to_string()))?;
    let (_, metadata) =
        SafeTensors::read_metadata(file).map_err(|error| malformed(error.to_string()))?;
    let data = LENGTH_BYTES + header.len();
    let mut described = stamp::read(path, metadata.metadata().as_ref(), source)?;
    let mut entries = Vec::new();
    for (name, info) in metadata.tensors() {
        let range = data + info.data_offsets.0..data + info.data_offsets.1;
        let mut entry = Entry {
            shard,
            dtype: info.dtype,
            quantized: None,
            shape: info.shape.clone(),
            range,
            taken: AtomicBool::new(false),
        };
        if let Some((dtype, [rows, cols])) = described.remove(&name) {
            let stored = [rows, dtype.row_bytes(cols)];
            if entry.dtype != safetensors::Dtype::U8 || entry.shape != stored {
                let got = format!("{:?} {:?}", entry.dtype, entry.shape);
                return Err(Error::tensor(&name, path, format!("U8 {stored:?}"), got));
            }
            (entry.quantized, entry.shape) = (Some(dtype), vec![rows, cols]);
        }
        entries.push((name, entry));
    }
    match described.keys().next() {
        Some(name) => Err(Error::tensor(name, path, "this quantized tensor", "none")),
        None => Ok(entries),
    }
}

/// Accepts any JSON object whose keys differ.
struct DistinctKeys;

impl<'de> Deserialize<'de> for DistinctKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for DistinctKeys {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format_args!(
                    "tensor {key:?} is listed twice"
                )));
            }
        }
        Ok(self)
    }
}
