//! Where a model's files come from: a folder, or the program itself.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Files compiled into the program: relative name and content.
pub type EmbeddedFiles = &'static [(&'static str, &'static [u8])];

/// The largest JSON file of a model that is read; published tokenizers are below 40 MB.
const MAX_SMALL_FILE_BYTES: u64 = 256 << 20;

/// A folder on disk or a table in the program, read alike.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Folder(PathBuf),
    Embedded(EmbeddedFiles),
}

impl Source {
    pub(crate) fn root(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.clone(),
            Self::Embedded(_) => PathBuf::from("(built-in model)"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The whole of a small file; `None` when it does not exist.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        match self {
            Self::Folder(folder) => Ok(read_small(&folder.join(name))?.map(Cow::Owned)),
            Self::Embedded(files) => Ok(embedded(files, name).map(Cow::Borrowed)),
        }
    }

    /// Every file beside the weights: configuration, vocabulary, templates.
    pub(crate) fn companions(&self) -> Result<Vec<(String, Cow<'static, [u8]>)>> {
        let mut names = Vec::new();
        match self {
            Self::Folder(folder) => {
                let failed = |error| Error::io(folder, error);
                for entry in std::fs::read_dir(folder).map_err(failed)? {
                    let entry = entry.map_err(failed)?;
                    if entry.path().is_file() {
                        names.extend(entry.file_name().into_string());
                    }
                }
            }
            Self::Embedded(files) => names.extend(files.iter().map(|(name, _)| (*name).to_owned())),
        }
        names.retain(|name| !name.starts_with('.') && !is_weights(name));
        let mut files = Vec::new();
        for name in names {
            if let Some(bytes) = self.read(&name)? {
                files.push((name, bytes));
            }
        }
        Ok(files)
    }

    /// The bytes of a weight file without reading them; `None` when it does not exist.
    pub(crate) fn map(&self, name: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Folder(folder) => map_file(&folder.join(name)),
            Self::Embedded(files) => Ok(embedded(files, name).map(Bytes::Static)),
        }
    }
}

/// Whether a file holds weights, in whichever format, or says where they are.
fn is_weights(name: &str) -> bool {
    const ENDINGS: [&str; 7] = [
        ".safetensors",
        ".index.json",
        ".bin",
        ".pt",
        ".pth",
        ".gguf",
        ".partial",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The bytes of one weight file.
pub(crate) enum Bytes {
    Mapped(memmap2::Mmap),
    Static(&'static [u8]),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }

    /// Asks the system to read `range` now. It may refuse, which costs only time.
    pub(crate) fn read_ahead(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            let _ = map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Gives the memory of `range` back; what is read again comes from the file again. The system may
    /// refuse, which costs only memory.
    #[cfg_attr(
        unix,
        expect(
            unsafe_code,
            reason = "the advice is harmless only to what cannot be written"
        )
    )]
    pub(crate) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: a read-only mapping of a file; its pages hold nothing that is not in the file.
            let _ = unsafe { map.unchecked_advise_range(advice, range.start, range.len()) };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Reads a file of bounded size; `None` when it does not exist.
pub(crate) fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    // Bounded while reading: the length that the system reports may be wrong or grow.
    let read = file.take(MAX_SMALL_FILE_BYTES + 1).read_to_end(&mut bytes);
    if read.map_err(|source| Error::io(path, source))? as u64 > MAX_SMALL_FILE_BYTES {
        let limit = MAX_SMALL_FILE_BYTES >> 20;
        return Err(Error::malformed(
            path,
            format!("larger than the limit of {limit} MiB"),
        ));
    }
    Ok(Some(bytes))
}

#[expect(unsafe_code, reason = "memory mapping is unsafe by nature")]
fn map_file(path: &Path) -> Result<Option<Bytes>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    // SAFETY: the mapping is private and read-only. Another process could still truncate or
    // rewrite the file; `Checkpoint::open` documents that the folder must stay as it is.
    let map = unsafe { memmap2::Mmap::map(&file) };
    map.map(|map| Some(Bytes::Mapped(map)))
        .map_err(|source| Error::io(path, source))
}

/// Opens a regular file; a folder, device or pipe of that name would block or never end.
fn open(path: &Path) -> Result<Option<File>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(Error::io(path, source)),
    };
    if !metadata.is_file() {
        return Err(Error::malformed(path, "expected a file"));
    }
    File::open(path)
        .map(Some)
        .map_err(|source| Error::io(path, source))
}

fn embedded(files: EmbeddedFiles, name: &str) -> Option<&'static [u8]> {
    files
        .iter()
        .find(|(stored, _)| *stored == name)
        .map(|(_, bytes)| *bytes)
}
