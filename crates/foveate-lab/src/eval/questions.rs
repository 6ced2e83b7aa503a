//! The questions of an evaluation and their pictures, from a file of lines or a built-in suite.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use foveate_core::image::{DecodeLimits, check_file, decode_file};
use foveate_core::{Denoiser, Engine, Message, Options, Orientation, Request, VisualTokens};

use super::fingerprint::Fingerprint;
use super::metric::Metric;
use super::sheets::Sheets;
use crate::exit::usage;
use crate::jsonl::{self, OneOrMore};

/// What is asked, in order, and how.
pub(crate) struct Questions {
    /// The suite or the file.
    pub(crate) name: String,
    pub(crate) list: Vec<Question>,
    pub(crate) pictures: Vec<Source>,
    /// What becomes of a camera's turn.
    pub(crate) orientation: Orientation,
    /// Questions that are denoised together.
    pub(crate) batch: usize,
}

/// One question with its acceptable answers.
pub(crate) struct Question {
    pub(crate) family: String,
    pub(crate) text: String,
    pub(crate) acceptable: Vec<String>,
    pub(crate) metric: Metric,
    /// Indices of its pictures, in order.
    pub(crate) pictures: Vec<usize>,
}

/// Where a picture comes from.
pub(crate) enum Source {
    File {
        path: PathBuf,
        /// The line that names it first.
        place: String,
    },
    /// On the sheets of a suite, by its number.
    OnSheet(Arc<Sheets>, usize),
}

impl Source {
    /// Reads it and encodes it; errors say which line asks about it.
    fn encode(&self, engine: &Engine, orientation: Orientation) -> Result<Arc<VisualTokens>> {
        match self {
            Self::File { path, place } => {
                let picture = decode_file(path, orientation, &DecodeLimits::default());
                let picture = picture.with_context(|| place.clone())?;
                let encoding = || format!("{place}: encoding {}", path.display());
                engine.encode(&picture).with_context(encoding)
            }
            Self::OnSheet(sheets, number) => Ok(engine.encode(&sheets.picture(*number)?)?),
        }
    }

    fn add_to(&self, fingerprint: &mut Fingerprint) -> Result<()> {
        match self {
            Self::File { path, .. } => {
                let bytes =
                    fs::read(path).with_context(|| format!("reading {}", path.display()))?;
                fingerprint.add(&bytes);
            }
            Self::OnSheet(sheets, number) => fingerprint.add(sheets.picture(*number)?.rgb()),
        }
        Ok(())
    }
}

/// A line of `--jsonl`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(alias = "images")]
    image: OneOrMore<PathBuf>,
    question: String,
    answer: OneOrMore<String>,
    family: Option<String>,
    metric: Option<String>,
}

const EXPECTED: &str = "expected {\"image\" or \"images\": FILE or [FILE, …], \"question\": …, \
    \"answer\": TEXT or [TEXT, …], \"family\" and \"metric\": NAME or none}";

/// The family of questions that name none.
const NO_FAMILY: &str = "all";

impl Questions {
    /// Asked one by one, of pictures held as the camera was.
    pub(super) fn new(name: String, list: Vec<Question>, pictures: Vec<Source>) -> Self {
        Self {
            name,
            list,
            pictures,
            orientation: Orientation::Apply,
            batch: 1,
        }
    }

    /// Reads the lines; pictures lie in `root`, or beside the file.
    pub(crate) fn read(path: &Path, root: Option<&Path>) -> Result<Self> {
        let folder = root.unwrap_or(path.parent().unwrap_or(Path::new("")));
        let mut pictures: Vec<Source> = Vec::new();
        let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut questions = Vec::new();
        for (number, line) in jsonl::read::<Line>(path, EXPECTED)? {
            let place = || jsonl::place(path, number);
            let refuse = |reason: &str| usage(format!("{}: {reason}", place()));
            if line.question.trim().is_empty() {
                return Err(refuse("the question is blank"));
            }
            let acceptable = line.answer.into_vec();
            if acceptable.iter().all(|answer| answer.trim().is_empty()) {
                return Err(refuse("answer: expected at least one text, got none"));
            }
            let family = line.family.unwrap_or(NO_FAMILY.to_owned());
            let metric = match line.metric {
                Some(name) => Metric::find(&name).map_err(|reason| refuse(&reason))?,
                None => Metric::of_family(&family),
            };
            let mut indices = Vec::new();
            for file in line.image.into_vec() {
                let path = folder.join(file);
                if let Some(index) = known.get(&path) {
                    indices.push(*index);
                    continue;
                }
                if !path.is_file() {
                    bail!("{}: there is no image {}", place(), path.display());
                }
                check_file(&path, &DecodeLimits::default()).with_context(place)?;
                known.insert(path.clone(), pictures.len());
                indices.push(pictures.len());
                pictures.push(Source::File {
                    path,
                    place: place(),
                });
            }
            questions.push(Question {
                family,
                text: line.question,
                acceptable,
                metric,
                pictures: indices,
            });
        }
        Ok(Self::new(path.display().to_string(), questions, pictures))
    }

    /// At most this many of each family, the first ones.
    pub(crate) fn limit(&mut self, per_family: usize) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        self.list.retain(|question| {
            let seen = seen.entry(question.family.clone()).or_default();
            *seen += 1;
            *seen <= per_family
        });
    }

    /// Families in the order in which they first occur.
    pub(crate) fn families(&self) -> Vec<&str> {
        let mut families: Vec<&str> = Vec::new();
        for question in &self.list {
            if !families.contains(&question.family.as_str()) {
                families.push(&question.family);
            }
        }
        families
    }

    /// Questions about the same pictures, in the order in which they first occur.
    pub(crate) fn by_pictures(&self) -> Vec<Vec<usize>> {
        let mut places: BTreeMap<&[usize], usize> = BTreeMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (index, question) in self.list.iter().enumerate() {
            let place = *places.entry(&question.pictures).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(index);
        }
        groups
    }

    /// Encodes a picture by its index.
    pub(crate) fn encode(&self, engine: &Engine, picture: usize) -> Result<Arc<VisualTokens>> {
        self.pictures[picture].encode(engine, self.orientation)
    }

    /// Encodes the pictures of a question, in order.
    pub(crate) fn look(&self, engine: &Engine, question: usize) -> Result<Vec<Arc<VisualTokens>>> {
        let pictures = self.list[question].pictures.iter();
        pictures
            .map(|picture| self.encode(engine, *picture))
            .collect()
    }

    /// Asks a question about its encoded pictures; nothing is denoised yet.
    pub(crate) fn ask(
        &self,
        engine: &Engine,
        question: usize,
        images: &[Arc<VisualTokens>],
        options: &Options,
    ) -> Result<Denoiser> {
        Ok(engine.start(&Request {
            messages: vec![Message::user(&self.list[question].text, images.len())],
            images: images.to_vec(),
            options: options.clone(),
            think: options.think,
        })?)
    }

    /// Of everything that is shown and asked.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(format!("{:?}", self.orientation).as_bytes());
        for picture in &self.pictures {
            picture.add_to(&mut fingerprint)?;
        }
        for question in &self.list {
            fingerprint.add(question.text.as_bytes());
            for picture in &question.pictures {
                fingerprint.add(&picture.to_le_bytes());
            }
        }
        Ok(fingerprint.text())
    }
}
