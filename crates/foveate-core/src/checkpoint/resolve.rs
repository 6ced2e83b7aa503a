//! What `-m` means: a folder, or the name of a model in the Hugging Face cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::source::read_small;
use crate::error::{Error, Result};

/// The variables of the process that decide where the Hugging Face cache is.
///
/// The library reads no environment; the program passes it in.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HF_HUB_CACHE`.
    pub hf_hub_cache: Option<PathBuf>,
    /// `HUGGINGFACE_HUB_CACHE`, the older name.
    pub huggingface_hub_cache: Option<PathBuf>,
    /// `HF_HOME`.
    pub hf_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub xdg_cache_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Asks `variable` for each name; `Environment::from_variables(|name| std::env::var_os(name))`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            hf_hub_cache: path("HF_HUB_CACHE"),
            huggingface_hub_cache: path("HUGGINGFACE_HUB_CACHE"),
            hf_home: path("HF_HOME"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            home: path("HOME").or_else(|| path("USERPROFILE")),
        }
    }

    /// The cache folder, by the same precedence as the Python client.
    pub fn hub_cache(&self) -> Option<PathBuf> {
        let home_cache = || self.home.as_ref().map(|home| home.join(".cache"));
        self.hf_hub_cache
            .clone()
            .or_else(|| self.huggingface_hub_cache.clone())
            .or_else(|| self.hf_home.as_ref().map(|home| home.join("hub")))
            .or_else(|| {
                let cache = self.xdg_cache_home.clone().or_else(home_cache);
                cache.map(|cache| cache.join("huggingface").join("hub"))
            })
    }
}

/// The folder of a model that is given as a folder or as `organisation/name`.
///
/// `revision` is a branch, tag or commit, usually `main`; it matters for the cache only.
pub fn resolve(model: &str, revision: &str, environment: &Environment) -> Result<PathBuf> {
    let folder = PathBuf::from(model);
    if folder.is_dir() {
        return Ok(folder);
    }
    let mut tried = vec![folder];
    if let Some(repository) = cached_repository(model, environment) {
        if let Some(snapshot) = snapshot(&repository, revision)? {
            return Ok(snapshot);
        }
        tried.push(repository);
    }
    let next = if is_repository(model) {
        format!("download it with `hf download {model}`, or give the folder it is in")
    } else {
        "give a folder, or organisation/name of a model in the Hugging Face cache".to_owned()
    };
    Err(Error::ModelNotFound {
        model: model.to_owned(),
        tried,
        next,
    })
}

/// The newest cached snapshot of a repository, for files that a model refers to.
pub(crate) fn cached(repository: &str, environment: &Environment) -> Result<Option<PathBuf>> {
    match cached_repository(repository, environment) {
        Some(folder) => snapshot(&folder, "main"),
        None => Ok(None),
    }
}

fn cached_repository(name: &str, environment: &Environment) -> Option<PathBuf> {
    let folder = format!("models--{}", name.replace('/', "--"));
    environment
        .hub_cache()
        .filter(|_| is_repository(name))
        .map(|cache| cache.join(folder))
}

/// Follows `refs/{revision}` to `snapshots/{commit}`; a commit may also be given directly.
fn snapshot(repository: &Path, revision: &str) -> Result<Option<PathBuf>> {
    if !revision.split('/').all(is_name) {
        let reason = format!("{revision:?} is not a branch, tag or commit");
        return Err(Error::request("revision", reason));
    }
    let reference = repository.join("refs").join(revision);
    let commit = match read_small(&reference)? {
        Some(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        None => revision.to_owned(),
    };
    if !is_name(&commit) {
        return Err(Error::malformed(reference, "expected the name of a commit"));
    }
    Ok(Some(repository.join("snapshots").join(commit)).filter(|folder| folder.is_dir()))
}

/// `organisation/name` or, for a few old models, `name`.
pub fn is_repository(name: &str) -> bool {
    name.split('/').count() <= 2 && name.split('/').all(is_name)
}

/// One part of a path that can neither climb nor be hidden.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        std::fs::write(path, text).expect("file");
    }

    #[test]
    fn the_cache_folder_follows_the_clients_precedence() {
        let mut environment = Environment::from_variables(|name| Some(format!("/{name}").into()));
        let mut order = vec![environment.hub_cache()];
        environment.hf_hub_cache = None;
        order.push(environment.hub_cache());
        environment.huggingface_hub_cache = None;
        order.push(environment.hub_cache());
        environment.hf_home = None;
        order.push(environment.hub_cache());
        environment.xdg_cache_home = None;
        order.push(environment.hub_cache());
        environment.home = None;
        order.push(environment.hub_cache());
        let expected = [
            Some("/HF_HUB_CACHE"),
            Some("/HUGGINGFACE_HUB_CACHE"),
            Some("/HF_HOME/hub"),
            Some("/XDG_CACHE_HOME/huggingface/hub"),
            Some("/HOME/.cache/huggingface/hub"),
            None,
        ];
        assert_eq!(order, expected.map(|path| path.map(PathBuf::from)));
    }

    #[test]
    fn a_name_is_found_in_the_cache_and_a_folder_wins() {
        let folder = tempfile::tempdir().expect("folder");
        let repository = folder.path().join("models--org--model");
        write(&repository.join("refs/main"), "abc123\n");
        write(&repository.join("snapshots/abc123/config.json"), "{}");
        let environment = Environment {
            hf_hub_cache: Some(folder.path().into()),
            ..Environment::default()
        };
        let snapshot = repository.join("snapshots/abc123");
        for revision in ["main", "abc123"] {
            assert_eq!(
                resolve("org/model", revision, &environment).expect("found"),
                snapshot
            );
        }
        let given = snapshot.to_str().expect("text");
        assert_eq!(
            resolve(given, "main", &environment).expect("found"),
            snapshot
        );
    }

    #[test]
    fn a_missing_model_says_where_it_looked_and_what_to_do() {
        let environment = Environment {
            hf_hub_cache: Some("/nowhere".into()),
            ..Environment::default()
        };
        let error = resolve("org/model", "main", &environment)
            .expect_err("missing")
            .to_string();
        for part in [
            "org/model",
            "/nowhere/models--org--model",
            "hf download org/model",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn neither_names_nor_references_leave_the_cache() {
        let folder = tempfile::tempdir().expect("folder");
        let environment = Environment {
            hf_hub_cache: Some(folder.path().into()),
            ..Environment::default()
        };
        let repository = folder.path().join("models--org--model");
        write(&repository.join("refs/main"), "../../../etc");
        assert!(resolve("org/model", "main", &environment).is_err());
        assert!(resolve("org/model", "../main", &environment).is_err());
        assert!(resolve("../model", "main", &environment).is_err());
    }
}
