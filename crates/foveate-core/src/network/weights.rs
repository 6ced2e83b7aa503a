//! Where parameters come from: a checkpoint, or a seeded generator for benchmarks.

use std::borrow::Cow;

use foveate_kernels::{Backend, Dtype, Format, Layout, TensorView};

use super::precision::Part;
use super::random::random;
use crate::checkpoint::Checkpoint;
use crate::error::Result;

/// Where parameters come from, and how they are stored while they are used.
pub(crate) struct Source<'a> {
    origin: Origin<'a>,
    format: Format,
}

enum Origin<'a> {
    /// A model folder.
    Checkpoint(&'a Checkpoint),
    /// Seeded values of small variance, for speed measurements.
    Random(u64),
}

/// A tensor with its shape folded to `[rows, cols]`. When it is dropped, the pages of its file that were read
/// need not stay in memory.
pub(crate) struct Tensor<'a> {
    /// Whose file it lies in, under which name.
    file: Option<(&'a Checkpoint, &'a str)>,
    dtype: Dtype,
    rows: usize,
    cols: usize,
    bytes: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// The tensor as a backend takes it.
    pub(crate) fn view(&self) -> Result<TensorView<'_>> {
        Ok(TensorView::new(
            self.dtype,
            self.rows,
            self.cols,
            &self.bytes,
        )?)
    }
}

impl Drop for Tensor<'_> {
    fn drop(&mut self) {
        if let Some((checkpoint, name)) = self.file {
            checkpoint.release(name);
        }
    }
}

impl<'a> Source<'a> {
    /// The tensors of a model folder.
    pub(crate) fn checkpoint(checkpoint: &'a Checkpoint, format: Format) -> Self {
        let origin = Origin::Checkpoint(checkpoint);
        Self { origin, format }
    }

    /// Random numbers.
    pub(crate) fn random(seed: u64, format: Format) -> Self {
        let origin = Origin::Random(seed);
        Self { origin, format }
    }

    /// Whether a model folder stores this tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(&self.origin, Origin::Checkpoint(checkpoint) if checkpoint.contains(name))
    }

    /// How a part is stored while it is used.
    pub(crate) fn format(&self, part: Part) -> Format {
        part.format(self.format)
    }

    /// Takes tensor `name` of `part`, whose stored shape must be `shape`; the first axis becomes the rows.
    pub(crate) fn take(&self, name: &str, shape: &[usize], part: Part) -> Result<Tensor<'_>> {
        let (rows, cols) = match shape {
            [] => (1, 1),
            [n] => (1, *n),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        };
        match &self.origin {
            Origin::Checkpoint(checkpoint) => {
                let tensor = checkpoint.take(name, shape)?;
                checkpoint.read_ahead(tensor.name);
                Ok(Tensor {
                    file: Some((checkpoint, tensor.name)),
                    dtype: tensor.dtype,
                    rows,
                    cols,
                    bytes: Cow::Borrowed(tensor.bytes),
                })
            }
            Origin::Random(seed) => {
                // A vector is never quantized.
                let dtype = match part.drawn(self.format) {
                    Dtype::F32 => Dtype::F32,
                    _ if shape.len() < 2 => Dtype::Bf16,
                    dtype => dtype,
                };
                let bytes = random(*seed, name, dtype, 0..rows, cols);
                Ok(Tensor {
                    file: None,
                    dtype,
                    rows,
                    cols,
                    bytes: Cow::Owned(bytes),
                })
            }
        }
    }

    /// Takes a vector as a `[1, n]` buffer.
    pub(crate) fn vector<B: Backend>(
        &self,
        backend: &mut B,
        name: &str,
        n: usize,
        part: Part,
    ) -> Result<B::Buf> {
        let tensor = self.take(name, &[n], part)?;
        upload(backend, &tensor.view()?.to_f32(), n)
    }

    /// A linear: `names` stacked along the outputs, each `[outputs, inputs]`.
    pub(crate) fn linear<B: Backend>(
        &self,
        backend: &B,
        names: &[String],
        shape: &[usize],
        bias: bool,
        layout: Layout,
        part: Part,
    ) -> Result<B::Weight> {
        let weight = |n: &String| self.take(&format!("{n}.weight"), shape, part);
        let parts = names.iter().map(weight).collect::<Result<Vec<_>>>()?;
        let parts = parts.iter().map(Tensor::view).collect::<Result<Vec<_>>>()?;
        let biases = if bias {
            let bias = |n: &String| self.take(&format!("{n}.bias"), &shape[..1], part);
            names.iter().map(bias).collect::<Result<Vec<_>>>()?
        } else {
            Vec::new()
        };
        let biases = biases
            .iter()
            .map(Tensor::view)
            .collect::<Result<Vec<_>>>()?;
        Ok(backend.weight(&parts, &biases, layout, self.format(part))?)
    }
}

/// A buffer `[rows, width]` with these values.
pub(crate) fn upload<B: Backend>(backend: &mut B, values: &[f32], width: usize) -> Result<B::Buf> {
    let mut buf = backend.buf(values.len() / width.max(1), width)?;
    backend.write(values, &mut buf, 0)?;
    Ok(buf)
}
