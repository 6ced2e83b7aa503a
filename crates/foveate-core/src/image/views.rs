//! A picture becomes the square, normalised views that the vision tower reads.

use super::decode::Picture;
use super::geometry::{AspectMode, TilingConfig, geometry};
use super::resize::{RowSource, resize};
use crate::Result;

/// Mean and deviation of every channel; the published code builds its processor from defaults and
/// reads neither from the checkpoint.
const MEAN: f32 = 0.5;
const DEVIATION: f32 = 0.5;
/// `int(255 * mean)`, the border of the `pad` mode.
const PAD_LEVEL: u8 = 127;
/// The letter-box around tiled pictures.
const LETTER_BOX_LEVEL: u8 = 0;

/// What the tower sees of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// Views: the whole picture first, then tiles by rows from the top left.
    pub count: usize,
    /// Side of a view, pixels.
    pub image_size: usize,
    /// Tiles as `(rows, columns)`; none when the picture is not tiled.
    pub grid: Option<(u32, u32)>,
    /// `(width, height)` of the picture, pixels.
    pub original: (u32, u32),
    /// Normalised samples, `[count, 3, image_size, image_size]`.
    pub pixels: Vec<f32>,
}

impl Views {
    /// Resizes, tiles and normalises `picture` as `config` says.
    pub fn new(picture: &Picture, config: &TilingConfig) -> Result<Self> {
        let original = (picture.width(), picture.height());
        let geometry = geometry(original.0, original.1, config)?;
        let side = config.image_size as usize;
        let mut views = Self {
            count: geometry.views,
            image_size: side,
            grid: geometry.grid,
            original,
            pixels: Vec::with_capacity(geometry.views * 3 * side * side),
        };
        match config.aspect {
            AspectMode::Pad => views.push(&padded(picture, side)),
            _ => views.push(resize(picture, config.image_size, config.image_size)?.rgb()),
        }
        if let Some(canvas) = geometry.best_resolution {
            let boxed = LetterBox::new(picture, canvas)?;
            for top in (0..canvas.1 as usize).step_by(side) {
                for left in (0..canvas.0 as usize).step_by(side) {
                    views.push(&boxed.tile(left, top, side));
                }
            }
        }
        Ok(views)
    }

    /// `[side, side, 3]` → `[3, side, side]`, appended.
    fn push(&mut self, rgb: &[u8]) {
        let levels = normalised_levels();
        for channel in 0..3 {
            let samples = rgb.iter().skip(channel).step_by(3);
            self.pixels
                .extend(samples.map(|sample| levels[usize::from(*sample)]));
        }
    }
}

/// The 256 possible samples: rescaled in f64, rounded to f32, then normalised in f32, as the
/// published processor does.
fn normalised_levels() -> [f32; 256] {
    std::array::from_fn(|level| {
        let rescaled = (level as f64 * (1.0 / 255.0)) as f32;
        (rescaled - MEAN) / DEVIATION
    })
}

/// Size and place of a `picture` (width, height) on a canvas (width, height), pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) left: u32,
    pub(super) top: u32,
}

impl Fitted {
    /// Touches two borders of the canvas; the other side is rounded up, the margins down.
    pub(super) fn new(picture: (u32, u32), canvas: (u32, u32)) -> Self {
        let scale_across = f64::from(canvas.0) / f64::from(picture.0);
        let scale_down = f64::from(canvas.1) / f64::from(picture.1);
        let (width, height) = if scale_across < scale_down {
            let height = (f64::from(picture.1) * scale_across).ceil() as u32;
            (canvas.0, height.min(canvas.1))
        } else {
            let width = (f64::from(picture.0) * scale_down).ceil() as u32;
            (width.min(canvas.0), canvas.1)
        };
        Self {
            width,
            height,
            left: (canvas.0 - width) / 2,
            top: (canvas.1 - height) / 2,
        }
    }
}

/// A picture resized to fit its canvas; the border exists only in the tiles.
struct LetterBox {
    resized: Picture,
    left: usize,
    top: usize,
}

impl LetterBox {
    fn new(picture: &Picture, canvas: (u32, u32)) -> Result<Self> {
        let fitted = Fitted::new((picture.width(), picture.height()), canvas);
        Ok(Self {
            resized: resize(picture, fitted.width, fitted.height)?,
            left: fitted.left as usize,
            top: fitted.top as usize,
        })
    }

    /// The square of the canvas from `(left, top)`, `[side, side, 3]`.
    fn tile(&self, left: usize, top: usize, side: usize) -> Vec<u8> {
        let mut tile = vec![LETTER_BOX_LEVEL; side * side * 3];
        let right = (self.left + self.resized.width() as usize).min(left + side);
        let bottom = (self.top + self.resized.height() as usize).min(top + side);
        let from = self.left.max(left);
        if from < right {
            for y in self.top.max(top)..bottom {
                let row = self.resized.row(y - self.top);
                let at = 3 * ((y - top) * side + from - left);
                let seen = &row[3 * (from - self.left)..3 * (right - self.left)];
                tile[at..at + seen.len()].copy_from_slice(seen);
            }
        }
        tile
    }
}

/// The picture centred on a grey square and resized to `side`, `[side, side, 3]`. The square itself
/// never exists: for a 16384 x 1 picture it would take 800 MB.
fn padded(picture: &Picture, side: usize) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let square = width.max(height);
    let (left, top) = ((square - width) / 2, (square - height) / 2);
    let copy_row = |y: usize, row: &mut [u8]| {
        row.fill(PAD_LEVEL);
        if (top..top + height).contains(&y) {
            row[3 * left..3 * (left + width)].copy_from_slice(picture.row(y - top));
        }
    };
    RowSource {
        width: square,
        height: square,
        copy_row: &copy_row,
    }
    .resized(side, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_normalised_to_minus_one_through_one() {
        let levels = normalised_levels();
        assert!((levels[0] + 1.0).abs() < f32::EPSILON);
        assert!((levels[255] - 1.0).abs() < f32::EPSILON);
        assert!(levels.is_sorted());
    }

    #[test]
    fn a_fitted_picture_keeps_at_least_one_pixel() {
        let thin = Fitted::new((16_000, 1), (384, 768));
        assert_eq!(
            thin,
            Fitted {
                width: 384,
                height: 1,
                left: 0,
                top: 383
            }
        );
        let square = Fitted::new((100, 100), (768, 384));
        assert_eq!(
            square,
            Fitted {
                width: 384,
                height: 384,
                left: 192,
                top: 0
            }
        );
    }
}
