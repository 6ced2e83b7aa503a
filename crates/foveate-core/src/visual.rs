//! An image after the tower and the projector: one feature row and one rectangle per visual token.

use foveate_kernels::uniform;

use crate::image::PixelRect;

/// The visual tokens of one image, encoded once and shared by any number of questions.
#[derive(Clone, Debug)]
pub struct VisualTokens {
    pub(crate) features: Vec<f32>,
    pub(crate) rects: Vec<Option<PixelRect>>,
    pub(crate) size: (u32, u32),
}

impl VisualTokens {
    /// `tokens` seeded random rows without rectangles, for measurements.
    pub fn random(tokens: usize, hidden: usize, seed: u64) -> Self {
        let draw = |i: usize| uniform(seed, 0, (i / hidden) as u32, (i % hidden) as u32) as f32;
        let features = (0..tokens * hidden).map(|i| 2.0 * draw(i) - 1.0).collect();
        Self {
            features,
            rects: vec![None; tokens],
            size: (0, 0),
        }
    }

    /// Only these tokens, in this order. Indices beyond the end are left out.
    #[must_use]
    pub fn subset(&self, tokens: &[u32]) -> Self {
        let width = self.features.len() / self.rects.len().max(1);
        let tokens = || {
            tokens
                .iter()
                .map(|&t| t as usize)
                .filter(|&t| t < self.rects.len())
        };
        Self {
            features: tokens()
                .flat_map(|t| &self.features[t * width..(t + 1) * width])
                .copied()
                .collect(),
            rects: tokens().map(|t| self.rects[t]).collect(),
            size: self.size,
        }
    }

    /// Number of visual tokens, newline tokens included.
    pub fn len(&self) -> usize {
        self.rects.len()
    }

    /// Whether the image has no token, which no image mode produces.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// For each token the part of the original image it saw, in pixels; `None` for newline tokens.
    pub fn rects(&self) -> &[Option<PixelRect>] {
        &self.rects
    }

    /// Width and height of the original image, in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Embeddings `[tokens, hidden]` as the decoder reads them.
    pub fn features(&self) -> &[f32] {
        &self.features
    }
}
