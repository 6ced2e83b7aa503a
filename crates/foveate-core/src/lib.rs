//! Foveate's engine.

mod error;

pub use error::{Error, Result};
