//! How many views, tiles and visual tokens a picture of a given size becomes, without its pixels.
//!
//! Source: `process_anyres_image`, `unpad_image` and `prepare_inputs_labels_for_multimodal` of the
//! published implementations; floors and comparisons are in f64 as there, so counts agree exactly.

use super::pinpoints::select_best_resolution;
use crate::{Error, Result};

/// Most tiles one picture may become; the published lists go up to 36.
const MAX_TILES: u32 = 256;

/// Most pixels in the views of one picture, 800 MB normalised; published lists go up to 5.5 million.
const MAX_VIEW_PIXELS: u64 = 1 << 26;

/// Most patches in the views of one picture; the published lists go up to 27 000.
const MAX_PATCHES: u64 = 1 << 20;

/// How a picture of any shape is brought to the tower's square (`image_aspect_ratio`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AspectMode {
    /// A squashed base view, then tiles of the letter-boxed picture.
    AnyRes,
    /// As `AnyRes`, with the map of tile tokens shrunk towards this many views' worth.
    AnyResMax(u32),
    /// One view of the picture centred on a grey square.
    Pad,
    /// One squashed view.
    Squash,
}

impl AspectMode {
    /// Reads a config value: `anyres`, `anyres_max_N`, `pad`; any other text means squash.
    pub fn parse(value: &str) -> Result<Self> {
        let Some(views) = value.strip_prefix("anyres_max_") else {
            return Ok(match value {
                "anyres" => Self::AnyRes,
                "pad" => Self::Pad,
                _ => Self::Squash,
            });
        };
        match views.parse() {
            Ok(views) if views > 0 => Ok(Self::AnyResMax(views)),
            _ => Err(Error::request(
                "image_aspect_ratio",
                format!("expected anyres_max_N with N from 1, got {value:?}"),
            )),
        }
    }

    /// Whether the picture is tiled.
    pub fn is_tiled(self) -> bool {
        matches!(self, Self::AnyRes | Self::AnyResMax(_))
    }
}

/// How the views of a tiled picture become one sequence (`mm_patch_merge_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeType {
    /// View after view.
    Flat,
    /// Base view, then the tiles as one map without its letter-box, a newline after each row.
    SpatialUnpad,
}

impl MergeType {
    /// Reads a config value: `flat` or `spatial_unpad`.
    pub fn parse(value: &str) -> Result<Self> {
        match value {
            "flat" => Ok(Self::Flat),
            "spatial_unpad" => Ok(Self::SpatialUnpad),
            _ => Err(Error::request(
                "mm_patch_merge_type",
                format!("expected flat or spatial_unpad, got {value:?}"),
            )),
        }
    }
}

/// Whether each view's tokens are made fewer after the projector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// One token per patch.
    None,
    /// Bilinear to half the side, rounded up: 27 x 27 → 14 x 14.
    HalfBilinear,
}

/// What a picture that is one view in `spatial_unpad` mode ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneView {
    /// Only its tokens, as when the reference is given a plain tensor of images.
    Bare,
    /// One newline after its tokens, as when the reference is given a list of images.
    Newline,
}

/// A family's picture settings, from its config and its tower's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilingConfig {
    /// Side of the tower's square input, pixels.
    pub image_size: u32,
    /// Side of one patch, pixels.
    pub patch_size: u32,
    /// How a picture is brought to squares.
    pub aspect: AspectMode,
    /// Allowed canvases `(width, height)`, pixels; used only by the tiled modes.
    pub pinpoints: Vec<(u32, u32)>,
    /// How views become one sequence.
    pub merge: MergeType,
    /// Whether views are pooled.
    pub pooling: Pooling,
    /// How a one-view picture ends.
    pub one_view: OneView,
}

impl TilingConfig {
    /// Patches along one side of a view; the pixels beyond the last whole patch are never seen.
    pub fn patches_per_side(&self) -> usize {
        (self.image_size / self.patch_size.max(1)) as usize
    }

    /// The tower's output rows per view.
    pub fn patches_per_view(&self) -> usize {
        self.patches_per_side().pow(2)
    }

    /// Visual tokens along one side of a view, after pooling.
    pub fn tokens_per_side(&self) -> usize {
        match self.pooling {
            Pooling::None => self.patches_per_side(),
            Pooling::HalfBilinear => self.patches_per_side().div_ceil(2),
        }
    }

