//! Decoding: Pillow's colour conversion, orientation, limits, and files that are not what they say.

use std::fs;
use std::path::{Path, PathBuf};

use foveate_core::image::{
    DecodeLimits, Orientation, Picture, check_file, decode_bytes, decode_file,
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/colour_modes")
}

/// What Pillow makes of a file: width, height, samples.
type Pillow = (u32, u32, Vec<u8>);

/// Files whose name starts with `prefix`, with Pillow's reading of them.
fn cases(prefix: &str) -> Vec<(PathBuf, Pillow)> {
    let mut cases: Vec<_> = fs::read_dir(data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().unwrap() != "rgb")
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .map(|path| {
            let expected = fs::read(path.with_extension("rgb")).unwrap();
            let side = |at: usize| u32::from(u16::from_le_bytes([expected[at], expected[at + 1]]));
            let size_and_rgb = (side(0), side(2), expected[4..].to_vec());
            (path, size_and_rgb)
        })
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no test files named {prefix}*");
    cases
}

fn decoded(path: &Path, turn: Orientation) -> Picture {
    decode_file(path, turn, &DecodeLimits::default()).unwrap()
}

/// The error for a file under default limits.
fn refusal(bytes: &[u8]) -> String {
    let limits = DecodeLimits::default();
    decode_bytes("cat.png", bytes, Orientation::Apply, &limits)
        .unwrap_err()
        .to_string()
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap_or(0)
}

#[test]
fn every_lossless_colour_mode_becomes_rgb_as_pillow_makes_it() {
    for prefix in ["png_", "bmp_", "gif_", "webp_lossless"] {
        for (path, (width, height, rgb)) in cases(prefix) {
            let picture = decoded(&path, Orientation::Ignore);
            assert_eq!(
                (picture.width(), picture.height()),
                (width, height),
                "{}",
                path.display()
            );
            assert_eq!(picture.rgb(), rgb, "{}", path.display());
        }
    }
}

#[test]
fn lossy_pictures_differ_from_pillow_by_a_few_levels() {
    let mut got = Vec::new();
    for (path, (width, height, rgb)) in cases("jpeg_").into_iter().chain(cases("webp_lossy")) {
        let picture = decoded(&path, Orientation::Ignore);
        assert_eq!(
            (picture.width(), picture.height()),
            (width, height),
            "{}",
            path.display()
        );
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        got.push((name, largest_difference(picture.rgb(), &rgb)));
    }
    // Small, with hard edges: the worst case for halved chroma (420). Measured on x86-64; another
    // processor's inverse DCT may round one level further.
    let measured = [
        ("jpeg_cmyk_adobe.jpg", 1),
        ("jpeg_cmyk_plain.jpg", 1),
        ("jpeg_grey.jpg", 1),
        ("jpeg_progressive.jpg", 2),
        ("jpeg_rgb_420.jpg", 8),
        ("jpeg_rgb_444.jpg", 2),
        ("jpeg_ycck.jpg", 2),
        ("webp_lossy.webp", 0),
    ];
    assert_eq!(got.len(), measured.len());
    for ((name, difference), (expected_name, levels)) in got.iter().zip(measured) {
        assert_eq!(name, expected_name);
        assert!(
            *difference <= levels + 1,
            "{name}: {difference} levels, measured {levels}"
        );
    }
}

#[test]
fn all_eight_orientations_come_out_upright() {
    let upright = cases("exif_");
    assert_eq!(upright.len(), 8 + 2);
    for (path, (width, height, rgb)) in upright {
        let picture = decoded(&path, Orientation::Apply);
        assert_eq!(
            (picture.width(), picture.height()),
            (width, height),
            "{}",
            path.display()
        );
        let difference = largest_difference(picture.rgb(), &rgb);
        assert!(difference <= 3, "{}: {difference} levels", path.display());
    }
}

#[test]
fn an_ignored_orientation_leaves_the_pixels_as_stored() {
    let stored = decoded(&data().join("exif_1.png"), Orientation::Ignore);
    for orientation in 2..=8 {
        let path = data().join(format!("exif_{orientation}.png"));
        assert_eq!(decoded(&path, Orientation::Ignore), stored);
    }
}

