//! Writes a model folder some of whose tensors are quantized: row by row, in bounded memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use foveate_kernels::Dtype;
use foveate_kernels::quant::encode_row;
use serde_json::{Map, Value, json};

use super::{Checkpoint, TensorRef, matches, read_small, stamp, write_fresh};
use crate::error::{Error, Result};

/// Rows that one thread quantizes before they are written.
const ROWS: usize = 32;

/// Rows of other tensors that are copied at once.
const COPIED_ROWS: usize = 1024;

const WEIGHTS: &str = "model.safetensors";

/// What a quantized folder has of its original.
pub(crate) struct Kept<'a> {
    /// Tensors that are quantized, and how; the others stay as they are.
    pub(crate) quantized: &'a [(String, Dtype)],
    /// Patterns of tensors that nothing reads and that are left out.
    pub(crate) ignored: &'a [&'a str],
    /// The folder with the sizes of the vision tower. One beside the model goes into the new folder, which
    /// may be anywhere; one in the cache is found there again.
    pub(crate) tower: &'a Path,
}

/// One tensor of the file to be.
struct Planned<'a> {
    tensor: TensorRef<'a>,
    /// What it becomes, if it is not copied.
    dtype: Option<Dtype>,
}

impl Planned<'_> {
    fn bytes(&self) -> usize {
        match self.dtype {
            Some(dtype) => self.tensor.rows() * dtype.row_bytes(self.tensor.row_len()),
            None => self.tensor.bytes.len(),
        }
    }

    fn header(&self, start: usize) -> Value {
        let (dtype, shape) = match (self.dtype, self.tensor.dtype) {
            (Some(dtype), _) => {
                let width = dtype.row_bytes(self.tensor.row_len());
                ("U8", vec![self.tensor.rows(), width])
            }
            (None, Dtype::F32) => ("F32", self.tensor.shape.clone()),
            (None, Dtype::F16) => ("F16", self.tensor.shape.clone()),
            (None, _) => ("BF16", self.tensor.shape.clone()),
        };
        json!({"dtype": dtype, "shape": shape, "data_offsets": [start, start + self.bytes()]})
    }
}

impl Checkpoint {
    /// Writes this model to the new folder `out` with some tensors quantized, on `threads` threads;
    /// `progress` hears of tensors done and in all. `origin` says where the model came from.
    ///
    /// The weights go to a file that no command reads; its name is changed at the end, so that what was
    /// interrupted is no model.
    pub(crate) fn write_quantized(
        &self,
        out: &Path,
        kept: &Kept<'_>,
        origin: &str,
        threads: NonZeroUsize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        let plan = self.plan(kept)?;
        write_fresh(out, |folder| {
            copy_tower(kept.tower, folder)?;
            self.write_folder(folder, &plan, origin, threads, progress)
        })
    }