    /// Refuses settings that no picture could be tiled with.
    pub(crate) fn check(&self) -> Result<()> {
        let (image_size, patch_size) = (self.image_size, self.patch_size);
        if patch_size == 0 || image_size < patch_size || image_size > 4096 {
            return Err(Error::request(
                "image_size",
                format!("expected patch size ({patch_size}) to 4096 pixels, got {image_size}"),
            ));
        }
        if !self.aspect.is_tiled() {
            return self.check_volume(1);
        }
        let fits = |&(width, height): &(u32, u32)| {
            let tiles = u64::from(width / image_size) * u64::from(height / image_size);
            width % image_size == 0
                && height % image_size == 0
                && (1..=u64::from(MAX_TILES)).contains(&tiles)
        };
        if self.pinpoints.is_empty() || !self.pinpoints.iter().all(fits) {
            let wrong = self.pinpoints.iter().find(|canvas| !fits(canvas));
            let got = wrong.map_or("none".to_owned(), |(width, height)| {
                format!("{width} x {height}")
            });
            return Err(Error::request(
                "image_grid_pinpoints",
                format!(
                    "expected multiples of {image_size} with 1 to {MAX_TILES} tiles, got {got}"
                ),
            ));
        }
        let tiles = |&(width, height): &(u32, u32)| (width / image_size) * (height / image_size);
        let most_tiles = self.pinpoints.iter().map(tiles).max().unwrap_or(0);
        self.check_volume(1 + u64::from(most_tiles))
    }

    /// Sizes that are each allowed can still multiply to more memory than any machine has.
    fn check_volume(&self, views: u64) -> Result<()> {
        let pixels = views * u64::from(self.image_size).pow(2);
        let patches = views * self.patches_per_view() as u64;
        if pixels <= MAX_VIEW_PIXELS && patches <= MAX_PATCHES {
            return Ok(());
        }
        Err(Error::request(
            "image_size",
            format!(
                "expected at most {MAX_VIEW_PIXELS} pixels and {MAX_PATCHES} patches, got {pixels} \
                 and {patches} in {views} views"
            ),
        ))
    }
}

/// The cells of the map of tile tokens that hold picture rather than letter-box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapWindow {
    /// First kept row.
    pub row: usize,
    /// First kept column.
    pub col: usize,
    /// Kept rows; 0 for very wide pictures on a map of even height.
    pub rows: usize,
    /// Kept columns; 0 for very tall pictures on a map of even width.
    pub cols: usize,
}

/// The outcome of tiling a picture of some size, in counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The chosen canvas `(width, height)`, pixels; none when not tiled.
    pub best_resolution: Option<(u32, u32)>,
    /// Tiles as `(rows, columns)`; none when not tiled.
    pub grid: Option<(u32, u32)>,
    /// Views the tower sees, the base view included.
    pub views: usize,
    /// Visual tokens of the base view.
    pub base_tokens: usize,
    /// What unpadding keeps of the tile map; none unless tiled and merged by `spatial_unpad`.
    pub window: Option<MapWindow>,
    /// Rows of tile tokens in the sequence, after the `anyres_max` shrinking.
    pub grid_rows: usize,
    /// Columns of tile tokens in the sequence, without the newline.
    pub grid_cols: usize,
    /// All visual tokens of the picture, newlines included.
    pub visual_tokens: usize,
}

/// Views, grid and visual-token count of a `width` x `height` picture.
pub fn geometry(width: u32, height: u32, config: &TilingConfig) -> Result<Geometry> {
    config.check()?;
    if width == 0 || height == 0 {
        let reason = format!("is {width} x {height} pixels; a picture needs at least 1 x 1");
        return Err(Error::image("size", reason));
    }
    let side = config.tokens_per_side();
    let base_tokens = side * side;
    let canvas = select_best_resolution((width, height), &config.pinpoints);
    let Some((canvas_width, canvas_height)) = canvas.filter(|_| config.aspect.is_tiled()) else {
        let newline =
            config.merge == MergeType::SpatialUnpad && config.one_view == OneView::Newline;
        return Ok(Geometry {
            best_resolution: None,
            grid: None,
            views: 1,
            base_tokens,
            window: None,
            grid_rows: 0,
            grid_cols: 0,
            visual_tokens: base_tokens + usize::from(newline),
        });
    };
    let tile_rows = canvas_height / config.image_size;
    let tile_cols = canvas_width / config.image_size;
    let tiles = (tile_rows * tile_cols) as usize;
    let mut found = Geometry {
        best_resolution: canvas,
        grid: Some((tile_rows, tile_cols)),
        views: 1 + tiles,
        base_tokens,
        window: None,
        grid_rows: 0,
        grid_cols: 0,
        visual_tokens: base_tokens * (1 + tiles),
    };
    if config.merge == MergeType::SpatialUnpad {
        let map = (tile_rows as usize * side, tile_cols as usize * side);
        let window = unpad((width, height), map);
        (found.grid_rows, found.grid_cols) = match config.aspect {
            AspectMode::AnyResMax(views) => shrunk((window.rows, window.cols), views, base_tokens),
            _ => (window.rows, window.cols),
        };
        found.window = Some(window);
        found.visual_tokens = base_tokens + found.grid_rows * (found.grid_cols + 1);
    }
    Ok(found)
}

