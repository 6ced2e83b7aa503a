//! What a backend may refuse.
//!
//! A shape that does not fit is a mistake of the caller and says what was expected and what was given. Missing memory
//! and threads are the machine's, and say what to do.

/// Short form used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that a backend cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The operation and operand.
        what: &'static str,
        /// The expected shape.
        expected: String,
        /// The given shape.
        got: String,
    },
    /// An allocation that the machine cannot serve.
    #[error(
        "cannot allocate {bytes} bytes for {what}; use a shorter prompt, a smaller image or fewer requests at once"
    )]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the operating system said.
        reason: String,
    },
}

impl Error {
    /// A shape that does not fit: the operation and operand, what it must be, and what it is.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers and fresh strings"
    )]
    pub(crate) fn shape(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape {
            what,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

/// Fails unless `expected == got`, with an error that names `what`.
pub(crate) fn same(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        Ok(())
    } else {
        Err(Error::shape(what, expected, got))
    }
}
