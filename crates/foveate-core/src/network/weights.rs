//! Where parameters come from: a checkpoint, or a seeded generator for benchmarks.

use std::borrow::Cow;

use foveate_kernels::{Backend, Dtype, Format, Layout, TensorView};

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

/// Which parameters, for their precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Linears of the decoder's layers.
    Layers,
    /// Embedding and head.
    Vocabulary,
    /// Tower and projector.
    Vision,
}

/// A tensor with its shape folded to `[rows, cols]`.
pub(crate) struct Tensor<'a> {
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

    /// How a part is stored: 8 and 4 bits are for the decoder's layers, where nearly all weights are; the
    /// rest then stays as it is.
    pub(crate) fn format(&self, part: Part) -> Format {
        match self.format {
            Format::Q8 | Format::Q4 if part != Part::Layers => Format::Auto,
            format => format,
        }
    }

    /// Takes tensor `name`, whose stored shape must be `shape`; the first axis becomes the rows.
    pub(crate) fn take(&self, name: &str, shape: &[usize]) -> Result<Tensor<'_>> {
        let (rows, cols) = match shape {
            [] => (1, 1),
            [n] => (1, *n),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        };
        match &self.origin {
            Origin::Checkpoint(checkpoint) => {
                let tensor = checkpoint.take(name, shape)?;
                Ok(Tensor {
                    dtype: tensor.dtype,
                    rows,
                    cols,
                    bytes: Cow::Borrowed(tensor.bytes),
                })
            }
            Origin::Random(seed) => {
                let mut bytes = random(*seed, name, rows * cols, cols);
                // What stays unquantised is as in the released 8B models.
                let dtype = match self.format {
                    Format::Q8 | Format::Q4 => {
                        let halves = bytes.as_chunks::<4>().0.iter();
                        bytes = halves.flat_map(|x| [x[2], x[3]]).collect();
                        Dtype::Bf16
                    }
                    _ => Dtype::F32,
                };
                Ok(Tensor {
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
    ) -> Result<B::Buf> {
        let tensor = self.take(name, &[n])?;
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
        let weight = |n: &String| self.take(&format!("{n}.weight"), shape);
        let parts = names.iter().map(weight).collect::<Result<Vec<_>>>()?;
        let parts = parts.iter().map(Tensor::view).collect::<Result<Vec<_>>>()?;
        let biases = if bias {
            let bias = |n: &String| self.take(&format!("{n}.bias"), &shape[..1]);
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

/// Little-endian f32 noise, uniform with the variance `1 / inputs`; norms (`*norm*`) are ones.
fn random(seed: u64, name: &str, count: usize, inputs: usize) -> Vec<u8> {
    let is_norm = name.contains("norm");
    let mut state = name.bytes().fold(seed | 1, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let scale = (3.0 / inputs.max(1) as f32).sqrt();
    let mut bytes = Vec::with_capacity(count * 4);
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
        let value = if is_norm { 1.0 } else { unit * scale };
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}
