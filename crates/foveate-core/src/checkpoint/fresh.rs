//! A model folder that is written at once or not at all.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes the new folder `out` with what `write` puts into the folder that it is given.
///
/// That one has `.partial` behind its name until everything is there. What fails is removed; what is killed
/// stays under that name, and is no model as long as `write` puts the file that makes it one there last.
pub(crate) fn write_fresh(out: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if fs::symlink_metadata(out).is_ok() {
        let reason = format!("{} exists; give a new name", out.display());
        return Err(Error::request("output", reason));
    }
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = out.with_file_name(name);
    if partial.exists() {
        let reason = format!(
            "{} is left of an interrupted run; remove it",
            partial.display()
        );
        return Err(Error::request("output", reason));
    }
    fs::create_dir(&partial).map_err(|error| Error::write(&partial, error))?;
    let written = write(&partial)
        .and_then(|()| fs::rename(&partial, out).map_err(|error| Error::write(out, error)));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}
