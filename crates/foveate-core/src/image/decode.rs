//! Picture files become RGB as Pillow's `convert("RGB")` makes them, or a clear error; never a bomb.
//!
//! Size limits are checked on the header, before any pixel is allocated. PNG, GIF, BMP and
//! lossless `WebP` give Pillow 10.3.0's bytes exactly (`tests/data/make_colour_modes.py`).
//!
//! JPEG decoders may differ: the standard leaves open how the inverse DCT rounds and how halved
//! chroma is upsampled. Against Pillow 10.3.0 (libjpeg-turbo 3.0.2), 400 x 300 pictures,
//! one smooth and one with drawn edges and text, at qualities 50, 75, 90, 95 and 100; levels of 255:
//!
//! | chroma | samples that differ | mean difference | largest |
//! |---|---|---|---|
//! | 4:4:4 | 0.5 – 1.5 % | 0.006 – 0.019 | 3 |
//! | 4:2:2 | 10 – 17 % | 0.14 – 0.23 | 4 |
//! | 4:2:0 | 21 – 34 % | 0.29 – 0.46 | 7 |
//!
//! CMYK, YCCK and grey JPEG stay within 2 levels; lossy `WebP` gave the same bytes. Exact parity with
//! a Python run on a JPEG therefore needs the picture saved as PNG first.
//!
//! One known difference: where a GIF's first frame leaves part of the screen uncovered, Pillow
//! paints a palette entry and this module black.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
    guess_format,
};

use super::colour;
use crate::{Error, Result};

/// An RGB picture: 8 bits per channel, rows from the top, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>, // [height, width, 3]
}

impl Picture {
    /// Wraps `[height, width, 3]` bytes; `name` is used in the error for sizes that do not fit.
    pub fn new(name: &str, width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        let expected = u64::from(width) * u64::from(height) * 3;
        if expected == 0 {
            return Err(Error::image(
                name,
                format!("is {width} x {height} pixels; a picture needs at least 1 x 1"),
            ));
        }
        if rgb.len() as u64 != expected {
            return Err(Error::image(
                name,
                format!(
                    "{width} x {height} RGB needs {expected} bytes, got {}",
                    rgb.len()
                ),
            ));
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The samples, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// One row of samples, `[width, 3]`.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        let row_bytes = 3 * self.width as usize;
        &self.rgb[y * row_bytes..(y + 1) * row_bytes]
    }
}

/// How much a picture file may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Widest accepted picture, pixels.
    pub max_width: u32,
    /// Tallest accepted picture, pixels.
    pub max_height: u32,
    /// Largest accepted area, pixels.
    pub max_pixels: u64,
    /// Largest accepted file, bytes.
    pub max_file_bytes: u64,
    /// Most bytes for the samples as stored in the file, before they become RGB (3 bytes a pixel).
    pub max_alloc: u64,
}

impl Default for DecodeLimits {
    /// 16384 pixels a side, 100 megapixels, files of 128 MiB, 512 MiB of decoded samples.
    fn default() -> Self {
        Self {
            max_width: 16_384,
            max_height: 16_384,
            max_pixels: 100_000_000,
            max_file_bytes: 128 << 20,
            max_alloc: 512 << 20,
        }
    }
}

/// What to do with the EXIF tag by which cameras say how they were held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// Turn the picture upright, as every viewer does.
    Apply,
    /// Leave the pixels as stored, as the reference implementations do.
    Ignore,
}

/// Reads and decodes a picture file; only the first frame of an animation.
pub fn decode_file(path: &Path, turn: Orientation, limits: &DecodeLimits) -> Result<Picture> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut bytes = Vec::new();
    // One byte beyond the limit is enough to know, and a pipe has no length to ask for.
    file.take(limits.max_file_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(path, error))?;
    decode_bytes(&path.display().to_string(), &bytes, turn, limits)
}

/// Whether a file begins as a picture within the limits; no pixel is read. What is damaged behind the
/// header is found only by decoding.
pub fn check_file(path: &Path, limits: &DecodeLimits) -> Result<()> {
    let io = |error| Error::io(path, error);
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let name = path.display().to_string();
    check_bytes(&name, file.get_ref().metadata().map_err(io)?.len(), limits)?;
    let format = known_format(&name, file.fill_buf().map_err(io)?)?;
    let refuse = |error: ImageError| Error::image(&name, reason(&error, format, limits));
    let header = || ImageReader::with_format(file, format).into_dimensions();
    let read = catch_unwind(AssertUnwindSafe(header));
    let failed = || Err(Error::image(&name, "the decoder failed; re-save it as PNG"));
    let (width, height) = read.map_or_else(|_| failed(), |size| size.map_err(refuse))?;
    check_size(&name, width, height, limits)
}

/// Decodes a picture held in memory; `name` (a path or `image 2`) appears in errors.
pub fn decode_bytes(
    name: &str,
    bytes: &[u8],
    turn: Orientation,
    limits: &DecodeLimits,
) -> Result<Picture> {
    check_bytes(name, bytes.len() as u64, limits)?;
    let format = known_format(name, bytes)?;
    // The decoders are fuzzed upstream and return errors; should one still panic, a server must
    // refuse the picture rather than lose the request's thread.
    catch_unwind(AssertUnwindSafe(|| {
        decode_known(name, bytes, format, turn, limits)
    }))
    .unwrap_or_else(|_| Err(Error::image(name, "the decoder failed; re-save it as PNG")))
}

