//! Which tower rows each visual token is made of, and which pixels it saw.
//!
//! Pooling, tiling, unpadding and the `anyres_max` shrinking are all linear in the tower's rows, so
//! one sparse table of weights stands for them. A backend applies it in a single pass, and overlay
//! and pruning read the same rectangles.

use foveate_kernels::RowMap;

use super::geometry::{AspectMode, Geometry, MapWindow, Pooling, TilingConfig, geometry};
use super::rects::{PixelRect, Placement, TokenGrid};
use super::views::Fitted;
use crate::Result;

/// The visual tokens of one picture, in prompt order.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLayout {
    /// Visual tokens, newlines included.
    pub tokens: usize,
    /// What each is made of. Input rows are `view * patches_per_view + patch`; the row after the
    /// last, `newline_row`, is the learned newline, which the caller appends.
    pub sources: RowMap,
    /// Index of the newline among the input rows: views times patches per view.
    pub newline_row: usize,
    /// Pixels of the picture that each token saw; none for newlines and for pure padding.
    ///
    /// A token pooled or resized from several cells gets its proportional share of the map rather
    /// than the overlapping union of its sources, so that the tokens of one map tile the picture.
    pub rects: Vec<Option<PixelRect>>,
}

impl TokenLayout {
    /// Whether a token is a newline.
    pub fn is_newline(&self, token: usize) -> bool {
        self.sources
            .sources(token)
            .any(|(from, _)| from == self.newline_row)
    }
}

/// The visual tokens of a `width` x `height` picture.
pub fn layout(width: u32, height: u32, config: &TilingConfig) -> Result<TokenLayout> {
    let geometry = geometry(width, height, config)?;
    let mut builder = Builder::new(config, &geometry);
    let view = View { row: 0, col: 0 };
    builder.push_view(0, view, whole_view(width, height, config));
    match (geometry.best_resolution, geometry.grid, geometry.window) {
        (Some(canvas), Some((_, grid_cols)), Some(window)) => {
            builder.push_map(
                window,
                grid_cols as usize,
                letter_box((width, height), canvas),
            );
        }
        (Some(canvas), Some((grid_rows, grid_cols)), None) => {
            let placement = letter_box((width, height), canvas);
            for tile in 0..(grid_rows * grid_cols) as usize {
                let view = View {
                    row: tile / grid_cols as usize,
                    col: tile % grid_cols as usize,
                };
                builder.push_view(1 + tile, view, placement);
            }
        }
        _ if geometry.visual_tokens > geometry.base_tokens => builder.push_newline(),
        _ => {}
    }
    Ok(builder.layout)
}

/// `PyTorch`'s bilinear resizing of a `(rows, cols)` map, `align_corners=False`, no antialias;
/// inputs and outputs row by row.
///
/// Positions are f32 as in `PyTorch`; products of two weights differ from its nested
/// sums by 1e-7.
///
/// ```
/// let halves = foveate_core::image::bilinear((1, 4), (1, 2));
/// assert_eq!(halves.from, [0, 1, 2, 3]);
/// assert_eq!(halves.weight, [0.5; 4]);
/// ```
pub fn bilinear(input: (usize, usize), output: (usize, usize)) -> RowMap {
    let down = linear_taps(input.0, output.0);
    let across = linear_taps(input.1, output.1);
    let mut map = RowMap::with_capacity(output.0 * output.1);
    for (row, row_after, below) in &down {
        for (col, col_after, beyond) in &across {
            let corners = [
                (row * input.1 + col, (1.0 - below) * (1.0 - beyond)),
                (row * input.1 + col_after, (1.0 - below) * beyond),
                (row_after * input.1 + col, below * (1.0 - beyond)),
                (row_after * input.1 + col_after, below * beyond),
            ];
            map.push(corners.into_iter().filter(|(_, weight)| *weight > 0.0));
        }
    }
    map
}

/// Per output: a cell, the next one (the same at the border), and the next one's share.
fn linear_taps(size_in: usize, size_out: usize) -> Vec<(usize, usize, f32)> {
    if size_in == 0 {
        return Vec::new();
    }
    let scale = size_in as f32 / size_out as f32;
    let tap = |out: usize| {
        let position = (scale * (out as f32 + 0.5) - 0.5).max(0.0);
        let cell = (position as usize).min(size_in - 1);
        if cell == size_in - 1 {
            return (cell, cell, 0.0);
        }
        (cell, cell + 1, (position - cell as f32).clamp(0.0, 1.0))
    };
    (0..size_out).map(tap).collect()
}

/// How the base view, or the only view, shows the picture: `(horizontal, vertical)`.
fn whole_view(width: u32, height: u32, config: &TilingConfig) -> (Placement, Placement) {
    let side = f64::from(config.image_size);
    let square = width.max(height);
    let axis = |picture: u32| {
        let picture_px = f64::from(picture);
        if config.aspect == AspectMode::Pad {
            let shrink = side / f64::from(square);
            let margin = f64::from((square - picture) / 2);
            let (offset_px, covered_px) = (margin * shrink, picture_px * shrink);
            Placement {
                picture_px,
                offset_px,
                covered_px,
            }
        } else {
            Placement {
                picture_px,
                offset_px: 0.0,
                covered_px: side,
            }
        }
    };
    (axis(width), axis(height))
}

/// How the canvas of tiles shows the picture: `(horizontal, vertical)`.
fn letter_box(picture: (u32, u32), canvas: (u32, u32)) -> (Placement, Placement) {
    let fitted = Fitted::new(picture, canvas);
    let axis = |picture: u32, offset: u32, covered: u32| Placement {
        picture_px: f64::from(picture),
        offset_px: f64::from(offset),
        covered_px: f64::from(covered),
    };
    (
        axis(picture.0, fitted.left, fitted.width),
        axis(picture.1, fitted.top, fitted.height),
    )
}

