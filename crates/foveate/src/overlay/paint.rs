//! Pictures with kept tokens in colour and pruned ones grey.

use foveate_core::Picture;
use foveate_core::image::PixelRect;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

/// How much of the heat colour lies on a kept token.
const TINT: f32 = 0.38;
/// How much of it on the edge of a token, with a score and without.
const EDGE_TINT: (f32, f32) = (0.8, 0.35);
/// Tokens narrower than this have no edge, or it would be all there is.
const MIN_EDGED_PX: u32 = 7;
/// Plasma, from low to high (matplotlib, CC0).
const HEAT: [[u8; 3]; 6] = [
    [13, 8, 135],
    [106, 0, 168],
    [177, 42, 144],
    [225, 100, 98],
    [252, 166, 54],
    [240, 249, 33],
];
/// The edge of kept tokens that have no score.
const UNSCORED: Rgb<u8> = Rgb([255, 255, 255]);

/// One visual token to draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) rect: PixelRect,
    pub(super) kept: bool,
    /// From 0 to 1, if the strategy measures anything.
    pub(super) heat: Option<f32>,
}

/// A picture at the size it is drawn in.
pub(super) struct Panel {
    colour: RgbImage,
    /// Pixels of the panel per pixel of the picture, across and down.
    scale: (f32, f32),
}

impl Panel {
    /// Scales `picture` to `width` pixels.
    pub(super) fn new(picture: &Picture, width: u32) -> Self {
        let (w, h) = (picture.width(), picture.height());
        let height = (u64::from(h) * u64::from(width) / u64::from(w)).clamp(1, 4096) as u32;
        let source = RgbImage::from_raw(w, h, picture.rgb().to_vec()).unwrap_or_default();
        let filter = if width > w {
            FilterType::CatmullRom
        } else {
            FilterType::Triangle
        };
        Self {
            colour: resize(&source, width, height, filter),
            scale: (width as f32 / w as f32, height as f32 / h as f32),
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        self.colour.dimensions()
    }

    /// The picture: grey and dark where tokens were pruned, tinted by score where they were kept.
    pub(super) fn tokens(&self, tokens: &[Token]) -> RgbImage {
        let mut drawn = self.colour.clone();
        for pixel in drawn.pixels_mut() {
            *pixel = faded(*pixel);
        }
        for token in tokens.iter().filter(|token| token.kept) {
            let (left, top, right, bottom) = self.cell(token.rect);
            let edged = right - left >= MIN_EDGED_PX && bottom - top >= MIN_EDGED_PX;
            let colour = token.heat.map_or(UNSCORED, heat);
            for y in top..bottom {
                for x in left..right {
                    // Neighbours share an edge: the left and top ones draw it.
                    let on_edge = edged && (x == left || y == top);
                    let tint = match (token.heat, on_edge) {
                        (Some(_), true) => EDGE_TINT.0,
                        (Some(_), false) => TINT,
                        (None, true) => EDGE_TINT.1,
                        (None, false) => 0.0,
                    };
                    drawn.put_pixel(x, y, mixed(*self.colour.get_pixel(x, y), colour, tint));
                }
            }
        }
        drawn
    }

    /// Every token's score as a plain colour.
    pub(super) fn scores(&self, tokens: &[Token]) -> RgbImage {
        let (width, height) = self.size();
        let mut drawn = RgbImage::from_pixel(width, height, heat(0.0));
        for token in tokens {
            let (left, top, right, bottom) = self.cell(token.rect);
            let colour = heat(token.heat.unwrap_or(0.0));
            fill(
                &mut drawn,
                (left, top),
                (right - left, bottom - top),
                colour,
            );
        }
        drawn
    }

    /// Left, top, right and bottom edge on the panel.
    fn cell(&self, rect: PixelRect) -> (u32, u32, u32, u32) {
        let (width, height) = self.size();
        let across = |x: f32| ((x * self.scale.0).round() as u32).min(width);
        let down = |y: f32| ((y * self.scale.1).round() as u32).min(height);
        (
            across(rect.x),
            down(rect.y),
            across(rect.x + rect.w),
            down(rect.y + rect.h),
        )
    }
}

/// The colour of a heat from 0 to 1.
pub(super) fn heat(value: f32) -> Rgb<u8> {
    let last = HEAT.len() - 1;
    let at = value.clamp(0.0, 1.0) * last as f32;
    let below = (at as usize).min(last - 1);
    mixed(Rgb(HEAT[below]), Rgb(HEAT[below + 1]), at - below as f32)
}

/// What is left of a pruned pixel.
pub(super) fn faded(pixel: Rgb<u8>) -> Rgb<u8> {
    let [r, g, b] = pixel.0.map(f32::from);
    // Luma of Rec. 601, halved so that kept tokens stand out also on grey pictures.
    let grey = (0.299 * r + 0.587 * g + 0.114 * b) * 0.45 + 18.0;
    Rgb([grey as u8; 3])
}

/// `share` of `over` on `under`.
pub(super) fn mixed(under: Rgb<u8>, over: Rgb<u8>, share: f32) -> Rgb<u8> {
    let mix = |i: usize| {
        let (under, over) = (f32::from(under.0[i]), f32::from(over.0[i]));
        (under + (over - under) * share).round() as u8
    };
    Rgb([mix(0), mix(1), mix(2)])
}

/// A filled rectangle, cut at the canvas.
pub(super) fn fill(
    canvas: &mut RgbImage,
    (left, top): (u32, u32),
    (width, height): (u32, u32),
    colour: Rgb<u8>,
) {
    let (right, bottom) = canvas.dimensions();
    for y in top..(top + height).min(bottom) {
        for x in left..(left + width).min(right) {
            canvas.put_pixel(x, y, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruned_tokens_are_grey_and_kept_ones_are_not() {
        let rgb = [200, 30, 30].repeat(20 * 10);
        let picture = Picture::new("red", 20, 10, rgb).expect("a picture");
        let token = |x: f32, kept| Token {
            rect: PixelRect {
                x,
                y: 0.0,
                w: 10.0,
                h: 10.0,
            },
            kept,
            heat: None,
        };
        let panel = Panel::new(&picture, 40);
        assert_eq!(panel.size(), (40, 20));
        let drawn = panel.tokens(&[token(0.0, true), token(10.0, false)]);
        assert_eq!(*drawn.get_pixel(10, 10), Rgb([200, 30, 30]));
        let Rgb([r, g, b]) = *drawn.get_pixel(30, 10);
        assert!(r == g && g == b && r < 80);
    }

    #[test]
    fn heat_runs_from_dark_blue_to_yellow() {
        assert_eq!(heat(-1.0), Rgb(HEAT[0]));
        assert_eq!(heat(0.2), Rgb(HEAT[1]));
        assert_eq!(heat(7.0), Rgb(HEAT[5]));
    }
}
