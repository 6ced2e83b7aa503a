//! Where a measurement goes: to the terminal as text or JSON, into charts, into a page of Markdown.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::sections::Report;
use crate::output_file::{self, written};
use crate::{chart, exit};

/// A finished measurement.
pub(crate) trait Finished {
    /// Objects for machines, one a line.
    fn json(&self) -> Result<Vec<Value>>;
    /// What a terminal shows.
    fn printed(&self) -> Report;
    /// What is written into files.
    fn page(&self) -> Report {
        self.printed()
    }
}

/// What the flags of a command ask for.
pub(crate) struct Outputs<'a> {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Flags of charts with their files.
    pub(crate) charts: Vec<(&'static str, Option<&'a Path>)>,
    /// The file of `--markdown`.
    pub(crate) markdown: Option<&'a Path>,
}

impl Outputs<'_> {
    /// Refuses files that could only fail after the work.
    pub(crate) fn check(&self) -> Result<()> {
        for (flag, path) in &self.charts {
            path.map_or(Ok(()), |path| chart::check(flag, path))?;
        }
        let page = self.markdown;
        page.map_or(Ok(()), |page| output_file::check("--markdown", page))
    }

    /// Prints, then writes the files; `line` is the command that repeats it all.
    pub(crate) fn write(&self, finished: &impl Finished, line: &str) -> Result<()> {
        exit::print(&if self.json {
            let objects = finished.json()?;
            objects
                .iter()
                .map(|object| object.to_string() + "\n")
                .collect()
        } else {
            finished.printed().text()
        })?;
        if self.markdown.is_none() && self.charts.iter().all(|(_, path)| path.is_none()) {
            return Ok(());
        }
        let page = finished.page();
        for (flag, chart) in page.charts() {
            self.file(flag)
                .map_or(Ok(()), |path| written(path, |path| chart.save(path)))?;
        }
        let name = |flag: &str| Some(self.file(flag)?.file_name()?.to_string_lossy().into_owned());
        let write = |path: &Path| fs::write(path, page.markdown(line, name));
        self.markdown.map_or(Ok(()), |path| written(path, write))
    }

    fn file(&self, flag: &str) -> Option<&Path> {
        let known = self.charts.iter().find(|(known, _)| *known == flag);
        known.and_then(|(_, path)| *path)
    }
}
