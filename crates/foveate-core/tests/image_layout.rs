//! Token counts against the published geometry, and the laws every token layout obeys.

use foveate_core::image::{
    AspectMode, MergeType, OneView, Pooling, TilingConfig, geometry, layout, parse_pinpoints,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(aspect: AspectMode, pinpoints: &Value, pooling: Pooling) -> TilingConfig {
    TilingConfig {
        image_size: 384,
        patch_size: 14,
        aspect,
        pinpoints: parse_pinpoints(pinpoints, 384).unwrap(),
        merge: MergeType::SpatialUnpad,
        pooling,
        one_view: OneView::Bare,
    }
}

fn llada_v() -> TilingConfig {
    config(
        AspectMode::AnyResMax(4),
        &json!("(1x1),...,(6x6)"),
        Pooling::None,
    )
}

fn lavida() -> TilingConfig {
    let pinpoints = json!([[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]]);
    config(AspectMode::AnyRes, &pinpoints, Pooling::HalfBilinear)
}

fn number(row: &Value, key: &str) -> usize {
    usize::try_from(row[key].as_u64().unwrap()).unwrap()
}

fn check_table(table: &str, config: &TilingConfig) {
    let table: Value = serde_json::from_str(table).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 234);
    for row in rows {
        let (width, height) = (number(row, "w") as u32, number(row, "h") as u32);
        let found = geometry(width, height, config).unwrap();
        let (best_width, best_height) = found.best_resolution.unwrap();
        assert_eq!(
            json!([best_width, best_height]),
            row["best_resolution"],
            "{row}"
        );
        let (grid_rows, grid_cols) = found.grid.unwrap();
        assert_eq!(
            (json!(grid_rows), json!(grid_cols)),
            (row["grid_h"].clone(), row["grid_w"].clone())
        );
        assert_eq!(found.views, number(row, "tiles_with_base"), "{row}");
        assert_eq!(found.base_tokens, number(row, "base_tokens"), "{row}");
        assert_eq!(found.grid_rows, number(row, "grid_rows"), "{row}");
        // The table writes no columns where there are no rows.
        let cols = if found.grid_rows == 0 {
            0
        } else {
            found.grid_cols
        };
        assert_eq!(cols, number(row, "grid_cols"), "{row}");
        assert_eq!(found.visual_tokens, number(row, "visual_tokens"), "{row}");
        assert_eq!(
            layout(width, height, config).unwrap().tokens,
            found.visual_tokens,
            "{row}"
        );
    }
}

#[test]
fn geometry_equals_the_published_counts_of_llada_v() {
    check_table(include_str!("data/geometry_llada_v.json"), &llada_v());
}

#[test]
fn geometry_equals_the_published_counts_of_lavida() {
    check_table(include_str!("data/geometry_lavida.json"), &lavida());
}

#[test]
fn one_view_modes_have_plain_tokens_and_a_newline_only_on_request() {
    for aspect in [AspectMode::Pad, AspectMode::Squash] {
        let bare = TilingConfig {
            aspect,
            ..llada_v()
        };
        let plain = layout(640, 480, &bare).unwrap();
        assert_eq!((plain.tokens, plain.newline_row), (729, 729));
        assert_eq!(plain.sources.from, (0..729).collect::<Vec<_>>());
        let listed = layout(
            640,
            480,
            &TilingConfig {
                one_view: OneView::Newline,
                ..bare
            },
        )
        .unwrap();
        assert_eq!(listed.tokens, 730);
        assert!(listed.is_newline(729) && !listed.is_newline(728));
    }
}

#[test]
fn a_flat_merge_is_view_after_view_without_newlines() {
    let flat = TilingConfig {
        merge: MergeType::Flat,
        ..llada_v()
    };
    let tokens = layout(640, 480, &flat).unwrap();
    assert_eq!(tokens.tokens, 5 * 729);
    assert!((0..tokens.tokens).all(|token| !tokens.is_newline(token)));
}

