//! The text so far: an unfinished canvas as pieces that can be shown.

use foveate_core::{Denoiser, Engine, Step};

use crate::error::Result;

/// A stretch of the canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A position that is still masked.
    Mask,
    /// Text that was there before the step.
    Settled(String),
    /// Text that the step committed.
    Fresh(String),
}

/// The canvas after `step`, up to where the answer stops, token by token.
pub fn so_far(engine: &Engine, denoiser: &Denoiser, step: &Step) -> Result<Vec<Piece>> {
    let ids = denoiser.ids();
    let end = denoiser.stop_position().unwrap_or(ids.len());
    let mut pieces = Vec::new();
    // A character may spread over several tokens, so a run of tokens is decoded from its start.
    let mut run = 0;
    let mut shown = String::new();
    for position in 0..end {
        if ids[position] == denoiser.mask() {
            (run, shown) = (position + 1, String::new());
            pieces.push(Piece::Mask);
            continue;
        }
        let decoded = engine.decode(&ids[run..=position])?;
        let next = ids.get(position + 1);
        let goes_on = next.is_some_and(|id| *id != denoiser.mask());
        if decoded.ends_with(char::REPLACEMENT_CHARACTER) && goes_on {
            continue;
        }
        let fresh = step.commits.iter().any(|c| c.position as usize == position);
        let text = decoded.strip_prefix(&shown).unwrap_or_default().to_owned();
        pieces.push(if fresh {
            Piece::Fresh(text)
        } else {
            Piece::Settled(text)
        });
        shown = decoded;
    }
    Ok(pieces)
}
