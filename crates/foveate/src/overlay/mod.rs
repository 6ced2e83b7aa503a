//! The picture with its visual tokens on it: which were pruned, which were kept, and by what score.

pub mod font;
mod paint;
mod sheet;

use std::path::{Path, PathBuf};

use foveate_core::image::geometry;
use foveate_core::{Engine, Options, Picture, Pruned, VisualTokens};

use crate::error::{Error, Result, While as _};
use paint::Token;
use sheet::Sheet;

/// Refuses what could only fail after the answer.
pub fn check(path: &Path, images: usize, options: &Options) -> Result<()> {
    if images == 0 {
        let reason = "--overlay draws on a picture; add --image FILE";
        return Err(Error::Usage(reason.into()));
    }
    if options.prune.is_none() {
        let reason = "--overlay draws what was pruned; add --prune METHOD, such as redvtp";
        return Err(Error::Usage(reason.into()));
    }
    let is_png = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if !is_png {
        let name = path.display();
        return Err(Error::Usage(format!(
            "--overlay writes PNG; name the file {name}.png"
        )));
    }
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) if !folder.is_dir() => Err(Error::Usage(format!(
            "--overlay: there is no folder {}; make it first",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Draws a file per picture, and returns where they are; several are numbered.
pub fn write<'a>(
    path: &Path,
    engine: &Engine,
    images: impl ExactSizeIterator<Item = (&'a Picture, &'a VisualTokens)>,
    pruned: &[Pruned],
    options: &Options,
) -> Result<Vec<PathBuf>> {
    let pruning = options.pruning(engine.card().decoder.layers)?;
    // Scores mean something where attention was watched.
    let scored = pruning.is_some_and(|pruning| pruning.watch().is_some());
    let method = options.prune.as_ref().map(|prune| prune.method.name());
    let several = images.len() > 1;
    let mut written = Vec::new();
    for (index, (picture, visual)) in images.enumerate() {
        let path = if several {
            numbered(path, index + 1)
        } else {
            path.to_owned()
        };
        let choice = pruned.iter().find(|choice| choice.image == index);
        let base = geometry(picture.width(), picture.height(), &engine.card().tiling)?.base_tokens;
        let tokens = tokens(visual, choice, scored);
        let kept = choice.map_or(visual.len(), |choice| choice.kept.len());
        let sheet = Sheet {
            picture,
            base: view(&tokens, 0..base),
            tiles: view(&tokens, base..tokens.len()),
            method: method.unwrap_or_default(),
            kept,
            of: visual.len(),
        };
        sheet
            .draw()
            .save(&path)
            .doing(|| format!("writing {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// Every visual token in order; newline tokens and pure padding have no place on the picture.
fn tokens(visual: &VisualTokens, choice: Option<&Pruned>, scored: bool) -> Vec<Option<Token>> {
    // An earlier cut leaves fewer scores than tokens: then they cannot be placed.
    let scores = choice
        .map(|choice| choice.scores.as_slice())
        .filter(|scores| scored && scores.len() == visual.len());
    let range = scores.map(range);
    let token = |(index, rect): (usize, &Option<_>)| {
        let kept = choice.is_none_or(|c| c.kept.binary_search(&(index as u32)).is_ok());
        let heat = scores.zip(range).map(|(scores, (low, high))| {
            let spread = (high - low).max(f32::MIN_POSITIVE);
            ((scores[index] - low) / spread).clamp(0.0, 1.0)
        });
        rect.map(|rect| Token { rect, kept, heat })
    };
    visual.rects().iter().enumerate().map(token).collect()
}

/// What counts as cold and hot: the 2nd and 98th percentile, since few tokens draw most attention.
fn range(scores: &[f32]) -> (f32, f32) {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    if sorted.is_empty() {
        return (0.0, 1.0);
    }
    (at(0.02), at(0.98))
}

fn view(tokens: &[Option<Token>], span: std::ops::Range<usize>) -> Vec<Token> {
    let span = span.start.min(tokens.len())..span.end.min(tokens.len());
    tokens[span].iter().copied().flatten().collect()
}

/// `out.png` → `out-2.png`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_images_are_numbered() {
        assert_eq!(
            numbered(Path::new("a/out.png"), 2),
            Path::new("a/out-2.png")
        );
    }

    #[test]
    fn a_single_hot_token_does_not_make_the_rest_cold() {
        let mut scores: Vec<f32> = (0..100).map(|n| n as f32).collect();
        scores[99] = 1e6;
        assert_eq!(range(&scores), (2.0, 97.0));
        assert_eq!(range(&[]), (0.0, 1.0));
    }
}