#[test]
fn a_token_knows_its_pixels_through_squash_letter_box_and_tile() {
    let tokens = layout(640, 480, &llada_v()).unwrap();
    let rect = |token: usize| tokens.rects[token].map(|r| [r.x, r.y, r.w, r.h]);
    // Base view: 640 x 480 squashed to 384 x 384, so a patch is 14 * 5/3 by 14 * 5/4 pixels.
    assert_eq!(
        rect(0),
        Some([0.0, 0.0, 14.0 * 640.0 / 384.0, 14.0 * 480.0 / 384.0])
    );
    // Tiles: 768 x 576 at row 96 of 768 x 768; map row 7 starts at canvas row 98. The second tile
    // starts at canvas column 384, which is picture column 320.
    assert_eq!(
        tokens.sources.sources(729).collect::<Vec<_>>(),
        [(729 + 7 * 27, 1.0)]
    );
    let scale = 640.0 / 768.0;
    let close = |got: Option<[f32; 4]>, want: [f32; 4]| {
        got.is_some_and(|got| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3))
    };
    assert!(
        close(rect(729), [0.0, 2.0 * scale, 14.0 * scale, 14.0 * scale]),
        "{:?}",
        rect(729)
    );
    assert!(close(
        rect(729 + 27),
        [320.0, 2.0 * scale, 14.0 * scale, 14.0 * scale]
    ));
    assert!(tokens.is_newline(729 + 54) && rect(729 + 54).is_none());
}

#[test]
fn a_padded_picture_has_tokens_that_see_nothing() {
    let config = TilingConfig {
        aspect: AspectMode::Pad,
        ..llada_v()
    };
    let tokens = layout(384, 128, &config).unwrap();
    assert_eq!(tokens.rects[0], None);
    let middle = tokens.rects[13 * 27].unwrap();
    assert!(
        (middle.y - (13.0 * 14.0 - 128.0)).abs() < 1e-3,
        "{middle:?}"
    );
}

#[test]
fn absurd_shapes_are_counted_not_crashed_on() {
    for (width, height) in [
        (16_000, 1),
        (1, 16_000),
        (1, 1),
        (16_384, 16_384),
        (u32::MAX, 1),
    ] {
        for config in [llada_v(), lavida()] {
            let tokens = layout(width, height, &config).unwrap();
            assert_eq!(
                tokens.tokens,
                geometry(width, height, &config).unwrap().visual_tokens
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_layout_is_consistent_for_any_size(
        width in 1_u32..=3000,
        height in 1_u32..=3000,
        family in 0..6,
    ) {
        let config = match family {
            0 => llada_v(),
            1 => lavida(),
            2 => TilingConfig { pooling: Pooling::HalfBilinear, ..llada_v() },
            3 => TilingConfig { merge: MergeType::Flat, ..lavida() },
            4 => TilingConfig { aspect: AspectMode::Pad, ..llada_v() },
            _ => TilingConfig { aspect: AspectMode::AnyResMax(1), ..llada_v() },
        };
        let found = geometry(width, height, &config).unwrap();
        let tokens = layout(width, height, &config).unwrap();
        let expected = match (config.aspect.is_tiled(), config.merge) {
            (true, MergeType::Flat) => found.views * found.base_tokens,
            _ => found.base_tokens + found.grid_rows * (found.grid_cols + 1),
        };
        prop_assert_eq!(tokens.tokens, expected);
        prop_assert_eq!(tokens.sources.rows(), expected);
        prop_assert_eq!(tokens.rects.len(), expected);
        prop_assert_eq!(tokens.newline_row, found.views * config.patches_per_view());
        prop_assert_eq!(*tokens.sources.starts.last().unwrap() as usize, tokens.sources.from.len());
        for token in 0..tokens.tokens {
            let total: f32 = tokens.sources.sources(token).map(|(_, weight)| weight).sum();
            prop_assert!((total - 1.0).abs() < 1e-5, "token {}: weights sum to {}", token, total);
            prop_assert!(
                tokens.sources.sources(token).all(|(from, _)| from <= tokens.newline_row)
            );
            if let Some(rect) = tokens.rects[token] {
                prop_assert!(!tokens.is_newline(token));
                prop_assert!(rect.x >= 0.0 && rect.y >= 0.0 && rect.w > 0.0 && rect.h > 0.0);
                prop_assert!(rect.x + rect.w <= width as f32 + 1e-3, "{:?}", rect);
                prop_assert!(rect.y + rect.h <= height as f32 + 1e-3, "{:?}", rect);
            }
        }
    }
}
