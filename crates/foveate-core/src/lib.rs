//! Foveate's engine: diffusion vision-language models with visual-token pruning.

#![deny(unsafe_code)]

mod cache;
mod chat_template;
mod checkpoint;
mod config;
mod denoise;
mod engine;
mod error;
pub mod image;
mod models;
mod network;
mod pass;
mod prompt;
mod prune;
mod sequence;
mod settings;
mod tap;
mod tokenizer;
mod tokenizer_parts;
mod visual;

pub use cache::{CACHES, CacheDtype, CacheMethod, CacheSettings, Caching};
pub use chat_template::ChatTemplate;
pub use checkpoint::{Checkpoint, EmbeddedFiles, Environment, TensorRef, is_repository, resolve};
pub use config::{
    Dialect, GenerationDefaults, Identity, LanguageConfig, ModelConfig, MultimodalConfig,
    VisionConfig, VisionTower,
};
pub use denoise::{
    AnswerTemplate, Cancel, Choice, Commit, DEFAULT_SHIFT, Denoiser, Draft, EntropyBound, Factor,
    FinishReason, Fixed, Holes, Klass, Outcome, POLICIES, PhaseTimes, Policy, Prophet, Remasking,
    Schedule, Step, Threshold, Wino,
};
pub use engine::{Engine, OnLayer, Progress, Request};
pub use error::{Error, Result};
pub use image::{DecodeLimits, Orientation, Picture, TilingConfig, TokenLayout, Views};
pub use models::{ModelCard, NamedShape, Predicts, SHAPES, Sampling, card, quantize, write_random};
pub use network::{DecoderShape, VisionShape};
pub use prompt::{
    LLAVA_SYSTEM_PROMPT, Message, Prompt, PromptBuilder, PromptToken, Role, ThinkMode,
};
pub use prune::{
    DEFAULT_KEEP, METHODS, Method, Moment, Positions, PruneSettings, Pruned, Pruning, Queries,
    Survivors, Watch, quota,
};
pub use settings::{
    Explained, Form, Group, Options, Origin, PRESETS, Possible, Preset, Recorded, Said, Setting,
    Settings, Value, settings,
};
pub use tap::{NoTap, Signal, Tap};
pub use tokenizer::{SpecialIds, SpecialText, Tokenizer};
pub use visual::VisualTokens;
