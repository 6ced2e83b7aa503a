//! Configs: every size that is accepted is within its bounds and fits the others.

#![no_main]

use std::path::Path;

use foveate_core::image::{AspectMode, MergeType, parse_pinpoints};
use foveate_core::{Dialect, GenerationDefaults, Identity, ModelConfig, Result, VisionConfig};
use libfuzzer_sys::fuzz_target;

const MAX_COUNT: usize = 1_000_000;
const MAX_PINPOINTS: usize = 1024;

fuzz_target!(|json: &[u8]| {
    if let Some(identity) = named(Identity::parse(json, file())) {
        assert!(!identity.key().is_empty());
    }
    for dialect in [Dialect::Llama, Dialect::Olmo, Dialect::Qwen] {
        if let Some(config) = named(ModelConfig::parse(json, file(), dialect)) {
            check_model(&config);
        }
    }
    if let Some(config) = named(VisionConfig::parse(json, file())) {
        check_tower(&config);
    }
    if let Some(defaults) = named(GenerationDefaults::parse(json, file())) {
        let counts = [defaults.steps, defaults.gen_length, defaults.block_length];
        counts.into_iter().flatten().for_each(check_count);
        assert!(
            defaults
                .temperature
                .is_none_or(|t| t >= 0.0 && t.is_finite())
        );
    }
});

fn file() -> &'static Path {
    Path::new("model/config.json")
}

/// An error names the file.
fn named<T>(outcome: Result<T>) -> Option<T> {
    let named = |error: foveate_core::Error| {
        assert!(error.to_string().contains("model/config.json"), "{error}");
    };
    outcome.map_err(named).ok()
}

fn check_model(config: &ModelConfig) {
    let language = &config.language;
    for count in [
        language.hidden_size,
        language.intermediate_size,
        language.num_hidden_layers,
        language.num_attention_heads,
        language.num_key_value_heads,
        language.vocab_size,
        language.max_length,
        config.multimodal.mm_hidden_size,
    ] {
        check_count(count);
    }
    assert_eq!(
        language.head_dim() * language.num_attention_heads,
        language.hidden_size
    );
    assert_eq!(
        language.num_attention_heads % language.num_key_value_heads,
        0
    );
    assert!(language.head_dim() >= 2 && language.head_dim() % 2 == 0);
    assert!(language.rms_norm_eps > 0.0 && language.rms_norm_eps.is_finite());
    assert!(language.rope_theta > 0.0 && (language.rope_theta as f32).is_finite());

    let multimodal = &config.multimodal;
    assert!(!multimodal.mm_vision_tower.is_empty());
    let _ = MergeType::parse(&multimodal.mm_patch_merge_type);
    let aspect = multimodal
        .image_aspect_ratio
        .as_deref()
        .map(AspectMode::parse);
    assert!(!matches!(aspect, Some(Ok(AspectMode::AnyResMax(0)))));
    if let Some(value) = &multimodal.image_grid_pinpoints
        && let Ok(pinpoints) = parse_pinpoints(value, 384)
    {
        assert!(
            (1..=MAX_PINPOINTS).contains(&pinpoints.len()),
            "{}",
            pinpoints.len()
        );
    }
}

fn check_tower(config: &VisionConfig) {
    for count in [
        config.hidden_size,
        config.intermediate_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_channels,
        config.image_size,
        config.patch_size,
        config.used_layers(),
        config.grid(),
    ] {
        check_count(count);
    }
    assert_eq!(config.hidden_size % config.num_attention_heads, 0);
    assert!(config.layer_norm_eps > 0.0 && config.layer_norm_eps.is_finite());
}

fn check_count(count: usize) {
    assert!((1..=MAX_COUNT).contains(&count), "{count}");
}