/// Place of a view on the canvas it belongs to, in views.
#[derive(Clone, Copy)]
struct View {
    row: usize,
    col: usize,
}

/// Appends tokens in prompt order.
struct Builder {
    layout: TokenLayout,
    /// Tokens of one view from its patches: pooling, or one for one.
    pooled: RowMap,
    side: usize,
    patches: usize,
    grid: TokenGrid,
    /// Rows and columns of the tile tokens after shrinking.
    map_size: (usize, usize),
}

impl Builder {
    fn new(config: &TilingConfig, geometry: &Geometry) -> Self {
        let (patch_side, side) = (config.patches_per_side(), config.tokens_per_side());
        let patches = config.patches_per_view();
        let pooled = match config.pooling {
            Pooling::None => RowMap::identity(patches),
            Pooling::HalfBilinear => bilinear((patch_side, patch_side), (side, side)),
        };
        Self {
            layout: TokenLayout {
                tokens: 0,
                sources: RowMap::with_capacity(geometry.visual_tokens),
                newline_row: geometry.views * patches,
                rects: Vec::with_capacity(geometry.visual_tokens),
            },
            pooled,
            side,
            patches,
            grid: TokenGrid {
                view_px: f64::from(config.image_size),
                tokens_per_side: side as f64,
                seen_px: patch_side as f64 * f64::from(config.patch_size),
            },
            map_size: (geometry.grid_rows, geometry.grid_cols),
        }
    }

    fn push(&mut self, sources: Vec<(usize, f32)>, rect: Option<PixelRect>) {
        self.layout.sources.push(sources);
        self.layout.rects.push(rect);
        self.layout.tokens += 1;
    }

    fn push_newline(&mut self) {
        self.push(vec![(self.layout.newline_row, 1.0)], None);
    }

    /// Tower rows of one token of one view.
    fn token(&self, view: usize, row: usize, col: usize) -> impl Iterator<Item = (usize, f32)> {
        let patches = self.patches;
        self.pooled
            .sources(row * self.side + col)
            .map(move |(patch, weight)| (view * patches + patch, weight))
    }

    fn push_view(&mut self, index: usize, view: View, placement: (Placement, Placement)) {
        for row in 0..self.side {
            for col in 0..self.side {
                let across = unit((view.col * self.side + col) as f64);
                let down = unit((view.row * self.side + row) as f64);
                let rect = self.grid.rect((across, down), placement);
                self.push(self.token(index, row, col).collect(), rect);
            }
        }
    }

    /// The tile map without its letter-box, shrunk if need be, a newline after every row.
    fn push_map(&mut self, window: MapWindow, grid_cols: usize, placement: (Placement, Placement)) {
        let (rows, cols) = self.map_size;
        let shrunk = bilinear((window.rows, window.cols), (rows, cols));
        for row in 0..rows {
            for col in 0..cols {
                let mut sources = Vec::with_capacity(4);
                for (cell, part) in shrunk.sources(row * cols + col) {
                    let map_row = window.row + cell / window.cols;
                    let map_col = window.col + cell % window.cols;
                    let view = 1 + map_row / self.side * grid_cols + map_col / self.side;
                    let token = self.token(view, map_row % self.side, map_col % self.side);
                    sources.extend(token.map(|(from, weight)| (from, part * weight)));
                }
                let down = share(window.row, row, window.rows, rows);
                let across = share(window.col, col, window.cols, cols);
                let rect = self.grid.rect((across, down), placement);
                self.push(sources, rect);
            }
            self.push_newline();
        }
    }
}

/// One token from `start` on.
fn unit(start: f64) -> (f64, f64) {
    (start, start + 1.0)
}

/// The equal share of output `index` of `outputs` in `cells` map cells that start at `first`.
fn share(first: usize, index: usize, cells: usize, outputs: usize) -> (f64, f64) {
    let edge = |index: usize| first as f64 + (index * cells) as f64 / outputs as f64;
    (edge(index), edge(index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilinear_weights_are_those_of_pytorch() {
        // By hand: output i lies at (i + 0.5) * 27 / 14 - 0.5.
        let pooled = bilinear((1, 27), (1, 14));
        let row = |output| pooled.sources(output).collect::<Vec<_>>();
        let close = |row: Vec<(usize, f32)>, expected: &[(usize, f32)]| {
            row.len() == expected.len()
                && row
                    .iter()
                    .zip(expected)
                    .all(|(got, want)| got.0 == want.0 && (got.1 - want.1).abs() < 1e-6)
        };
        assert!(
            close(row(0), &[(0, 0.535_714_3), (1, 0.464_285_7)]),
            "{:?}",
            row(0)
        );
        assert!(
            close(row(1), &[(2, 0.607_142_9), (3, 0.392_857_1)]),
            "{:?}",
            row(1)
        );
        assert!(
            close(row(13), &[(25, 0.464_285_7), (26, 0.535_714_3)]),
            "{:?}",
            row(13)
        );
    }

    #[test]
    fn resizing_to_the_same_size_changes_nothing() {
        assert_eq!(bilinear((5, 7), (5, 7)), RowMap::identity(35));
    }

    #[test]
    fn a_map_without_rows_or_columns_has_no_outputs() {
        assert_eq!(bilinear((0, 42), (0, 42)).rows(), 0);
        assert_eq!(bilinear((42, 0), (42, 0)).rows(), 0);
    }
}
