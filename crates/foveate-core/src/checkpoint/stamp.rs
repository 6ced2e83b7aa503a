//! What a quantized weight file says about itself, beside its tensors: written by `quantize`, believed
//! only where it fits.
//!
//! The `__metadata__` of the safetensors header has `foveate.version`, `foveate.model` (a fingerprint of
//! `config.json` and `tokenizer.json`) and `foveate.source` (for people), and for every quantized tensor
//! `foveate/<name>`: its type and sizes, `q4 4096 12288`. Such a tensor is stored as bytes,
//! `[rows, bytes of a row]`, in the blocks of `foveate_kernels::quant`.

use std::collections::HashMap;
use std::path::Path;

use foveate_kernels::Dtype;

use super::source::Source;
use crate::error::{Error, Result};

/// 2: a q4 weight is rounded to a whole number.
const VERSION: &str = "2";
const VERSION_KEY: &str = "foveate.version";
const MODEL_KEY: &str = "foveate.model";
const SOURCE_KEY: &str = "foveate.source";
const TENSOR_PREFIX: &str = "foveate/";

/// A quantized tensor's type and `[rows, cols]`.
pub(super) type Described = (Dtype, [usize; 2]);

/// The quantized tensors of a weight file by name; none for an ordinary file.
pub(super) fn read(
    path: &Path,
    metadata: Option<&HashMap<String, String>>,
    source: &Source,
) -> Result<HashMap<String, Described>> {
    let none = HashMap::new();
    let metadata = metadata.unwrap_or(&none);
    let Some(version) = metadata.get(VERSION_KEY) else {
        return Ok(HashMap::new());
    };
    let refuse = |reason: String| Err(Error::malformed(path, reason));
    if version != VERSION {
        return refuse(format!(
            "quantized in format version {version:?}, this program reads {VERSION:?}; \
             run `foveate quantize` again from the original model"
        ));
    }
    let expected = fingerprint(source)?;
    let got = metadata.get(MODEL_KEY).map_or("", String::as_str);
    if got != expected {
        let origin = metadata.get(SOURCE_KEY).map_or("unknown", String::as_str);
        return refuse(format!(
            "quantized from another model ({origin:?}) than config.json and tokenizer.json beside it \
             are of: fingerprint expected {expected}, got {got:?}"
        ));
    }
    let mut tensors = HashMap::new();
    for (key, text) in metadata {
        if let Some(name) = key.strip_prefix(TENSOR_PREFIX) {
            let Some(described) = parse(text) else {
                return refuse(format!(
                    "{key}: expected a type and two sizes, got {text:?}"
                ));
            };
            tensors.insert(name.to_owned(), described);
        }
    }
    Ok(tensors)
}

fn parse(text: &str) -> Option<Described> {
    let mut words = text.split(' ');
    let dtype = match words.next()? {
        "q8" => Dtype::Q8,
        "q4" => Dtype::Q4,
        _ => return None,
    };
    let sizes = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
    words.next().is_none().then_some((dtype, sizes))
}

/// The entries to be written.
pub(super) fn write(
    source: &Source,
    origin: &str,
    tensors: &[(String, Described)],
) -> Result<Vec<(String, String)>> {
    let mut entries = vec![
        (VERSION_KEY.to_owned(), VERSION.to_owned()),
        (MODEL_KEY.to_owned(), fingerprint(source)?),
        (SOURCE_KEY.to_owned(), origin.to_owned()),
    ];
    for (name, (dtype, [rows, cols])) in tensors {
        let dtype = format!("{dtype:?}").to_lowercase();
        entries.push((
            format!("{TENSOR_PREFIX}{name}"),
            format!("{dtype} {rows} {cols}"),
        ));
    }
    Ok(entries)
}

/// 64 bits that differ between models: FNV-1a of their configuration and vocabulary.
fn fingerprint(source: &Source) -> Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for name in ["config.json", "tokenizer.json"] {
        let bytes = source.read(name)?.unwrap_or_default();
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}
