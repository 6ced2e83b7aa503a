//! Resizing and tiling against tensors made with Pillow 10.3 by the published code, bit for bit.

#![expect(clippy::float_cmp, reason = "bit for bit is what is tested")]

use std::fs;
use std::path::Path;

use foveate_core::image::{
    AspectMode, DecodeLimits, MergeType, OneView, Orientation, Picture, Pooling, TilingConfig,
    Views, decode_file, resize,
};
use safetensors::SafeTensors;

/// Settings of the tiny checkpoint that the tensors were made with.
fn tiny(aspect: AspectMode) -> TilingConfig {
    let sides = [84, 168, 252];
    let pinpoints = sides
        .into_iter()
        .flat_map(|width| sides.map(|height| (width, height)));
    TilingConfig {
        image_size: 84,
        patch_size: 14,
        aspect,
        pinpoints: pinpoints.collect(),
        merge: MergeType::SpatialUnpad,
        pooling: Pooling::None,
        one_view: OneView::Bare,
    }
}

/// The published normalisation of one sample.
fn normalised(sample: u8) -> f32 {
    ((f64::from(sample) * (1.0 / 255.0)) as f32 - 0.5) / 0.5
}

fn flat(width: u32, height: u32, level: u8) -> Picture {
    Picture::new(
        "flat",
        width,
        height,
        vec![level; (width * height * 3) as usize],
    )
    .unwrap()
}

#[test]
fn views_equal_those_of_the_published_code_bit_for_bit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/preproc_tiny");
    let bytes = fs::read(folder.join("tensors.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for index in 0..6 {
        let path = folder.join(format!("image_{index}.png"));
        let picture = decode_file(&path, Orientation::Ignore, &DecodeLimits::default()).unwrap();
        let views = Views::new(&picture, &tiny(AspectMode::AnyResMax(4))).unwrap();
        let expected = tensors
            .tensor(&format!("pixel_u8_{index}_rgb_first"))
            .or_else(|_| tensors.tensor(&format!("pixel_u8_{index}")))
            .unwrap();
        assert_eq!(expected.shape(), [views.count, 3, 84, 84], "image {index}");
        let expected: Vec<f32> = expected.data().iter().copied().map(normalised).collect();
        let differing = views
            .pixels
            .iter()
            .zip(&expected)
            .filter(|(got, want)| got != want);
        assert_eq!(differing.count(), 0, "image {index}: samples that differ");
    }
}

#[test]
fn a_letter_box_is_black_and_a_pad_is_grey() {
    let picture = flat(252, 84, 200);
    let tiled = TilingConfig {
        pinpoints: vec![(84, 84)],
        ..tiny(AspectMode::AnyRes)
    };
    let views = Views::new(&picture, &tiled).unwrap();
    assert_eq!((views.count, views.grid), (2, Some((1, 1))));
    let top_left = |view: usize| views.pixels[view * 3 * 84 * 84];
    assert_eq!([top_left(0), top_left(1)], [normalised(200), normalised(0)]);

    let padded = Views::new(&picture, &tiny(AspectMode::Pad)).unwrap();
    assert_eq!((padded.count, padded.grid), (1, None));
    let middle = 84 * 42 + 42;
    assert_eq!(
        [padded.pixels[0], padded.pixels[middle]],
        [normalised(127), normalised(200)]
    );

    let squashed = Views::new(&picture, &tiny(AspectMode::Squash)).unwrap();
    assert!(
        squashed
            .pixels
            .iter()
            .all(|sample| *sample == normalised(200))
    );
}

#[test]
fn resizing_to_the_own_size_changes_nothing() {
    let rgb: Vec<u8> = (0..7 * 5 * 3)
        .map(|sample| (sample * 37 % 256) as u8)
        .collect();
    let picture = Picture::new("noise", 7, 5, rgb).unwrap();
    assert_eq!(resize(&picture, 7, 5).unwrap(), picture);
}

#[test]
fn extreme_shapes_resize_without_panicking() {
    for (width, height) in [(1, 1), (16_384, 1), (1, 16_384), (3, 5_000)] {
        for aspect in [AspectMode::AnyRes, AspectMode::Pad, AspectMode::Squash] {
            let views = Views::new(&flat(width, height, 255), &tiny(aspect)).unwrap();
            assert_eq!(
                views.pixels.len(),
                views.count * 3 * 84 * 84,
                "{width} x {height}"
            );
        }
    }
    assert!(resize(&flat(2, 2, 0), 0, 5).is_err());
    assert!(resize(&flat(2, 2, 0), 5, 0).is_err());
}