fn check_bytes(name: &str, bytes: u64, limits: &DecodeLimits) -> Result<()> {
    if bytes <= limits.max_file_bytes {
        return Ok(());
    }
    let limit = limits.max_file_bytes;
    let reason = format!("the file is larger than {limit} bytes; shrink it or raise the limit");
    Err(Error::image(name, reason))
}

fn known_format(name: &str, bytes: &[u8]) -> Result<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    match guess_format(bytes) {
        Ok(format @ (Png | Jpeg | WebP | Gif | Bmp)) => Ok(format),
        _ if bytes.is_empty() => Err(Error::image(name, "the file is empty")),
        _ => Err(Error::image(
            name,
            "is not PNG, JPEG, WebP, GIF or BMP; convert it to one of them",
        )),
    }
}

fn decode_known(
    name: &str,
    bytes: &[u8],
    format: ImageFormat,
    turn: Orientation,
    limits: &DecodeLimits,
) -> Result<Picture> {
    let refuse = |error: ImageError| Error::image(name, reason(&error, format, limits));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder_limits = Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_alloc);
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;

    let (width, height) = decoder.dimensions();
    check_size(name, width, height, limits)?;
    let sample_bytes = decoder.total_bytes();
    if sample_bytes > limits.max_alloc {
        let limit = limits.max_alloc;
        return Err(Error::image(
            name,
            format!("needs {sample_bytes} bytes decoded; the limit is {limit}: scale it down"),
        ));
    }
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(Error::image(
            name,
            "the JPEG ends early; fetch or save it again",
        ));
    }
    let orientation = decoder.orientation().map_err(refuse)?;
    let colour_type = decoder.color_type();
    let mut samples = vec![0; sample_bytes as usize];
    decoder.read_image(&mut samples).map_err(refuse)?;

    let rgb = colour::to_rgb(samples, colour_type, colour::grey16_rule(format, bytes)).ok_or_else(
        || {
            Error::image(
                name,
                format!("{colour_type:?} samples; re-save it as 8-bit RGB"),
            )
        },
    )?;
    let picture = Picture::new(name, width, height, rgb)?;
    match turn {
        Orientation::Apply => upright(name, picture, orientation),
        Orientation::Ignore => Ok(picture),
    }
}

fn check_size(name: &str, width: u32, height: u32, limits: &DecodeLimits) -> Result<()> {
    let (max_width, max_height) = (limits.max_width, limits.max_height);
    let reason = if width == 0 || height == 0 {
        format!("is {width} x {height} pixels; a picture needs at least 1 x 1")
    } else if width > max_width || height > max_height {
        format!(
            "is {width} x {height} pixels; the limit is {max_width} x {max_height}: scale it down"
        )
    } else if u64::from(width) * u64::from(height) > limits.max_pixels {
        let max_pixels = limits.max_pixels;
        format!("is {width} x {height} pixels; the limit is {max_pixels} in all: scale it down")
    } else {
        return Ok(());
    };
    Err(Error::image(name, reason))
}

fn reason(error: &ImageError, format: ImageFormat, limits: &DecodeLimits) -> String {
    if let ImageError::Limits(_) = error {
        let limit = limits.max_alloc;
        return format!("decoding needs more than the limit of {limit} bytes: scale it down");
    }
    let kind = format.extensions_str().first().copied().unwrap_or("image");
    format!("damaged or unusual {kind} file ({error}); re-save it as PNG")
}

/// Whether the end marker follows the first scan: the decoder fills a missing rest with grey, where
/// Pillow refuses. Thumbnails hold end markers too, so segments before the scan are stepped over.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default(); // past the start marker
    loop {
        match *rest {
            [0xFF, 0xFF, ..] => rest = &rest[1..], // fill byte
            [0xFF, 0xDA, ..] => return rest.windows(2).any(|pair| pair == [0xFF, 0xD9]),
            [0xFF, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(next) = rest.get(2 + length..) else {
                    return false;
                };
                rest = next;
            }
            [_, ..] => rest = &rest[1..], // stray byte, which decoders skip
            [] => return false,
        }
    }
}

fn upright(
    name: &str,
    picture: Picture,
    orientation: ::image::metadata::Orientation,
) -> Result<Picture> {
    let Picture { width, height, rgb } = picture;
    let Some(stored) = RgbImage::from_raw(width, height, rgb) else {
        return Err(Error::image(name, "cannot be turned upright"));
    };
    let mut turned = DynamicImage::ImageRgb8(stored);
    turned.apply_orientation(orientation);
    Picture::new(name, turned.width(), turned.height(), turned.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::jpeg_is_complete;

    #[test]
    fn an_end_marker_counts_only_after_the_scan_began() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 0, 0];
        let scan = [0xFF, 0xDA, 0, 2, 7, 7, 7];
        let whole = [&[0xFF, 0xD8][..], &thumbnail, &scan, &[0xFF, 0xD9]].concat();
        assert!(jpeg_is_complete(&whole));
        for length in 0..whole.len() {
            assert!(!jpeg_is_complete(&whole[..length]), "first {length} bytes");
        }
    }
}
