//! From a model's name to a model: a folder, the Hugging Face cache, the hub, or the files built in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use foveate_core::{
    Checkpoint, EmbeddedFiles, Engine, Environment, Error as CoreError, ModelCard, Options,
    Settings, Tokenizer, is_repository, resolve,
};

use foveate_kernels::Ledger;

use crate::error::{Error, Result, While as _};
#[cfg(feature = "hub")]
use crate::hub;
use crate::machine::{Machine, OnLayers};

/// Empty when the repository had no default model at build time.
const BUILT_IN: EmbeddedFiles = include!(concat!(env!("OUT_DIR"), "/built_in_model.rs"));

/// Which model to open.
///
/// ```
/// use foveate::{Opened, Source, Surroundings, Unheard};
///
/// let source = Source {
///     model: Some("GSAI-ML/LLaDA-V@main".into()),
///     offline: Some("a test".into()),
///     ..Source::default()
/// };
/// let surroundings = Surroundings { variables: &|_| None, downloads: &Unheard };
/// assert!(Opened::open(&source, &surroundings).is_err(), "there is no cache without variables");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A folder, or `organisation/name` (with `@revision` or not); the built-in model when absent.
    pub model: Option<String>,
    /// Branch, tag or commit; `main` when absent.
    pub revision: Option<String>,
    /// Why nothing may be downloaded, as the user said it; none where it may.
    pub offline: Option<String>,
}

/// What the surroundings say: where the caches are, who may download, and who hears of it.
pub struct Surroundings<'a> {
    /// The variables of the environment, by name.
    pub variables: &'a dyn Fn(&str) -> Option<OsString>,
    /// Hears of downloads.
    pub downloads: &'a dyn Downloads,
}

/// Hears of downloads.
pub trait Downloads {
    /// Another program loads the file; this one waits for it.
    fn waits(&self, file: &str);
    /// Bytes of a file that are there, of so many.
    fn loaded(&self, file: &str, bytes: u64, of: u64);
    /// The file is whole.
    fn finished(&self, file: &str);
}

/// Nobody hears of downloads.
#[derive(Clone, Copy, Debug)]
pub struct Unheard;

impl Downloads for Unheard {
    fn waits(&self, _file: &str) {}
    fn loaded(&self, _file: &str, _bytes: u64, _of: u64) {}
    fn finished(&self, _file: &str) {}
}

/// A model whose config is read and whose weights are not.
///
/// ```
/// let model = foveate::Opened::built_in()?;
/// assert_eq!(model.card.family, "llada-v");
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Debug)]
pub struct Opened {
    /// As it was asked for, or what stands for the built-in model.
    pub name: String,
    /// Its files.
    pub checkpoint: Checkpoint,
    /// Where the files it refers to may be.
    pub environment: Environment,
    /// What its config says.
    pub card: ModelCard,
}

impl Opened {
    /// The model that this library carries.
    pub fn built_in() -> Result<Self> {
        Self::embedded(Environment::from_variables(|_| None))
    }

    /// Opens a model, and downloads what is missing where that is built in and allowed.
    pub fn open(source: &Source, surroundings: &Surroundings<'_>) -> Result<Self> {
        let environment = Environment::from_variables(surroundings.variables);
        let Some(name) = &source.model else {
            return Self::embedded(environment);
        };
        let finder = Finder::new(source, surroundings, &environment);
        let (repository, revision) = split_revision(name, source.revision.as_deref())?;
        let folder = finder.folder(repository, revision)?;
        let checkpoint =
            Checkpoint::open(&folder).doing(|| format!("opening {}", folder.display()))?;
        let reading = || format!("reading the config of {name}");
        let card = match foveate_core::card(&checkpoint, &environment) {
            Err(CoreError::ModelNotFound { model, tried, next }) => {
                let missing = CoreError::ModelNotFound {
                    model: model.clone(),
                    tried,
                    next,
                };
                finder.tower(&model, missing).doing(reading)?;
                foveate_core::card(&checkpoint, &environment)
            }
            card => card,
        };
        Ok(Self {
            card: card.doing(reading)?,
            name: name.clone(),
            checkpoint,
            environment,
        })
    }

