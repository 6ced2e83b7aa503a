//! Which pixels of the picture a visual token saw, so that overlay and pruning share one geometry.

/// Slivers narrower than this are rounding, not picture.
const MIN_VISIBLE_PX: f64 = 1e-6;

/// A rectangle in pixels of the original picture, from its top left corner, never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelRect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// How one axis of a canvas of views shows one axis of the picture.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "the unit belongs in the name")]
pub(super) struct Placement {
    /// Picture pixels along this axis.
    pub(super) picture_px: f64,
    /// Canvas pixels by which the picture is shifted.
    pub(super) offset_px: f64,
    /// Canvas pixels that the picture covers.
    pub(super) covered_px: f64,
}

impl Placement {
    /// Canvas interval → picture interval `(start, length)`, clipped; none if only padding is seen.
    fn visible(self, start_px: f64, end_px: f64) -> Option<(f64, f64)> {
        let to_picture = |canvas_px: f64| {
            let px = (canvas_px - self.offset_px) * self.picture_px / self.covered_px;
            px.clamp(0.0, self.picture_px)
        };
        let (start, end) = (to_picture(start_px), to_picture(end_px));
        (end - start > MIN_VISIBLE_PX).then_some((start, end - start))
    }
}

/// How tokens lie in a canvas made of square views.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenGrid {
    /// Side of a view, pixels.
    pub(super) view_px: f64,
    /// Tokens along a view's side.
    pub(super) tokens_per_side: f64,
    /// Pixels along a view's side that patches cover; the rest is never seen.
    pub(super) seen_px: f64,
}

impl TokenGrid {
    /// The rectangle of a cell given in tokens, possibly fractional, as `start..end` per axis.
    pub(super) fn rect(
        &self,
        (across, down): ((f64, f64), (f64, f64)),
        (horizontal, vertical): (Placement, Placement),
    ) -> Option<PixelRect> {
        let (x, w) = horizontal.visible(self.start_px(across.0), self.end_px(across.1))?;
        let (y, h) = vertical.visible(self.start_px(down.0), self.end_px(down.1))?;
        Some(PixelRect {
            x: x as f32,
            y: y as f32,
            w: w as f32,
            h: h as f32,
        })
    }

    /// A cell that starts on a view's edge starts in the later view …
    fn start_px(&self, tokens: f64) -> f64 {
        self.at_px((tokens / self.tokens_per_side).floor(), tokens)
    }

    /// … and one that ends there ends in the earlier view, before its unseen border.
    fn end_px(&self, tokens: f64) -> f64 {
        self.at_px((tokens / self.tokens_per_side).ceil() - 1.0, tokens)
    }

    fn at_px(&self, view: f64, tokens: f64) -> f64 {
        let inside = tokens - view * self.tokens_per_side;
        view * self.view_px + inside * (self.seen_px / self.tokens_per_side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: TokenGrid = TokenGrid {
        view_px: 384.0,
        tokens_per_side: 27.0,
        seen_px: 378.0,
    };

    #[test]
    fn the_unseen_border_belongs_to_no_token() {
        assert_eq!((GRID.start_px(26.0), GRID.end_px(27.0)), (364.0, 378.0));
        assert_eq!((GRID.start_px(27.0), GRID.end_px(28.0)), (384.0, 398.0));
        // A cell across the seam reaches over the border.
        assert_eq!((GRID.start_px(26.5), GRID.end_px(27.5)), (371.0, 391.0));
    }

    #[test]
    fn a_token_on_the_letter_box_sees_nothing() {
        let whole = Placement {
            picture_px: 768.0,
            offset_px: 0.0,
            covered_px: 384.0,
        };
        let boxed = Placement {
            picture_px: 384.0,
            offset_px: 96.0,
            covered_px: 192.0,
        };
        let cell = |row: f64| GRID.rect(((0.0, 1.0), (row, row + 1.0)), (whole, boxed));
        assert_eq!(cell(5.0), None);
        // Rows 84..98 of the canvas: the picture starts at 96.
        assert_eq!(
            cell(6.0),
            Some(PixelRect {
                x: 0.0,
                y: 0.0,
                w: 28.0,
                h: 4.0
            })
        );
        assert_eq!(
            cell(7.0),
            Some(PixelRect {
                x: 0.0,
                y: 4.0,
                w: 28.0,
                h: 28.0
            })
        );
    }
}
