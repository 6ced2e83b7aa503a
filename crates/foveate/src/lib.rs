//! Foveate as a library: open a model, say how to answer, ask about pictures, and look on.
//!
//! ```no_run
//! use foveate::{Machine, Opened, Orientation, Origin, Settings};
//!
//! let opened = Opened::built_in()?;
//! let mut settings = Settings::default();
//! settings.set("prune", "redvtp", Origin::Flag)?;
//! let options = opened.options(&settings)?;
//! let engine = opened.load(Machine::default(), &mut |_, _| {})?;
//! let pictures = foveate::pictures::read(&["photo.jpg".into()], Orientation::Apply)?;
//! let answered = foveate::ask(&engine, "What is in the picture?", &pictures, &options)?;
//! println!("{}", answered.text);
//! # Ok::<(), foveate::Error>(())
//! ```
//!
//! [`Opened`] finds models by path, by repository, or the one that is built in; [`Machine`] names the
//! arithmetic; [`Settings`] are what can be said about an answer; an [`Observer`] sees every step, and
//! [`text::so_far`] what it has come to; [`overlay`] draws what was pruned; [`Report`] is what `run --json`
//! prints.

mod answer;
mod error;
#[cfg(feature = "hub")]
mod hub;
mod machine;
mod opening;
pub mod overlay;
pub mod pictures;
pub mod report;
pub mod text;

pub use answer::{Answered, Observer, Unobserved, answer, ask, encode, start};
pub use error::{Error, Result};
pub use foveate_core as core;
pub use foveate_core::{
    Engine, Options, Orientation, Origin, PRESETS, Picture, Preset, Setting, Settings, settings,
};
pub use foveate_kernels as kernels;
pub use machine::{BackendKind, Machine, OnLayers, Storage};
pub use opening::{Downloads, Opened, Source, Surroundings, Unheard};
pub use report::Report;
