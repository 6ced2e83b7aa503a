//! Marks as PNG at twice the size, with the dot font of the overlays.

use std::io::Cursor;

use anyhow::Result;
use image::{ImageFormat, Rgb, RgbImage};

use super::{Anchor, Colour, Drawing, Mark, Place};
use foveate::overlay::font;

/// Pixels per unit of the drawing.
const SCALE: f64 = 2.0;
/// Pixels per dot of the font.
const DOT: u32 = 2;

pub(super) fn write(drawing: &Drawing) -> Result<Vec<u8>> {
    let scaled = |length: u32| (f64::from(length) * SCALE) as u32;
    let size = (scaled(drawing.width), scaled(drawing.height));
    let mut canvas = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
    for mark in &drawing.marks {
        match mark {
            Mark::Line {
                from,
                to,
                width,
                colour,
            } => {
                stroke(&mut canvas, *from, *to, width / 2.0, *colour);
            }
            Mark::Dot { at, radius, colour } => stroke(&mut canvas, *at, *at, *radius, *colour),
            Mark::Text {
                at,
                anchor,
                colour,
                text,
                ..
            } => {
                let width = f64::from(font::width(text, DOT));
                let left = at.0 * SCALE
                    - match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => width / 2.0,
                        Anchor::End => width,
                    };
                let top = at.1 * SCALE - f64::from(font::height(DOT)) / 2.0;
                let corner = (left.max(0.0) as u32, top.max(0.0) as u32);
                font::write(&mut canvas, corner, text, DOT, Rgb(*colour));
            }
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    canvas.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Every pixel nearer than `radius` to the line, with soft edges; a line of no length is a dot.
fn stroke(canvas: &mut RgbImage, from: Place, to: Place, radius: f64, colour: Colour) {
    let ((x0, y0), (x1, y1)) = (
        (from.0 * SCALE, from.1 * SCALE),
        (to.0 * SCALE, to.1 * SCALE),
    );
    let radius = radius * SCALE;
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length = dx * dx + dy * dy;
    let reach = radius + 1.0;
    let span = |a: f64, b: f64, limit: u32| {
        let first = (a.min(b) - reach).floor().max(0.0) as u32;
        first..((a.max(b) + reach).ceil().max(0.0) as u32).min(limit)
    };
    for y in span(y0, y1, canvas.height()) {
        for x in span(x0, x1, canvas.width()) {
            let (px, py) = (f64::from(x) + 0.5 - x0, f64::from(y) + 0.5 - y0);
            let along = if length > 0.0 {
                ((px * dx + py * dy) / length).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let distance = (px - along * dx).hypot(py - along * dy);
            let share = (radius + 0.5 - distance).clamp(0.0, 1.0);
            let pixel = canvas.get_pixel_mut(x, y);
            for (under, over) in pixel.0.iter_mut().zip(colour) {
                let mixed = f64::from(*under) * (1.0 - share) + f64::from(over) * share;
                *under = mixed.round() as u8;
            }
        }
    }
}
