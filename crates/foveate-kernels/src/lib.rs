//! The arithmetic of Foveate behind one [`Backend`] trait.

/// What a backend may refuse.
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
    #[error("cannot allocate {bytes} bytes for {what}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
}
