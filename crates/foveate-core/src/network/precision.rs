//! Which precision each part of a model gets: the one place that says so.

use foveate_kernels::{Dtype, Format};

/// Parameters that have a precision in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Linears of the decoder's layers, where nearly all weights are.
    Layers,
    /// Embedding and head.
    Vocabulary,
    /// Tower and projector.
    Vision,
}

impl Part {
    /// How this part is stored in a model that is wanted in `format`. Where that has 8 or 4 bits, embedding
    /// and head get 8, which costs no token (`docs/fidelity.md`), and the tower, which runs once per image, stays
    /// as it is.
    pub(crate) fn format(self, format: Format) -> Format {
        match (self, format) {
            (Self::Vocabulary, Format::Q4) => Format::Q8,
            (Self::Vision, Format::Q8 | Format::Q4) => Format::Auto,
            (_, format) => format,
        }
    }

    /// What the weights of a random model are drawn as, so that nothing is left to convert. Where others have
    /// 8 or 4 bits, this is bfloat16 as in the released 8B models.
    pub(crate) fn drawn(self, format: Format) -> Dtype {
        match self.format(format) {
            Format::Auto if format != Format::Auto => Dtype::Bf16,
            Format::Auto | Format::F32 => Dtype::F32,
            Format::Bf16 => Dtype::Bf16,
            Format::Q8 => Dtype::Q8,
            Format::Q4 => Dtype::Q4,
        }
    }
}
