//! Folders of random weights, written to be measured.

mod common;

use std::path::Path;

use common::{options, picture, request, run};
use foveate_core::{
    Checkpoint, Engine, Environment, NamedShape, SHAPES, VisionShape, quantize, write_random,
};
use foveate_kernels::{Cpu, Format};

/// The smallest named shape, smaller; with a tower of its own or without.
fn shape(layers_of_tower: usize) -> NamedShape {
    let mut shape = SHAPES[0];
    shape.decoder.hidden = 64;
    shape.decoder.heads.count = 4;
    shape.decoder.heads.kv_count = 2;
    shape.decoder.heads.dim = 16;
    shape.decoder.layers = 2;
    shape.decoder.mlp = 96;
    shape.decoder.vocabulary = 300;
    shape.vision = VisionShape {
        image_size: 28,
        hidden: 32,
        layers: layers_of_tower,
        heads: 2,
        mlp: 48,
        ..shape.vision
    };
    shape
}

fn write(shape: &NamedShape, folder: &Path) -> foveate_core::Result<()> {
    write_random(shape, 7, folder, &mut |_, _| {})
}

fn engine(folder: &Path, format: Format) -> Engine {
    let (checkpoint, environment) = (Checkpoint::open(folder).unwrap(), Environment::default());
    let cpu = Cpu::new(None).unwrap();
    Engine::load_as(format, &checkpoint, &environment, cpu, &mut |_, _| {}).unwrap()
}

#[test]
fn a_written_folder_has_the_shape_is_quantized_and_answers_alike_in_both_forms() {
    for tower in [0, 2] {
        let home = tempfile::tempdir().unwrap();
        let (folder, small) = (home.path().join("random"), home.path().join("small"));
        let shape = shape(tower);
        write(&shape, &folder).unwrap();
        let original = engine(&folder, Format::Q4);
        assert_eq!(original.card().decoder, shape.decoder);
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let environment = Environment::default();
        quantize(
            &checkpoint,
            &environment,
            Format::Q4,
            "random",
            &small,
            None,
            &mut |_, _| {},
        )
        .unwrap();
        let quantized = engine(&small, Format::Auto);
        let request = request(&original, "w3 w5", &[picture(40, 30, 1)], options());
        assert!(!request.images[0].is_empty());
        assert_eq!(run(&quantized, &request), run(&original, &request));
    }
}

#[test]
fn nothing_is_overwritten_and_what_was_interrupted_is_no_model() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("random");
    std::fs::create_dir(&folder).unwrap();
    let exists = write(&shape(0), &folder).unwrap_err().to_string();
    assert!(exists.contains("exists"), "{exists}");
    std::fs::remove_dir(&folder).unwrap();

    let died = std::panic::catch_unwind(|| {
        let mut progress = |done, of| assert!(done < of / 2, "killed");
        write_random(&shape(0), 7, &folder, &mut progress)
    });
    assert!(died.is_err() && !folder.exists());
    let partial = home.path().join("random.partial");
    let refused = Checkpoint::open(&partial).unwrap_err().to_string();
    assert!(refused.contains("model.safetensors"), "{refused}");
}

#[test]
fn a_vocabulary_without_room_for_words_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut shape = shape(0);
    shape.decoder.vocabulary = 6;
    let folder = home.path().join("random");
    let refused = write(&shape, &folder).unwrap_err().to_string();
    assert!(
        refused.contains("vocabulary") && !folder.exists(),
        "{refused}"
    );
}
