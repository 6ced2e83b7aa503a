//! Foveate's engine.

mod error;
pub mod image;

pub use error::{Error, Result};
pub use image::{DecodeLimits, Orientation, Picture, TilingConfig, TokenLayout, Views};
