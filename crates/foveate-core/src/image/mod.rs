//! From a picture to what the vision tower sees, and from each visual token back to its pixels.
//!
//! ```text
//! bytes ─decode→ Picture ─views→ Views [views, 3, S, S] ─(tower)→ rows = view · patches + patch
//!                   └─ (width, height) ─geometry→ counts ─layout→ TokenLayout { sources, rects }
//! ```
//!
//! Sizes are pixels and `(width, height)` unless a name says rows and columns. The published
//! preprocessing is Pillow 10.3 driven by `LLaVA` code; decoding to RGB, resizing and tiling
//! reproduce it bit for bit, JPEG decoding within the bounds given in [`decode`].

mod colour;
pub mod decode;
mod geometry;
mod layout;
mod pinpoints;
mod rects;
mod resize;
mod views;

pub use decode::{DecodeLimits, Orientation, Picture, check_file, decode_bytes, decode_file};
pub use geometry::{
    AspectMode, Geometry, MapWindow, MergeType, OneView, Pooling, TilingConfig, geometry,
};
pub use layout::{TokenLayout, bilinear, layout};
pub use pinpoints::{parse_pinpoints, select_best_resolution};
pub use rects::PixelRect;
pub use resize::resize;
pub use views::Views;
