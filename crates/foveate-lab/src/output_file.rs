//! Files that are written at the end of the work: refused before it, announced after it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::exit::{note, usage};

/// Refuses a file that `flag` names and that cannot be written: a folder, or one in a folder that is not there.
pub(crate) fn check(flag: &str, path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(usage(format!(
            "{flag}: expected a file, {} is a folder; name a file in it",
            path.display()
        )));
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => Err(usage(format!(
            "{flag}: there is no folder {}; make it first",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// Writes a file with `write` and says on standard error that it is there.
pub(crate) fn written<E>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<()>
where
    Result<(), E>: Context<(), E>,
{
    write(path).with_context(|| format!("writing {}", path.display()))?;
    note(&format!("wrote {}", path.display()));
    Ok(())
}