    fn plan(&self, kept: &Kept<'_>) -> Result<Vec<Planned<'_>>> {
        let (quantized, ignored) = (kept.quantized, kept.ignored);
        if let Some((missing, _)) = quantized.iter().find(|(name, _)| !self.contains(name)) {
            self.tensor(missing)?;
        }
        let mut plan = Vec::new();
        let is_read = |name: &&str| !ignored.iter().any(|pattern| matches(pattern, name));
        for name in self.names().filter(is_read) {
            let tensor = self.tensor(name)?;
            if matches!(tensor.dtype, Dtype::Q8 | Dtype::Q4) {
                let reason = "is quantized already; start from the original model";
                return Err(Error::request("model", reason));
            }
            let dtype = quantized.iter().find(|(q, _)| q == name).map(|q| q.1);
            plan.push(Planned { tensor, dtype });
        }
        Ok(plan)
    }

    fn write_folder(
        &self,
        folder: &Path,
        plan: &[Planned<'_>],
        origin: &str,
        threads: NonZeroUsize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        for (name, bytes) in self.source.companions()? {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|error| Error::write(parent, error))?;
            }
            fs::write(&path, bytes).map_err(|error| Error::write(path, error))?;
        }
        let unfinished = folder.join(format!("{WEIGHTS}.partial"));
        let failed = |error| Error::write(&unfinished, error);
        let mut file = BufWriter::new(File::create(&unfinished).map_err(failed)?);
        file.write_all(&self.header(plan, origin)?)
            .map_err(failed)?;
        for (done, planned) in plan.iter().enumerate() {
            progress(done, plan.len());
            let (tensor, rows) = (&planned.tensor, planned.tensor.rows());
            let step = if planned.dtype.is_some() {
                ROWS * threads.get()
            } else {
                COPIED_ROWS
            };
            for first in (0..rows).step_by(step) {
                let range = first..(first + step).min(rows);
                match planned.dtype {
                    Some(dtype) => {
                        for part in quantize_rows(tensor, range, dtype) {
                            file.write_all(&part).map_err(failed)?;
                        }
                    }
                    None => file.write_all(tensor.row_bytes(range)).map_err(failed)?,
                }
            }
            self.release(tensor.name);
        }
        progress(plan.len(), plan.len());
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        let finished: PathBuf = folder.join(WEIGHTS);
        fs::rename(&unfinished, &finished).map_err(|error| Error::write(finished, error))
    }

    /// The length of the header and the header.
    fn header(&self, plan: &[Planned<'_>], origin: &str) -> Result<Vec<u8>> {
        let mut described = Vec::new();
        let (mut entries, mut start) = (Map::new(), 0);
        for planned in plan {
            let tensor = &planned.tensor;
            if let Some(dtype) = planned.dtype {
                let sizes = [tensor.rows(), tensor.row_len()];
                described.push((tensor.name.to_owned(), (dtype, sizes)));
            }
            entries.insert(tensor.name.to_owned(), planned.header(start));
            start += planned.bytes();
        }
        let stamp = stamp::write(&self.source, origin, &described)?;
        let stamp: Map<String, Value> = stamp
            .into_iter()
            .map(|(key, text)| (key, Value::String(text)))
            .collect();
        entries.insert("__metadata__".to_owned(), Value::Object(stamp));
        let mut text = Value::Object(entries).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.extend(text);
        Ok(header)
    }
}

/// Copies the configuration of a vision tower to the place in `folder` where it is looked for first.
fn copy_tower(tower: &Path, folder: &Path) -> Result<()> {
    let in_cache = tower.parent().is_some_and(|p| p.ends_with("snapshots"));
    let Some(name) = tower.file_name().filter(|_| !in_cache) else {
        return Ok(());
    };
    let to = folder.join(name);
    for file in ["config.json", "preprocessor_config.json"] {
        if let Some(bytes) = read_small(&tower.join(file))? {
            fs::create_dir_all(&to).map_err(|error| Error::write(&to, error))?;
            fs::write(to.join(file), bytes).map_err(|error| Error::write(&to, error))?;
        }
    }
    Ok(())
}

/// The blocks of some rows, in parts to be written one after another.
fn quantize_rows(
    tensor: &TensorRef<'_>,
    rows: std::ops::Range<usize>,
    dtype: Dtype,
) -> Vec<Vec<u8>> {
    let quantize = |first: usize| {
        let (mut numbers, mut blocks) = (Vec::new(), Vec::new());
        for row in first..(first + ROWS).min(rows.end) {
            numbers.clear();
            tensor.widen_rows(row..row + 1, &mut numbers);
            encode_row(dtype, &numbers, &mut blocks);
        }
        blocks
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = rows
            .clone()
            .step_by(ROWS)
            .map(|first| scope.spawn(move || quantize(first)))
            .collect();
        let finished = parts.into_iter().map(std::thread::ScopedJoinHandle::join);
        finished
            .map(|part| part.expect("quantizing does not panic"))
            .collect()
    })
}
