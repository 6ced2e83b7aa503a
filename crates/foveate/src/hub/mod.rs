//! Downloads from the Hugging Face hub into its cache: exactly the files that a model needs.

mod client;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use foveate_core::Environment;

use crate::error::{Error, Result, While as _};
use crate::opening::Surroundings;

use client::{Client, Found};
use store::Store;

/// The public hub.
const ENDPOINT: &str = "https://huggingface.co";

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
/// What some models have in place of it.
const TOKENIZER_PARTS: [&str; 2] = ["vocab.json", "merges.txt"];
const OPTIONAL: [&str; 4] = [
    "generation_config.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "chat_template.jinja",
];

/// Where to download from, and to.
pub(crate) struct Hub<'a> {
    client: Client,
    cache: PathBuf,
    surroundings: &'a Surroundings<'a>,
}

impl<'a> Hub<'a> {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN` and the file that `hf auth login` writes.
    pub(crate) fn new(
        environment: &Environment,
        surroundings: &'a Surroundings<'a>,
    ) -> Result<Self> {
        let variable = surroundings.variables;
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let cache = environment.hub_cache().ok_or_else(|| {
            let reason = "there is no folder for the Hugging Face cache; set HF_HOME to where models may be stored";
            Error::Source(reason.into())
        })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let token = text("HF_TOKEN").or_else(|| {
            let file = variable("HF_TOKEN_PATH").map(PathBuf::from);
            // `HF_HOME/token`: beside the cache, whose last part is `hub`.
            let file = file.or_else(|| Some(cache.parent()?.join("token")))?;
            let token = fs::read_to_string(file).ok()?.trim().to_owned();
            Some(token).filter(|token| !token.is_empty())
        });
        Ok(Self {
            client: Client::new(&endpoint, token),
            cache,
            surroundings,
        })
    }

    /// Brings every missing file of a model into the cache and returns its snapshot folder.
    ///
    /// The reference of `revision` is written last, so that no other program takes an unfinished
    /// snapshot for a model.
    pub(crate) fn model(&self, repository: &str, revision: &str) -> Result<PathBuf> {
        let found = self.require(repository, revision, CONFIG)?;
        let commit = found.commit.clone();
        let store = Store::new(
            &self.cache,
            repository,
            &commit,
            self.surroundings.downloads,
        )?;
        let config = store.fetch(&self.client, &found)?;
        if self.fetch_if_any(&store, repository, TOKENIZER)?.is_none() {
            for name in TOKENIZER_PARTS {
                if self.fetch_if_any(&store, repository, name)?.is_none() {
                    return Err(Error::Source(format!(
                        "{repository} has neither {TOKENIZER} nor {name}"
                    )));
                }
            }
        }
        for name in OPTIONAL {
            self.fetch_if_any(&store, repository, name)?;
        }
        for name in own_tower_configs(&config)? {
            self.fetch_if_any(&store, repository, &name)?;
        }
        if self.fetch_if_any(&store, repository, WEIGHTS)?.is_none() {
            let Some(index) = self.fetch_if_any(&store, repository, INDEX)? else {
                return Err(Error::Source(format!(
                    "{repository} has neither {WEIGHTS} nor {INDEX}; only safetensors is read, so \
                     convert the model or name another repository"
                )));
            };
            for shard in shards(&index)? {
                store.fetch(&self.client, &self.require(repository, &commit, &shard)?)?;
            }
        }
        store.refer(revision)?;
        Ok(store.snapshot().to_path_buf())
    }

    /// Brings the config of a vision tower into the cache; its weights are in the model.
    pub(crate) fn tower(&self, repository: &str) -> Result<()> {
        let found = self.require(repository, "main", CONFIG)?;
        let store = Store::new(
            &self.cache,
            repository,
            &found.commit,
            self.surroundings.downloads,
        )?;
        store.fetch(&self.client, &found)?;
        self.fetch_if_any(&store, repository, "preprocessor_config.json")?;
        store.refer("main")
    }

    fn fetch_if_any(
        &self,
        store: &Store<'_>,
        repository: &str,
        name: &str,
    ) -> Result<Option<PathBuf>> {
        match self.client.find(repository, store.commit(), name)? {
            Some(found) => store.fetch(&self.client, &found).map(Some),
            None => Ok(None),
        }
    }

    fn require(&self, repository: &str, revision: &str, name: &str) -> Result<Found> {
        let found = self.client.find(repository, revision, name)?;
        found.ok_or_else(|| {
            Error::Source(format!(
                "{repository} has no {name} at {revision}; is it a model in Hugging Face's layout?"
            ))
        })
    }
}

/// Whether a snapshot holds all that [`Hub::model`] would bring, weights included.
pub(crate) fn is_complete(snapshot: &Path) -> bool {
    let has = |name: &str| snapshot.join(name).is_file();
    let weights = || {
        let named = shards(&snapshot.join(INDEX));
        has(WEIGHTS) || named.is_ok_and(|shards| shards.iter().all(|name| has(name)))
    };
    let tokenizer = has(TOKENIZER) || TOKENIZER_PARTS.into_iter().all(has);
    has(CONFIG) && tokenizer && weights()
}

/// Where a model's own repository may keep the config of its vision tower.
fn own_tower_configs(config: &Path) -> Result<Vec<String>> {
    let json = read_json(config)?;
    let tower = json["mm_vision_tower"].as_str().unwrap_or_default();
    let tower = tower.trim_end_matches('/');
    let last = tower.rsplit('/').next().unwrap_or(tower);
    let mut folders = vec![tower, last];
    folders.dedup();
    let inside = |folder: &&str| folder.split('/').all(store::is_name);
    let files = [CONFIG, "preprocessor_config.json"];
    Ok(folders
        .into_iter()
        .filter(inside)
        .flat_map(|folder| files.map(|file| format!("{folder}/{file}")))
        .collect())
}

/// The weight files that an index names, each once.
fn shards(index: &Path) -> Result<Vec<String>> {
    let json = read_json(index)?;
    let map = json["weight_map"].as_object();
    let mut names: Vec<String> = map
        .into_iter()
        .flat_map(|map| map.values())
        .map(|name| name.as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    match names.iter().find(|name| !store::is_name(name)) {
        Some(name) => Err(Error::Source(format!(
            "{}: weight_map names {name:?}, expected a file name without a folder",
            index.display()
        ))),
        None if names.is_empty() => {
            let empty = format!("{}: weight_map names no file", index.display());
            Err(Error::Source(empty))
        }
        None => Ok(names),
    }
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text = fs::read_to_string(path).doing(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Source(format!("{} is not JSON: {error}", path.display())))
}
