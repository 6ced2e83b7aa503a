//! One snapshot in the Hugging Face cache: contents by etag, and the names that point to them.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::client::{Client, Found};
use crate::exit::note;
use crate::progress;

/// Attempts that each brought something before a download is given up.
const MAX_ATTEMPTS: usize = 5;

/// The folder `models--organisation--name` of the cache, at one commit.
pub(super) struct Store {
    folder: PathBuf,
    snapshot: PathBuf,
    commit: String,
}

impl Store {
    pub(super) fn new(cache: &Path, repository: &str, commit: &str) -> Result<Self> {
        if !is_name(commit) {
            bail!("the hub calls the commit of {repository} {commit:?}, which is no name");
        }
        let folder = cache.join(format!("models--{}", repository.replace('/', "--")));
        Ok(Self {
            snapshot: folder.join("snapshots").join(commit),
            folder,
            commit: commit.to_owned(),
        })
    }

    pub(super) fn commit(&self) -> &str {
        &self.commit
    }

    pub(super) fn snapshot(&self) -> &Path {
        &self.snapshot
    }

    /// The file in the snapshot, downloaded unless it is there.
    pub(super) fn fetch(&self, client: &Client, found: &Found) -> Result<PathBuf> {
        let path = self.snapshot.join(&found.name);
        if path.is_file() {
            return Ok(path);
        }
        if !is_name(&found.etag) {
            bail!("{}: the etag {:?} is no name", found.name, found.etag);
        }
        let blob = self.folder.join("blobs").join(&found.etag);
        let write = || format!("storing {} in {}", found.name, self.folder.display());
        make_parent(&blob).with_context(write)?;
        make_parent(&path).with_context(write)?;
        if !blob.is_file() {
            download(client, found, &blob)
                .with_context(|| format!("downloading {}", found.name))?;
        }
        point(&path, &blob, found.name.split('/').count()).with_context(write)?;
        Ok(path)
    }

    /// Lets `revision` mean this snapshot.
    pub(super) fn refer(&self, revision: &str) -> Result<()> {
        if revision == self.commit {
            return Ok(());
        }
        let reference = self.folder.join("refs").join(revision);
        let write = || format!("writing {}", reference.display());
        make_parent(&reference).with_context(write)?;
        fs::write(&reference, &self.commit).with_context(write)
    }
}

/// One part of a path that can neither climb nor be hidden.
pub(super) fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

/// Continues what an earlier attempt left, and gives the file its name only when it is whole.
fn download(client: &Client, found: &Found, blob: &Path) -> Result<()> {
    let mut partial = blob.as_os_str().to_owned();
    partial.push(".incomplete");
    let partial = PathBuf::from(partial);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).open(&partial)?;
    if file.try_lock().is_err() {
        note(&format!("waiting for another download of {}", found.name));
        file.lock()?;
        if blob.is_file() {
            return Ok(());
        }
    }
    let bar = progress::bytes(&found.name, found.size);
    for _ in 0..MAX_ATTEMPTS {
        let before = file.metadata()?.len();
        if before > found.size {
            file.set_len(0)?;
        }
        if before == found.size {
            bar.finish_and_clear();
            return Ok(fs::rename(&partial, blob)?);
        }
        let (begins, body) = client.load(found, before)?;
        file.set_len(begins)?;
        bar.set_position(begins);
        let ended = io::copy(
            &mut bar.wrap_read(body.take(found.size - begins)),
            &mut file,
        );
        file.flush()?;
        if file.metadata()?.len() <= before {
            let reason = ended
                .err()
                .map_or("the server sent nothing".to_owned(), |e| e.to_string());
            bail!(
                "stopped at {before} of {} bytes: {reason}; run again to continue",
                found.size
            );
        }
    }
    bail!(
        "interrupted {MAX_ATTEMPTS} times, at {} of {} bytes; run again to continue",
        file.metadata()?.len(),
        found.size
    )
}

/// A relative link where there are such, so that the cache can be moved; else the content itself.
fn point(path: &Path, blob: &Path, depth: usize) -> io::Result<()> {
    #[cfg(unix)]
    let made = {
        // snapshots/COMMIT/a/b → ../../../blobs/ETAG
        let up = "../".repeat(depth + 1);
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), path)
    };
    #[cfg(not(unix))]
    let made = {
        let _ = depth;
        fs::rename(blob, path)
    };
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for name in ["abc", "model-00001-of-00002.safetensors", "a_b.c"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".git", "a/b", "a\\b", "a b", "c:"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
