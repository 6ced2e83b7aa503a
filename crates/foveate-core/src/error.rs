//! The one error type of the engine: what failed, where, what was expected, what to do next.

use std::path::{Path, PathBuf};

/// Short form used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a path on disk and an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file or folder could not be created or written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it must.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, what was expected, what to do.
        reason: String,
    },
    /// A tensor is missing, unexpected, or of another shape or type.
    #[error("tensor {name:?} in {}: expected {expected}, got {got}", path.display())]
    Tensor {
        /// Full name in the checkpoint.
        name: String,
        /// The shard or folder.
        path: PathBuf,
        /// The expected shape or type.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A model name is neither a folder nor a snapshot in the Hugging Face cache.
    #[error("model {model:?} not found; looked in {}; {next}", list(tried))]
    ModelNotFound {
        /// What was asked for.
        model: String,
        /// Every place that was looked at, in order.
        tried: Vec<PathBuf>,
        /// How to get the model.
        next: String,
    },
    /// An image cannot be decoded or is outside the limits.
    #[error("image {name}: {reason}")]
    Image {
        /// The path or a label such as `image 2`.
        name: String,
        /// What is wrong and which limit applies.
        reason: String,
    },
    /// A request option is out of range or cannot be combined.
    #[error("{field}: {reason}")]
    Request {
        /// The option as the user spells it, for example `keep`.
        field: &'static str,
        /// What was expected and what was given.
        reason: String,
    },
    /// The arithmetic backend refused, usually for lack of memory.
    #[error(transparent)]
    Backend(#[from] foveate_kernels::Error),
    /// The head gave logits that are not numbers.
    #[error(
        "the logits are not numbers: the weights hold NaN or infinite values; is the checkpoint damaged?"
    )]
    NotNumbers,
}

impl Error {
    pub(crate) fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    pub(crate) fn write(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Write {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    pub(crate) fn malformed(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.as_ref().to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A wrong setting that stands in a model's `config.json` is no wrong use of the program.
    pub(crate) fn in_file(self, folder: impl AsRef<Path>) -> Self {
        match self {
            Self::Request {
                field: file @ "tokenizer.json",
                reason,
            } => Self::malformed(folder.as_ref().join(file), reason),
            Self::Request { field, reason } => Self::malformed(
                folder.as_ref().join("config.json"),
                format!("{field}: {reason}"),
            ),
            other => other,
        }
    }

    pub(crate) fn tensor(
        name: impl Into<String>,
        path: impl AsRef<Path>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Tensor {
            name: name.into(),
            path: path.as_ref().to_path_buf(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    pub(crate) fn image(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Image {
            name: name.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn request(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Request {
            field,
            reason: reason.into(),
        }
    }
}

fn list(places: &[PathBuf]) -> String {
    let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
    places.join(", ")
}