/// `unpad_image`: the part of a `(rows, cols)` map that the picture covers, by floors in f64.
fn unpad((width, height): (u32, u32), (rows, cols): (usize, usize)) -> MapWindow {
    let (width, height) = (f64::from(width), f64::from(height));
    let (map_height, map_width) = (rows as f64, cols as f64);
    if width / height > map_width / map_height {
        let covered = (height * (map_width / width)) as usize;
        let row = rows.saturating_sub(covered) / 2;
        MapWindow {
            row,
            col: 0,
            rows: rows - 2 * row,
            cols,
        }
    } else {
        let covered = (width * (map_height / height)) as usize;
        let col = cols.saturating_sub(covered) / 2;
        MapWindow {
            row: 0,
            col,
            rows,
            cols: cols - 2 * col,
        }
    }
}

/// `anyres_max_N`: sides divided alike so that about N views' worth of tokens remain, but only when
/// that saves more than a tenth per side.
fn shrunk((rows, cols): (usize, usize), views: u32, view_tokens: usize) -> (usize, usize) {
    let budget = u64::from(views).saturating_mul(view_tokens as u64);
    let times = ((rows * cols) as f64 / budget as f64).sqrt();
    if times > 1.1 {
        (floor_divided(rows, times), floor_divided(cols, times))
    } else {
        (rows, cols)
    }
}

/// Python's `int(a // b)`, which differs from `(a / b).floor()` where the quotient rounds up to a
/// whole number (`CPython`, `float_floor_div`).
fn floor_divided(a: usize, b: f64) -> usize {
    let a = a as f64;
    let quotient = (a - a % b) / b;
    let floor = quotient.floor();
    (if quotient - floor > 0.5 {
        floor + 1.0
    } else {
        floor
    }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aspect_modes_read_as_the_reference_reads_them() {
        let cases = [
            ("anyres", AspectMode::AnyRes),
            ("anyres_max_4", AspectMode::AnyResMax(4)),
            ("anyres_max_12", AspectMode::AnyResMax(12)),
            ("pad", AspectMode::Pad),
            ("square", AspectMode::Squash),
            ("", AspectMode::Squash),
        ];
        for (text, mode) in cases {
            assert_eq!(AspectMode::parse(text).unwrap(), mode, "{text}");
        }
        for text in ["anyres_max_", "anyres_max_0", "anyres_max_x"] {
            assert!(AspectMode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn very_long_pictures_leave_no_rows_on_an_even_map_and_one_on_an_odd_map() {
        assert_eq!(
            unpad((2788, 20), (14, 42)),
            MapWindow {
                row: 7,
                col: 0,
                rows: 0,
                cols: 42
            }
        );
        assert_eq!(
            unpad((16_000, 1), (27, 162)),
            MapWindow {
                row: 13,
                col: 0,
                rows: 1,
                cols: 162
            }
        );
        assert_eq!(
            unpad((1, 16_000), (42, 14)),
            MapWindow {
                row: 0,
                col: 7,
                rows: 42,
                cols: 0
            }
        );
    }

    #[test]
    fn settings_that_cannot_tile_are_refused() {
        let config = TilingConfig {
            image_size: 384,
            patch_size: 14,
            aspect: AspectMode::AnyRes,
            pinpoints: vec![(384, 384)],
            merge: MergeType::SpatialUnpad,
            pooling: Pooling::None,
            one_view: OneView::Bare,
        };
        assert!(geometry(1, 1, &config).is_ok());
        let broken = [
            TilingConfig {
                patch_size: 0,
                ..config.clone()
            },
            TilingConfig {
                image_size: 13,
                ..config.clone()
            },
            TilingConfig {
                pinpoints: vec![],
                ..config.clone()
            },
            TilingConfig {
                pinpoints: vec![(384, 500)],
                ..config.clone()
            },
            TilingConfig {
                pinpoints: vec![(0, 384)],
                ..config.clone()
            },
            TilingConfig {
                pinpoints: vec![(384, 384 * 257)],
                ..config.clone()
            },
            TilingConfig {
                image_size: 4096,
                patch_size: 1,
                aspect: AspectMode::Squash,
                ..config.clone()
            },
            TilingConfig {
                image_size: 1024,
                pinpoints: vec![(16_384, 16_384)],
                ..config.clone()
            },
        ];
        for config in broken {
            assert!(geometry(640, 480, &config).is_err(), "{config:?}");
        }
        assert!(geometry(0, 480, &config).is_err());
    }
}