#[test]
fn a_look_at_the_header_refuses_what_decoding_would() {
    let limits = DecodeLimits::default();
    for prefix in ["png_", "bmp_", "gif_", "webp_", "jpeg_"] {
        for (path, _) in cases(prefix) {
            check_file(&path, &limits).unwrap();
        }
    }
    let folder = std::env::temp_dir().join(format!("foveate-headers-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("cat.png");
    let small = DecodeLimits {
        max_file_bytes: 20,
        ..limits
    };
    for (bytes, limits, reason) in [
        (Vec::new(), limits, "the file is empty"),
        (b"<svg></svg>".to_vec(), limits, "is not PNG, JPEG"),
        (png_header(20_000, 10), limits, "the limit is 16384 x 16384"),
        (
            png_header(2, 2)[..20].to_vec(),
            limits,
            "damaged or unusual png",
        ),
        (png_header(2, 2), small, "larger than 20 bytes"),
    ] {
        fs::write(&path, bytes).unwrap();
        let refused = check_file(&path, &limits).unwrap_err().to_string();
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    fs::remove_dir_all(&folder).unwrap();
    let missing = check_file(&path, &limits).unwrap_err().to_string();
    assert!(missing.contains("cat.png"), "{missing}");
}

/// A valid PNG header of the given size; the pixels behind it are missing.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut body = b"IHDR".to_vec();
    body.extend(width.to_be_bytes());
    body.extend(height.to_be_bytes());
    body.extend([8, 6, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(13_u32.to_be_bytes());
    file.extend(&body);
    file.extend(crc32(&body).to_be_bytes());
    file.extend(b"\0\0\0\0IDAT");
    file.extend(crc32(b"IDAT").to_be_bytes());
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn a_header_that_claims_a_huge_picture_is_refused_with_its_size_and_the_limit() {
    let message = refusal(&png_header(60_000, 60_000));
    assert_eq!(
        message,
        "image cat.png: is 60000 x 60000 pixels; the limit is 16384 x 16384: scale it down"
    );
    assert!(refusal(&png_header(20_000, 1)).contains("20000 x 1"));
    let message = refusal(&png_header(16_000, 16_000));
    assert!(
        message.contains("the limit is 100000000 in all"),
        "{message}"
    );
}

#[test]
fn other_limits_are_named_too() {
    let png = fs::read(data().join("png_rgb8.png")).unwrap();
    let defaults = DecodeLimits::default();
    let small_file = DecodeLimits {
        max_file_bytes: 10,
        ..defaults
    };
    let small_memory = DecodeLimits {
        max_alloc: 100,
        ..defaults
    };
    for (limits, expected) in [(small_file, "larger than 10 bytes"), (small_memory, "100")] {
        let error = decode_bytes("cat.png", &png, Orientation::Apply, &limits).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let path = data().join("png_rgb8.png");
    let error = decode_file(&path, Orientation::Apply, &small_file)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("png_rgb8.png") && error.contains("larger than 10 bytes"),
        "{error}"
    );
}

#[test]
fn empty_and_unknown_files_are_refused() {
    assert_eq!(refusal(b""), "image cat.png: the file is empty");
    assert!(refusal(b"%PDF-1.7 not a picture").contains("is not PNG, JPEG, WebP, GIF or BMP"));
    assert!(refusal(&png_header(0, 10)).starts_with("image cat.png: "));
    assert!(Picture::new("cat", 0, 1, vec![]).is_err());
    assert!(Picture::new("cat", 2, 1, vec![0; 5]).is_err());
    let missing = decode_file(
        Path::new("no/cat.png"),
        Orientation::Apply,
        &DecodeLimits::default(),
    );
    assert!(missing.unwrap_err().to_string().contains("no/cat.png"));
}

#[test]
fn truncated_files_are_errors() {
    let names = [
        "png_rgb8.png",
        "jpeg_rgb_420.jpg",
        "jpeg_progressive.jpg",
        "gif_palette.gif",
    ]
    .into_iter()
    .chain(["bmp_rgb.bmp", "webp_lossless.webp", "webp_lossy.webp"]);
    for name in names {
        let whole = fs::read(data().join(name)).unwrap();
        for length in [whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4] {
            let message = refusal(&whole[..length]);
            assert!(message.starts_with("image cat.png: "), "{name}: {message}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let limits = DecodeLimits {
        max_pixels: 1 << 20,
        max_alloc: 8 << 20,
        ..Default::default()
    };
    for (path, _) in cases("") {
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len().min(400) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5A;
            if let Err(error) = decode_bytes("cat", &damaged, Orientation::Apply, &limits) {
                let message = error.to_string();
                assert!(
                    !message.contains("decoder failed"),
                    "{} byte {at}",
                    path.display()
                );
            }
        }
    }
}
