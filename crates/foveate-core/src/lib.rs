//! Foveate's engine: diffusion vision-language models with visual-token pruning.

#![deny(unsafe_code)]

mod checkpoint;
mod config;
mod denoise;
mod engine;
mod error;
pub mod image;

pub use checkpoint::{Checkpoint, EmbeddedFiles, Environment, resolve};
pub use config::GenerationDefaults;
pub use denoise::{
    Cancel, Commit, Denoiser, FinishReason, Options, Outcome, PhaseTimes, Recorded, Remasking, Step,
};
pub use engine::{Engine, OnLayer, Progress, Request};
pub use error::{Error, Result};
pub use image::{DecodeLimits, Orientation, Picture, TilingConfig, TokenLayout, Views};
