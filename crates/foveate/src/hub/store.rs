//! One snapshot in the Hugging Face cache: contents by etag, and the names that point to them.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::client::{Client, Found};
use crate::error::{Error, Result, While as _};
use crate::opening::Downloads;

/// Attempts that each brought something before a download is given up.
const MAX_ATTEMPTS: usize = 5;

/// The folder `models--organisation--name` of the cache, at one commit.
pub(super) struct Store<'a> {
    folder: PathBuf,
    snapshot: PathBuf,
    commit: String,
    downloads: &'a dyn Downloads,
}

impl<'a> Store<'a> {
    pub(super) fn new(
        cache: &Path,
        repository: &str,
        commit: &str,
        downloads: &'a dyn Downloads,
    ) -> Result<Self> {
        if !is_name(commit) {
            return Err(Error::Source(format!(
                "the hub calls the commit of {repository} {commit:?}, which is no name"
            )));
        }
        let folder = cache.join(format!("models--{}", repository.replace('/', "--")));
        Ok(Self {
            snapshot: folder.join("snapshots").join(commit),
            folder,
            commit: commit.to_owned(),
            downloads,
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
            let unnamed = format!("{}: the etag {:?} is no name", found.name, found.etag);
            return Err(Error::Source(unnamed));
        }
        let blob = self.folder.join("blobs").join(&found.etag);
        let write = || format!("storing {} in {}", found.name, self.folder.display());
        make_parent(&blob).doing(write)?;
        make_parent(&path).doing(write)?;
        if !blob.is_file() {
            let loaded = download(client, found, &blob, self.downloads);
            loaded.doing(|| format!("downloading {}", found.name))?;
        }
        point(&path, &blob, found.name.split('/').count()).doing(write)?;
        Ok(path)
    }

    /// Lets `revision` mean this snapshot.
    pub(super) fn refer(&self, revision: &str) -> Result<()> {
        if revision == self.commit {
            return Ok(());
        }
        let reference = self.folder.join("refs").join(revision);
        let write = || format!("writing {}", reference.display());
        make_parent(&reference).doing(write)?;
        fs::write(&reference, &self.commit).doing(write)
    }
}

/// One part of a path that can neither climb nor be hidden.
pub(super) fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

/// Continues what an earlier attempt left, and gives the file its name only when it is whole.
fn download(client: &Client, found: &Found, blob: &Path, downloads: &dyn Downloads) -> Result<()> {
    let mut partial = blob.as_os_str().to_owned();
    partial.push(".incomplete");
    let partial = PathBuf::from(partial);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).open(&partial)?;
    if file.try_lock().is_err() {
        downloads.waits(&found.name);
        file.lock()?;
        if blob.is_file() {
            return Ok(());
        }
    }
    for _ in 0..MAX_ATTEMPTS {
        let before = file.metadata()?.len();
        if before > found.size {
            file.set_len(0)?;
        }
        if before == found.size {
            downloads.finished(&found.name);
            return Ok(fs::rename(&partial, blob)?);
        }
        let (begins, body) = client.load(found, before)?;
        file.set_len(begins)?;
        let mut heard = Heard {
            body: body.take(found.size - begins),
            found,
            bytes: begins,
            downloads,
        };
        let ended = io::copy(&mut heard, &mut file);
        file.flush()?;
        if file.metadata()?.len() <= before {
            let reason = ended
                .err()
                .map_or("the server sent nothing".to_owned(), |e| e.to_string());
            return Err(Error::Source(format!(
                "stopped at {before} of {} bytes: {reason}; run again to continue",
                found.size
            )));
        }
    }
    Err(Error::Source(format!(
        "interrupted {MAX_ATTEMPTS} times, at {} of {} bytes; run again to continue",
        file.metadata()?.len(),
        found.size
    )))
}

/// Bytes on their way that somebody hears of.
struct Heard<'a, R> {
    body: R,
    found: &'a Found,
    bytes: u64,
    downloads: &'a dyn Downloads,
}

impl<R: Read> Read for Heard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.bytes += count as u64;
        let (name, of) = (&self.found.name, self.found.size);
        self.downloads.loaded(name, self.bytes, of);
        Ok(count)
    }
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
