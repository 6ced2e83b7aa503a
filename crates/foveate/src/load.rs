//! From `-m` to a model: a folder, the Hugging Face cache, the hub, or the files built into the program.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use foveate_core::{
    Checkpoint, EmbeddedFiles, Engine, Environment, Error, ModelCard, card, is_repository, resolve,
};
use foveate_kernels::Ledger;

use crate::args::{ModelArgs, SourceArgs};
use crate::exit::usage;
#[cfg(feature = "hub")]
use crate::hub;
use crate::{backend, progress};

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

/// Finds the model, downloads what is missing where that is built in, and reads its config.
pub(crate) fn open(args: &SourceArgs) -> Result<Model> {
    let environment = Environment::from_variables(|name| std::env::var_os(name));
    let Some(name) = &args.model else {
        return open_built_in(environment);
    };
    let source = Source::new(args, &environment);
    let (repository, revision) = split_revision(name, args.revision.as_deref())?;
    let folder = source.folder(repository, revision)?;
    let checkpoint = open_folder(&folder)?;
    let reading = || format!("reading the config of {name}");
    let card = match card(&checkpoint, &environment) {
        Err(Error::ModelNotFound { model, tried, next }) => {
            let missing = Error::ModelNotFound {
                model: model.clone(),
                tried,
                next,
            };
            source.tower(&model, missing).with_context(reading)?;
            foveate_core::card(&checkpoint, &environment)
        }
        card => card,
    };
    Ok(Model {
        card: card.with_context(reading)?,
        name: name.clone(),
        checkpoint,
        environment,
    })
}

fn open_built_in(environment: Environment) -> Result<Model> {
    if BUILT_IN.is_empty() {
        bail!("no default model in this build; pass -m");
    }
    let checkpoint = Checkpoint::embedded(BUILT_IN).context("opening the built-in model")?;
    let name = "foveate-nano (built-in)".to_owned();
    let card = card(&checkpoint, &environment).with_context(|| format!("reading {name}"))?;
    Ok(Model {
        name,
        checkpoint,
        environment,
        card,
    })
}

/// `organisation/name@revision` → its parts; a folder may have an `@` in its name.
fn split_revision<'a>(name: &'a str, flag: Option<&'a str>) -> Result<(&'a str, &'a str)> {
    match name.rsplit_once('@') {
        Some((repository, revision)) if is_repository(repository) && !Path::new(name).is_dir() => {
            if let Some(other) = flag.filter(|flag| *flag != revision) {
                let reason = format!("{name} says {revision}, --revision says {other}; give one");
                return Err(usage(reason));
            }
            Ok((repository, revision))
        }
        _ => Ok((name, flag.unwrap_or("main"))),
    }
}

/// Where models come from: folders, the cache and, if built in and allowed, the hub.
struct Source<'a> {
    environment: &'a Environment,
    /// Why nothing may be downloaded.
    offline: Option<&'static str>,
}

impl<'a> Source<'a> {
    fn new(args: &SourceArgs, environment: &'a Environment) -> Self {
        let variable = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
        let is_set = ["1", "true", "yes", "on"].contains(&variable.to_lowercase().as_str());
        let offline = if args.offline {
            Some("--offline")
        } else {
            is_set.then_some("HF_HUB_OFFLINE")
        };
        Self {
            environment,
            offline,
        }
    }

    fn folder(&self, model: &str, revision: &str) -> Result<PathBuf> {
        let found = resolve(model, revision, self.environment);
        #[cfg(feature = "hub")]
        if self.offline.is_none() && is_repository(model) && !Path::new(model).is_dir() {
            return match found {
                Ok(folder) if hub::is_complete(&folder) => Ok(folder),
                Ok(_) | Err(Error::ModelNotFound { .. }) => self.hub()?.model(model, revision),
                Err(error) => Err(error.into()),
            };
        }
        found.map_err(|error| self.advise(error).into())
    }

    /// Gets the config of the vision tower that a model names; `missing` is the error otherwise.
    #[cfg(feature = "hub")]
    fn tower(&self, tower: &str, missing: Error) -> Result<()> {
        if self.offline.is_none() && is_repository(tower) {
            return self.hub()?.tower(tower);
        }
        Err(missing.into())
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "with the hub it downloads")]
    fn tower(&self, _tower: &str, missing: Error) -> Result<()> {
        Err(missing.into())
    }

    #[cfg(feature = "hub")]
    fn hub(&self) -> Result<hub::Hub> {
        hub::Hub::from_variables(self.environment, |name| std::env::var_os(name))
    }

    /// What to do about a repository that is not in the cache.
    fn advise(&self, error: Error) -> Error {
        match error {
            Error::ModelNotFound { model, tried, .. } if is_repository(&model) => {
                let download = match self.offline {
                    Some(reason) if cfg!(feature = "hub") => {
                        format!("run once without {reason} to download it")
                    }
                    _ => format!(
                        "run `hf download {model}`, or a foveate built with `--features hub`"
                    ),
                };
                let next = format!(
                    "{download}; or put config.json, tokenizer.json, tokenizer_config.json, \
                     generation_config.json and model.safetensors (or its index and shards) into a \
                     folder and give that to -m"
                );
                Error::ModelNotFound { model, tried, next }
            }
            other => other,
        }
    }
}

/// Reads the weights onto the chosen backend, with a progress bar.
pub(crate) fn weights(model: &Model, args: &ModelArgs) -> Result<Engine> {
    read(model, args, |load| backend::run(args.machine, load))
}

/// The same with accounts of what every operation costs.
pub(crate) fn timed_weights(model: &Model, args: &ModelArgs) -> Result<(Engine, Ledger)> {
    read(model, args, |load| backend::run_timed(args.machine, load))
}

fn read<T>(
    model: &Model,
    args: &ModelArgs,
    onto: impl FnOnce(backend::Load<'_>) -> Result<T>,
) -> Result<T> {
    let bar = progress::layers("loading");
    let read = onto(backend::Load {
        checkpoint: &model.checkpoint,
        environment: &model.environment,
        format: args.machine.dtype.into(),
        progress: &mut |done, of| progress::set(&bar, done, of),
    });
    bar.finish_and_clear();
    read.with_context(|| format!("loading {}", model.name))
}

fn open_folder(folder: &Path) -> Result<Checkpoint> {
    Checkpoint::open(folder).with_context(|| format!("opening {}", folder.display()))
}
