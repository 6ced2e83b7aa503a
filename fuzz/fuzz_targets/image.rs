//! Picture files and tilings: limits hold, views are complete, every token lies in the picture.
//!
//! Input: nine bytes that choose a tiling and a size, then a picture file.

#![no_main]

use foveate_core::image::{
    AspectMode, MergeType, OneView, Pooling, decode_bytes, geometry, layout,
};
use foveate_core::{DecodeLimits, Orientation, Picture, TilingConfig, Views};
use libfuzzer_sys::fuzz_target;

const LIMITS: DecodeLimits = DecodeLimits {
    max_width: 300,
    max_height: 200,
    max_pixels: 40_000,
    max_file_bytes: 1 << 16,
    max_alloc: 1 << 20,
};

fuzz_target!(
    init: abort_on_own_panics(),
    |input: &[u8]| {
        let Some((head, file)) = input.split_first_chunk::<9>() else {
            return;
        };
        let config = tiling([head[0], head[1], head[2]]);
        let [_, _, _, width @ .., _, _, _] = *head;
        let [.., high, middle, low] = *head;
        let size = |[high, middle, low]: [u8; 3]| u32::from_be_bytes([0, high, middle, low]);
        check_layout(size(width), size([high, middle, low]), &config);

        let decoded = decode_bytes("fuzzed", file, Orientation::Apply, &LIMITS);
        let stored = decode_bytes("fuzzed", file, Orientation::Ignore, &LIMITS);
        match (decoded, stored) {
            (Ok(upright), Ok(stored)) => {
                check_picture(&stored);
                assert_eq!(upright.rgb().len(), stored.rgb().len());
                check_views(&upright, &config);
            }
            (Err(error), Err(_)) => assert!(error.to_string().starts_with("image fuzzed: ")),
            (one, other) => panic!("{one:?} but {other:?}"),
        }
    }
);

/// Decoders of other projects may panic, `decode_bytes` makes that an error; nothing else may.
/// A panic that nobody catches still ends the process.
fn abort_on_own_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let file = panic.location().map_or("", |location| location.file());
        if file.contains("foveate") || file.contains("fuzz_targets") {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}

fn tiling([sizes, modes, canvases]: [u8; 3]) -> TilingConfig {
    let patch_size = 1 + u32::from(sizes % 16);
    // A view of 1 to 16 patches and sometimes some unseen pixels.
    let image_size =
        patch_size * (1 + u32::from(sizes / 16)) + u32::from(canvases % 3) % patch_size;
    let aspect = match modes % 5 {
        0 => AspectMode::AnyRes,
        1 => AspectMode::AnyResMax(1 + u32::from(modes / 64)),
        2 => AspectMode::AnyResMax(9),
        3 => AspectMode::Pad,
        _ => AspectMode::Squash,
    };
    let (across, down) = (1 + u32::from(canvases % 4), 1 + u32::from(canvases / 4 % 4));
    TilingConfig {
        image_size,
        patch_size,
        aspect,
        pinpoints: vec![
            (image_size * across, image_size * down),
            (image_size * down, image_size * 2),
            (image_size, image_size),
        ],
        merge: if modes & 8 == 0 {
            MergeType::Flat
        } else {
            MergeType::SpatialUnpad
        },
        pooling: if modes & 16 == 0 {
            Pooling::None
        } else {
            Pooling::HalfBilinear
        },
        one_view: if modes & 32 == 0 {
            OneView::Bare
        } else {
            OneView::Newline
        },
    }
}

fn check_picture(picture: &Picture) {
    let (width, height) = (picture.width(), picture.height());
    assert!((1..=LIMITS.max_width).contains(&width) && (1..=LIMITS.max_height).contains(&height));
    assert!(u64::from(width * height) <= LIMITS.max_pixels);
    assert_eq!(picture.rgb().len(), (width * height * 3) as usize);
}

fn check_views(picture: &Picture, config: &TilingConfig) {
    let views = Views::new(picture, config).expect("a valid tiling");
    let expected = geometry(picture.width(), picture.height(), config).expect("a valid tiling");
    assert_eq!((views.count, views.grid), (expected.views, expected.grid));
    assert_eq!(views.original, (picture.width(), picture.height()));
    assert_eq!(
        views.pixels.len(),
        views.count * 3 * (config.image_size as usize).pow(2)
    );
    assert!(
        views
            .pixels
            .iter()
            .all(|sample| (-1.0..=1.0).contains(sample))
    );
    check_layout(picture.width(), picture.height(), config);
}

fn check_layout(width: u32, height: u32, config: &TilingConfig) {
    let Ok(layout) = layout(width, height, config) else {
        assert!(width == 0 || height == 0);
        return;
    };
    let geometry = geometry(width, height, config).expect("it has a layout");
    assert_eq!(layout.tokens, geometry.visual_tokens);
    assert_eq!(layout.tokens, layout.sources.rows());
    assert_eq!(layout.tokens, layout.rects.len());
    assert_eq!(
        layout.newline_row,
        geometry.views * config.patches_per_view()
    );
    for token in 0..layout.tokens {
        let mut total = 0.0;
        for (from, weight) in layout.sources.sources(token) {
            assert!((from as usize) <= layout.newline_row && weight > 0.0);
            total += weight;
        }
        assert!(
            (total - 1.0).abs() < 1e-4,
            "weights of token {token} add up to {total}"
        );
        if let Some(rect) = layout.rects[token] {
            assert!(!layout.is_newline(token));
            assert!(rect.x >= 0.0 && rect.y >= 0.0 && rect.w > 0.0 && rect.h > 0.0);
            // Sums of f32 may round by a part in 2^23.
            let beyond = |edge: f32, size: u32| edge > size as f32 * (1.0 + 1e-6);
            assert!(!beyond(rect.x + rect.w, width) && !beyond(rect.y + rect.h, height));
        }
    }
}
