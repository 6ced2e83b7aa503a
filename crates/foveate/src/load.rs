//! From `-m` to a model: a folder, the Hugging Face cache, or the files built into the program.

use std::path::Path;

use anyhow::{Context, Result, bail};
use foveate_core::{Checkpoint, EmbeddedFiles, Engine, Environment, ModelCard, card, resolve};

use crate::args::ModelArgs;
use crate::backend;
use crate::progress;

/// Empty when the repository had no default model at build time.
const BUILT_IN: EmbeddedFiles = include!(concat!(env!("OUT_DIR"), "/built_in_model.rs"));

/// An opened model whose weights are not read yet.
pub(crate) struct Model {
    /// As given to `-m`, or what stands for the built-in model.
    pub(crate) name: String,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) environment: Environment,
    pub(crate) card: ModelCard,
}

/// Finds the model and reads its config.
pub(crate) fn open(args: &ModelArgs) -> Result<Model> {
    let environment = Environment::from_variables(|name| std::env::var_os(name));
    let (name, checkpoint) = match &args.model {
        Some(name) => {
            let folder = resolve(name, &args.revision, &environment)?;
            (name.clone(), open_folder(&folder)?)
        }
        None if BUILT_IN.is_empty() => bail!("no default model in this build; pass -m"),
        None => {
            let checkpoint =
                Checkpoint::embedded(BUILT_IN).context("opening the built-in model")?;
            ("foveate-nano (built-in)".into(), checkpoint)
        }
    };
    let card =
        card(&checkpoint, &environment).with_context(|| format!("reading the config of {name}"))?;
    Ok(Model {
        name,
        checkpoint,
        environment,
        card,
    })
}

/// Reads the weights onto the chosen backend, with a progress bar.
pub(crate) fn weights(model: &Model, args: &ModelArgs) -> Result<Engine> {
    let machine = &args.machine;
    let bar = progress::layers("loading");
    let engine = backend::load(
        &model.checkpoint,
        &model.environment,
        machine.backend,
        machine.threads,
        &mut |done, of| progress::set(&bar, done, of),
    )
    .with_context(|| format!("loading {}", model.name));
    bar.finish_and_clear();
    engine
}

fn open_folder(folder: &Path) -> Result<Checkpoint> {
    Checkpoint::open(folder).with_context(|| format!("opening {}", folder.display()))
}
