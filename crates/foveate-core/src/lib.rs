//! Foveate's engine: diffusion vision-language models with visual-token pruning.

#![deny(unsafe_code)]

mod checkpoint;
mod config;
mod error;
mod prompt;
mod template;
mod tokenizer;

pub use checkpoint::{Checkpoint, Dtype, EmbeddedFiles, Environment, TensorRef, resolve};
pub use config::{
    GenerationDefaults, Identity, LanguageConfig, LladaVConfig, MultimodalConfig, VisionConfig,
    VisionTower,
};
pub use error::{Error, Result};
pub use prompt::{
    LLAVA_SYSTEM_PROMPT, Message, Prompt, PromptBuilder, PromptToken, Role, ThinkMode,
};
pub use template::Template;
pub use tokenizer::{SpecialIds, SpecialText, Tokenizer};
