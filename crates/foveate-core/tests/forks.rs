//! Answers that are forked: pruned otherwise from there on, or carried on by another engine.

mod common;

use common::{Entry, engine, entry, options, picture, request};
use foveate_core::{
    CacheMethod, CacheSettings, Checkpoint, Denoiser, Engine, Environment, Method, Moment, Options,
    Positions, Progress, PruneSettings, Pruned, Request, Step,
};
use foveate_kernels::{Cpu, Format, Reference};

fn cpu() -> Engine {
    engine(Cpu::new(None).unwrap())
}

fn step(engine: &Engine, denoiser: &mut Denoiser) -> Option<Step> {
    let progress = engine.step(&mut [denoiser]).unwrap().remove(0);
    match progress {
        Progress::Stepped(step) => Some(step),
        Progress::Finished | Progress::Cancelled => None,
    }
}

fn rest(engine: &Engine, denoiser: &mut Denoiser) -> Vec<Entry> {
    let mut trace = Vec::new();
    while let Some(step) = step(engine, denoiser) {
        trace.push(entry(&step));
    }
    trace
}

fn about_two_pictures(engine: &Engine, prune: Option<PruneSettings>) -> Request {
    let pictures = [picture(100, 90, 1), picture(84, 84, 2)];
    let options = Options {
        seed: 3,
        prune,
        ..options()
    };
    request(engine, "Compare.", &pictures, options)
}

fn after(step: usize, method: Method, keep: f64) -> PruneSettings {
    PruneSettings {
        moment: Some(Moment::AfterStep(step)),
        ..PruneSettings::new(method, keep)
    }
}

/// An answer after its first step under `prune`, and what that step reported.
fn begun(engine: &Engine, prune: Option<PruneSettings>) -> (Denoiser, Vec<Pruned>) {
    let mut denoiser = engine.start(&about_two_pictures(engine, prune)).unwrap();
    let first = step(engine, &mut denoiser).expect("a first step");
    (denoiser, first.pruned)
}

#[test]
fn a_fork_pruned_after_the_first_step_equals_an_answer_pruned_from_the_start() {
    let engine = cpu();
    let layers = engine.card().decoder.layers;
    for method in [
        Method::Redvtp,
        Method::LladaFastv,
        Method::Random,
        Method::Uniform,
    ] {
        let watching = method == Method::Redvtp || method == Method::LladaFastv;
        let (shared, reported) = begun(&engine, watching.then(|| after(1, method, 1.0)));
        for keep in [0.5, 0.2, 1.0] {
            for positions in [Positions::Compact, Positions::Original] {
                for moment in [1, 2] {
                    if watching && moment == 2 {
                        continue;
                    }
                    let settings = PruneSettings {
                        positions: Some(positions),
                        ..after(moment, method, keep)
                    };
                    let pruning = settings.build(layers).unwrap();
                    let mut fork = shared.fork_pruned(Some(&pruning), &reported).unwrap();
                    let whole = about_two_pictures(&engine, Some(settings));
                    let mut alone = engine.start(&whole).unwrap();
                    step(&engine, &mut alone).expect("a first step");
                    assert_eq!(fork.rows(), alone.rows(), "{method:?} {keep} {moment}");
                    let (got, want) = (rest(&engine, &mut fork), rest(&engine, &mut alone));
                    assert_eq!(got, want, "{method:?} {keep} {positions:?} {moment}");
                    let (got, want) = (fork.outcome(), alone.outcome());
                    assert_eq!(got.ids, want.ids);
                    assert_eq!(got.forwards, want.forwards);
                    assert_eq!(got.visual_tokens_kept, want.visual_tokens_kept);
                }
            }
        }
    }
}

#[test]
fn a_fork_may_still_watch_the_steps_that_follow() {
    let engine = cpu();
    let layers = engine.card().decoder.layers;
    let (shared, _) = begun(&engine, Some(after(1, Method::Redvtp, 1.0)));
    let settings = after(2, Method::Redvtp, 0.4);
    let pruning = settings.build(layers).unwrap();
    let mut fork = shared.fork_pruned(Some(&pruning), &[]).unwrap();
    let (mut alone, _) = begun(&engine, Some(settings));
    assert_eq!(rest(&engine, &mut fork), rest(&engine, &mut alone));
}

