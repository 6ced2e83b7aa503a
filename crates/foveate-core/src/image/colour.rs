//! Every sample layout becomes RGB the way Pillow's `convert("RGB")` does it.

use ::image::{ColorType, ImageFormat};

/// What becomes of 16-bit grey samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grey16 {
    /// Levels above 255 become 255: Pillow reads plain 16-bit grey PNG as mode `I;16`, whose
    /// conversion clips. Most such pictures turn almost white, and the published models saw that.
    Clipped,
    /// The high byte, which is how Pillow reads 16-bit grey with alpha.
    HighByte,
}

/// Which rule a file's grey samples follow, from the colour type byte of a PNG header: 0 is grey
/// without alpha, even where a transparent level makes the decoder report an alpha channel.
pub(super) fn grey16_rule(format: ImageFormat, bytes: &[u8]) -> Grey16 {
    /// Signature 8, chunk length 4, chunk name 4, width 4, height 4, bit depth 1.
    const COLOUR_TYPE_BYTE: usize = 25;
    if format == ImageFormat::Png && bytes.get(COLOUR_TYPE_BYTE) == Some(&0) {
        Grey16::Clipped
    } else {
        Grey16::HighByte
    }
}

/// `[pixels, channels]` samples (16-bit ones in native order) → `[pixels, 3]`; alpha is dropped, not
/// composited. `None` for float samples, which none of the accepted formats has.
pub(super) fn to_rgb(samples: Vec<u8>, layout: ColorType, grey: Grey16) -> Option<Vec<u8>> {
    let grey16 = |low_high: &[u8]| match (grey, level(low_high)) {
        (Grey16::Clipped, level) => [level.min(255) as u8; 3],
        (Grey16::HighByte, level) => [(level >> 8) as u8; 3],
    };
    let high_bytes = |pixel: &[u8]| {
        [&pixel[0..2], &pixel[2..4], &pixel[4..6]].map(|sample| (level(sample) >> 8) as u8)
    };
    Some(match layout {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => each_pixel(&samples, 4, |pixel| [pixel[0], pixel[1], pixel[2]]),
        ColorType::L8 => each_pixel(&samples, 1, |pixel| [pixel[0]; 3]),
        ColorType::La8 => each_pixel(&samples, 2, |pixel| [pixel[0]; 3]),
        ColorType::L16 => each_pixel(&samples, 2, grey16),
        ColorType::La16 => each_pixel(&samples, 4, |pixel| grey16(&pixel[..2])),
        ColorType::Rgb16 => each_pixel(&samples, 6, high_bytes),
        ColorType::Rgba16 => each_pixel(&samples, 8, high_bytes),
        _ => return None,
    })
}

fn level(sample: &[u8]) -> u16 {
    u16::from_ne_bytes([sample[0], sample[1]])
}

fn each_pixel(samples: &[u8], pixel_bytes: usize, rgb: impl Fn(&[u8]) -> [u8; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() / pixel_bytes * 3);
    for pixel in samples.chunks_exact(pixel_bytes) {
        out.extend_from_slice(&rgb(pixel));
    }
    out
}
