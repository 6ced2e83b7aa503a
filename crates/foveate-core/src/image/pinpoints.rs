//! The canvases a picture may be tiled on, as checkpoints spell them, and which one a picture takes.

use serde_json::Value;

use crate::{Error, Result};

/// Canvases in one list; the largest published list has 36.
const MAX_PINPOINTS: usize = 1024;
const FIELD: &str = "image_grid_pinpoints";

/// Reads `image_grid_pinpoints`; every result is `(width, height)` in pixels.
///
/// Accepted are a JSON list of pairs, a string with a Python list of pairs, and the range
/// `"(1x1),...,(6x6)"` in units of `image_size`, which expands width by width, height fastest.
///
/// ```
/// let range = serde_json::json!("(1x1),...,(2x2)");
/// let canvases = foveate_core::image::parse_pinpoints(&range, 384)?;
/// assert_eq!(canvases, [(384, 384), (384, 768), (768, 384), (768, 768)]);
/// # Ok::<(), foveate_core::Error>(())
/// ```
pub fn parse_pinpoints(value: &Value, image_size: u32) -> Result<Vec<(u32, u32)>> {
    let pinpoints = match value {
        Value::Array(pairs) => pairs.iter().map(json_pair).collect::<Option<Vec<_>>>(),
        Value::String(text) if text.contains('x') => range(text, image_size),
        Value::String(text) => python_pairs(text),
        _ => None,
    };
    let pinpoints = pinpoints.ok_or_else(|| {
        let reason = format!(
            "expected a list of [width, height] pairs or a range such as \"(1x1),...,(6x6)\" with \
             at most {MAX_PINPOINTS} entries, got {}",
            shortened(&value.to_string())
        );
        Error::request(FIELD, reason)
    })?;
    if pinpoints.is_empty() {
        return Err(Error::request(
            FIELD,
            "expected at least one [width, height] pair, got none",
        ));
    }
    Ok(pinpoints)
}

/// The canvas that keeps most of a `(width, height)` picture's own pixels, then wastes least; the
/// first in the list among equals.
///
/// `None` if the list is empty. Source: `select_best_resolution` of `LLaVA`-`NeXT`.
pub fn select_best_resolution(
    (width, height): (u32, u32),
    pinpoints: &[(u32, u32)],
) -> Option<(u32, u32)> {
    let own_pixels = u64::from(width) * u64::from(height);
    let mut best: Option<((u32, u32), u64, u64)> = None;
    for &(canvas_width, canvas_height) in pinpoints {
        let scale = (f64::from(canvas_width) / f64::from(width))
            .min(f64::from(canvas_height) / f64::from(height));
        let scaled_width = (f64::from(width) * scale) as u64;
        let scaled_height = (f64::from(height) * scale) as u64;
        let kept = own_pixels.min(scaled_width * scaled_height);
        let waste = u64::from(canvas_width) * u64::from(canvas_height) - kept;
        let better = best.is_none_or(|(_, best_kept, best_waste)| {
            kept > best_kept || (kept == best_kept && waste < best_waste)
        });
        if better {
            best = Some(((canvas_width, canvas_height), kept, waste));
        }
    }
    best.map(|(canvas, _, _)| canvas)
}

fn json_pair(pair: &Value) -> Option<(u32, u32)> {
    let [width, height] = pair.as_array()?.as_slice() else {
        return None;
    };
    Some((
        u32::try_from(width.as_u64()?).ok()?,
        u32::try_from(height.as_u64()?).ok()?,
    ))
}

/// `"[(384, 768), (768, 384)]"`
fn python_pairs(text: &str) -> Option<Vec<(u32, u32)>> {
    let punctuation = |c: char| c.is_ascii_whitespace() || "()[],".contains(c);
    let numbers = text
        .split(punctuation)
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().ok())
        .collect::<Option<Vec<u32>>>()?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty().then(|| {
        pairs
            .iter()
            .map(|&[width, height]| (width, height))
            .collect()
    })
}

/// `"(1x1),...,(6x6)"`: only the first and the last pair count.
fn range(text: &str, image_size: u32) -> Option<Vec<(u32, u32)>> {
    let pairs: Vec<(u32, u32)> = text
        .split(['(', ')'])
        .filter_map(|inside| inside.split_once('x'))
        .map(|(across, down)| Some((across.trim().parse().ok()?, down.trim().parse().ok()?)))
        .collect::<Option<_>>()?;
    let (&(first_across, first_down), &(last_across, last_down)) = (pairs.first()?, pairs.last()?);
    let across = (u64::from(last_across) + 1).saturating_sub(u64::from(first_across));
    let down = (u64::from(last_down) + 1).saturating_sub(u64::from(first_down));
    if across.saturating_mul(down) > MAX_PINPOINTS as u64 {
        return None;
    }
    let mut pinpoints = Vec::new();
    for i in first_across..=last_across {
        for j in first_down..=last_down {
            pinpoints.push((i.checked_mul(image_size)?, j.checked_mul(image_size)?));
        }
    }
    Some(pinpoints)
}

fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_spellings_of_pinpoints_agree() {
        let expected = vec![(384, 384), (384, 768), (768, 384), (768, 768)];
        let spellings = [
            json!([[384, 384], [384, 768], [768, 384], [768, 768]]),
            json!("[(384, 384), (384, 768), (768, 384), (768, 768)]"),
            json!("[[384,384],[384,768],[768,384],[768,768]]"),
            json!("(1x1),...,(2x2)"),
        ];
        for spelling in spellings {
            assert_eq!(
                parse_pinpoints(&spelling, 384).unwrap(),
                expected,
                "{spelling}"
            );
        }
        assert_eq!(
            parse_pinpoints(&json!("(1x1),...,(6x6)"), 384)
                .unwrap()
                .len(),
            36
        );
    }

    #[test]
    fn pinpoints_that_make_no_sense_are_refused_by_name() {
        let wrong = [
            json!(null),
            json!([]),
            json!([[384]]),
            json!([[384, -1]]),
            json!([[384, 5_000_000_000_u64]]),
            json!("[(384, 768), 5]"),
            json!("(1x1),...,(60000x60000)"),
            json!("(2x2),...,(1x1)"),
            json!("(axb)"),
            json!("0xFF"),
        ];
        for value in wrong {
            let message = parse_pinpoints(&value, 384).unwrap_err().to_string();
            assert!(
                message.starts_with("image_grid_pinpoints: "),
                "{value}: {message}"
            );
        }
    }

    #[test]
    fn among_equals_the_first_canvas_wins() {
        // A square picture wastes as much on 384x768 as on 768x384.
        assert_eq!(
            select_best_resolution((224, 224), &[(384, 768), (768, 384), (768, 768)]),
            Some((384, 768))
        );
        assert_eq!(select_best_resolution((224, 224), &[]), None);
    }
}
