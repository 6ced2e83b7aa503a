//! Lists the files of the built-in model, if the repository has one, as a table of `include_bytes!`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the built-in model lies, from this crate.
const FOLDER: &str = "../../models/foveate-nano";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(FOLDER);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    // The vision tower's config lies in a folder of its own inside the model's.
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop().filter(|f| f.is_dir()) {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|e| e.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(kind, Some("json" | "safetensors" | "jinja")) {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut table = String::from("&[\n");
    for path in &files {
        let name = path.strip_prefix(&folder)?.to_string_lossy();
        let path = path.canonicalize()?;
        writeln!(
            table,
            "    ({name:?}, include_bytes!({:?})),",
            path.display().to_string()
        )?;
    }
    table.push(']');
    let out = Path::new(&env::var("OUT_DIR")?).join("built_in_model.rs");
    fs::write(out, table)?;
    Ok(())
}
