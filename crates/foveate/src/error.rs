//! What can go wrong around the engine: finding a model, downloading it, drawing, looking on.

use std::fmt::Display;
use std::io;

/// Short form used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a model's name and an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] foveate_core::Error),
    /// The arithmetic failed, usually for lack of memory.
    #[error(transparent)]
    Backend(#[from] foveate_kernels::Error),
    /// What is asked for cannot be; the message says what to ask for instead.
    #[error("{0}")]
    Usage(String),
    /// A model cannot be found or downloaded; the message says why, and what to do.
    #[error("{0}")]
    Source(String),
    /// A file or a stream could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A picture could not be written.
    #[error(transparent)]
    Picture(#[from] image::ImageError),
    /// Something failed while something larger was done.
    #[error("{doing}: {source}")]
    While {
        /// What was done, and with what.
        doing: String,
        /// What failed.
        source: Box<Error>,
    },
    /// The answer was cancelled before it was finished.
    #[error("the answer was cancelled")]
    Cancelled,
}

impl Error {
    /// Whether other words would have helped: settings or names that cannot be.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Engine(foveate_core::Error::Request { .. }) => true,
            Self::While { source, .. } => source.is_usage(),
            _ => false,
        }
    }

    /// Whether a reader of the output left.
    pub fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::While { source, .. } => source.is_closed_pipe(),
            _ => false,
        }
    }
}

/// Says what was done when something failed.
pub(crate) trait While<T> {
    /// The result, or an error that names what was done.
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> While<T> for std::result::Result<T, E> {
    fn doing<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::While {
            doing: what().to_string(),
            source: Box::new(error.into()),
        })
    }
}