    fn embedded(environment: Environment) -> Result<Self> {
        if BUILT_IN.is_empty() {
            return Err(Error::Source(
                "no default model in this build; pass -m".into(),
            ));
        }
        let checkpoint = Checkpoint::embedded(BUILT_IN).doing(|| "opening the built-in model")?;
        let name = "foveate-nano (built-in)".to_owned();
        let card = foveate_core::card(&checkpoint, &environment);
        Ok(Self {
            card: card.doing(|| format!("reading {name}"))?,
            name,
            checkpoint,
            environment,
        })
    }

    /// The options that settings resolve to, checked before the weights are read.
    pub fn options(&self, settings: &Settings) -> Result<Options> {
        let options = settings.resolve(&self.card, || Tokenizer::open(&self.checkpoint))?;
        options.check(&self.card)?;
        Ok(options)
    }

    /// Reads the weights onto a backend that keeps accounts of every operation.
    pub fn load_timed(&self, machine: Machine, progress: OnLayers<'_>) -> Result<(Engine, Ledger)> {
        let engine = machine.load_timed(&self.checkpoint, &self.environment, progress);
        engine.doing(|| format!("loading {}", self.name))
    }

    /// Reads the weights.
    pub fn load(&self, machine: Machine, progress: OnLayers<'_>) -> Result<Engine> {
        let engine = machine.load(&self.checkpoint, &self.environment, progress);
        engine.doing(|| format!("loading {}", self.name))
    }
}

/// `organisation/name@revision` → its parts; a folder may have an `@` in its name.
fn split_revision<'a>(name: &'a str, said: Option<&'a str>) -> Result<(&'a str, &'a str)> {
    match name.rsplit_once('@') {
        Some((repository, revision)) if is_repository(repository) && !Path::new(name).is_dir() => {
            match said.filter(|said| *said != revision) {
                Some(other) => Err(Error::Usage(format!(
                    "{name} says {revision}, --revision says {other}; give one"
                ))),
                None => Ok((repository, revision)),
            }
        }
        _ => Ok((name, said.unwrap_or("main"))),
    }
}

/// Where models come from: folders, the cache and, if built in and allowed, the hub.
struct Finder<'a> {
    environment: &'a Environment,
    #[cfg_attr(
        not(feature = "hub"),
        expect(dead_code, reason = "only the hub is asked")
    )]
    surroundings: &'a Surroundings<'a>,
    /// Why nothing may be downloaded.
    offline: Option<String>,
}

impl<'a> Finder<'a> {
    fn new(
        source: &Source,
        surroundings: &'a Surroundings<'a>,
        environment: &'a Environment,
    ) -> Self {
        let variable = (surroundings.variables)("HF_HUB_OFFLINE").unwrap_or_default();
        let variable = variable.to_string_lossy().to_lowercase();
        let is_set = ["1", "true", "yes", "on"].contains(&variable.as_str());
        let by_variable = is_set.then(|| "HF_HUB_OFFLINE".to_owned());
        Self {
            environment,
            surroundings,
            offline: source.offline.clone().or(by_variable),
        }
    }

    fn folder(&self, model: &str, revision: &str) -> Result<PathBuf> {
        let found = resolve(model, revision, self.environment);
        #[cfg(feature = "hub")]
        if self.offline.is_none() && is_repository(model) && !Path::new(model).is_dir() {
            return match found {
                Ok(folder) if hub::is_complete(&folder) => Ok(folder),
                Ok(_) | Err(CoreError::ModelNotFound { .. }) => self.hub()?.model(model, revision),
                Err(error) => Err(error.into()),
            };
        }
        found.map_err(|error| self.advise(error).into())
    }

    /// Gets the config of the vision tower that a model names; `missing` is the error otherwise.
    #[cfg(feature = "hub")]
    fn tower(&self, tower: &str, missing: CoreError) -> Result<()> {
        if self.offline.is_none() && is_repository(tower) {
            return self.hub()?.tower(tower);
        }
        Err(missing.into())
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "with the hub it downloads")]
    fn tower(&self, _tower: &str, missing: CoreError) -> Result<()> {
        Err(missing.into())
    }

    #[cfg(feature = "hub")]
    fn hub(&self) -> Result<hub::Hub<'a>> {
        hub::Hub::new(self.environment, self.surroundings)
    }

    /// What to do about a repository that is not in the cache.
    fn advise(&self, error: CoreError) -> CoreError {
        match error {
            CoreError::ModelNotFound { model, tried, .. } if is_repository(&model) => {
                let download = match &self.offline {
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
                CoreError::ModelNotFound { model, tried, next }
            }
            other => other,
        }
    }
}