#[test]
fn a_fork_that_comes_too_late_is_refused() {
    let engine = cpu();
    let layers = engine.card().decoder.layers;
    let build = |settings: PruneSettings| settings.build(layers).unwrap();
    let refused = |denoiser: &Denoiser, settings: PruneSettings, reported: &[Pruned]| {
        let fork = denoiser.fork_pruned(Some(&build(settings)), reported);
        fork.unwrap_err().to_string()
    };
    let (unwatched, _) = begun(&engine, None);
    let before = refused(&unwatched, PruneSettings::new(Method::Random, 0.5), &[]);
    assert!(before.contains("BeforeDecoder"), "{before}");
    let unseen = refused(&unwatched, after(1, Method::Redvtp, 0.5), &[]);
    assert!(unseen.contains("expected a step that watched"), "{unseen}");
    let (other, reported) = begun(&engine, Some(after(1, Method::LladaFastv, 1.0)));
    let other = refused(&other, after(1, Method::Redvtp, 0.5), &reported);
    assert!(other.contains("expected a step that watched"), "{other}");
    let (pruned, reported) = begun(&engine, Some(after(1, Method::Redvtp, 0.5)));
    let twice = refused(&pruned, after(1, Method::Redvtp, 0.2), &reported);
    assert!(twice.contains("fork before they leave"), "{twice}");
    let cached = Options {
        cache: CacheSettings::new(CacheMethod::Prefix),
        ..options()
    };
    let cached = request(&engine, "?", &[picture(84, 84, 1)], cached);
    let cached = engine.start(&cached).unwrap();
    let kept = refused(&cached, after(1, Method::Random, 0.5), &[]);
    assert!(kept.contains("cache"), "{kept}");
    let elsewhere = cached.fork_seeing(&[]).unwrap_err().to_string();
    assert!(elsewhere.contains("cache"), "{elsewhere}");
}

#[test]
fn an_answer_can_be_carried_on_by_another_engine_of_the_same_model() {
    let (one, two) = (cpu(), engine(Cpu::portable(None).unwrap()));
    let reference = engine(Reference::default());
    for other in [&two, &reference] {
        let question = about_two_pictures(&one, Some(PruneSettings::new(Method::Redvtp, 0.5)));
        let images = about_two_pictures(other, None).images;
        let mut teacher = one.start(&question).unwrap();
        loop {
            let mut student = teacher.fork_seeing(&images).unwrap();
            let (want, got) = (step(&one, &mut teacher), step(other, &mut student));
            let Some((want, got)) = want.zip(got) else {
                break;
            };
            let tokens = |step: &Step| -> Vec<(u32, u32)> {
                step.drafts.iter().map(|d| (d.position, d.token)).collect()
            };
            assert_eq!(tokens(&want), tokens(&got), "step {}", want.step);
        }
    }
    let other_pictures = request(&one, "?", &[picture(30, 120, 1)], options());
    let teacher = one.start(&about_two_pictures(&one, None)).unwrap();
    let refused = teacher.fork_seeing(&other_pictures.images).unwrap_err();
    assert!(refused.to_string().contains("encode the same pictures"));
}

#[test]
fn an_engine_of_fewer_bits_is_compared_on_the_same_canvas() {
    let exact = cpu();
    let folder = common::golden().join("checkpoints/llada-v-tiny-a");
    let checkpoint = Checkpoint::open(folder).unwrap();
    let environment = Environment::default();
    let backend = Cpu::new(None).unwrap();
    let rounded = Engine::load_as(
        Format::Q4,
        &checkpoint,
        &environment,
        backend,
        &mut |_, _| {},
    );
    let rounded = rounded.unwrap();
    let mut teacher = exact.start(&about_two_pictures(&exact, None)).unwrap();
    let images = about_two_pictures(&rounded, None).images;
    while {
        let mut student = teacher.fork_seeing(&images).unwrap();
        let canvas = teacher.ids().to_vec();
        assert_eq!(student.ids(), canvas);
        let stepped = step(&rounded, &mut student);
        assert_eq!(teacher.ids(), canvas, "a fork's step changes only the fork");
        let positions = |step: Step| step.drafts.iter().map(|d| d.position).collect::<Vec<_>>();
        let open = stepped.map(positions);
        let want = step(&exact, &mut teacher).map(positions);
        assert_eq!(open, want, "the same positions may be committed");
        want.is_some()
    } {}
}

#[test]
fn what_a_step_reports_has_the_same_bits_whatever_else_is_watched() {
    let engine = cpu();
    let bits = |pruned: &[Pruned]| -> Vec<u32> {
        let scores = pruned.iter().flat_map(|image| &image.scores);
        scores.map(|score| score.to_bits()).collect()
    };
    let (_, alone) = begun(&engine, Some(after(1, Method::Redvtp, 1.0)));
    let layer = PruneSettings {
        layer: Some(3),
        ..after(1, Method::LladaFastv, 1.0)
    };
    let both = [after(1, Method::Redvtp, 1.0), layer];
    let mut both = both.map(|prune| {
        let request = about_two_pictures(&engine, Some(prune));
        engine.start(&request).unwrap()
    });
    let progress = engine
        .step(&mut both.iter_mut().collect::<Vec<_>>())
        .unwrap();
    let Progress::Stepped(step) = &progress[0] else {
        panic!("a first step");
    };
    assert_eq!(bits(&step.pruned), bits(&alone));
}
