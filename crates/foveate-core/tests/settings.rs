//! Settings: what follows from what is said, JSON that is read back as it was written, and
//! docs/settings.md, which is written by this test (`FOVEATE_WRITE_DOCS=1`) and compared with it otherwise.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::golden;
use foveate_core::{
    CACHES, Checkpoint, Environment, Form, METHODS, ModelCard, Options, Origin, POLICIES, PRESETS,
    Setting, Settings, Tokenizer, settings,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

const MODELS: [&str; 2] = ["llada-v-tiny-a", "lavida-dream-tiny-a"];

fn opened(model: &str) -> (Checkpoint, ModelCard) {
    let checkpoint = Checkpoint::open(golden().join("checkpoints").join(model)).expect("opens");
    let environment = Environment::from_variables(|_| None);
    let card = foveate_core::card(&checkpoint, &environment).expect("a card");
    (checkpoint, card)
}

fn resolved(settings: &Settings, model: &str) -> foveate_core::Result<Options> {
    let (checkpoint, card) = opened(model);
    let options = settings.resolve(&card, || Tokenizer::open(&checkpoint))?;
    options.check(&card)?;
    Ok(options)
}

fn said(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, text) in pairs {
        settings.set(name, text, Origin::Flag).expect(name);
    }
    settings
}

fn of(pairs: &[(&str, &str)]) -> Options {
    resolved(&said(pairs), MODELS[0]).expect("valid")
}

#[test]
fn a_length_without_a_block_length_makes_one_block_of_as_many_tokens_a_step() {
    let plain = of(&[]);
    let longer = of(&[("gen-length", "64")]);
    assert_eq!((longer.gen_length, longer.block_length), (64, 64));
    let per_token = plain.steps as f64 / plain.gen_length as f64;
    assert_eq!(longer.steps, (64.0 * per_token).ceil() as usize);
    let blocks = of(&[("gen-length", "64"), ("block-length", "32")]);
    assert_eq!(blocks.block_length, 32);
    assert_eq!(blocks.steps % 2, 0);
}

#[test]
fn another_policy_goes_by_probabilities_and_a_template_fixes_the_length() {
    let dream = |pairs: &[(&str, &str)]| resolved(&said(pairs), MODELS[1]).expect("valid");
    let remasking = |options: Options| options.to_json()["denoise"]["remasking"].clone();
    assert_eq!(remasking(dream(&[])), "margin");
    assert_eq!(
        remasking(dream(&[("policy", "threshold")])),
        "low-confidence"
    );
    let template = of(&[("template", "I say {slot:6}")]);
    let tokens = template.template.as_ref().expect("a template").len();
    assert_eq!(
        (template.gen_length, template.block_length, template.steps),
        (tokens, tokens, 3)
    );
}

#[test]
fn a_stronger_origin_wins_and_silences_what_says_the_same() {
    let file = json!({"denoise": {"step_ratio": 0.5, "schedule": "even"}, "seed": 7});
    let file = Settings::from_json(&file, Origin::File).expect("valid");
    let all = said(&[("steps", "8"), ("seed", "3")]).over(file);
    let options = resolved(&all, MODELS[0]).expect("valid");
    assert_eq!(
        (options.steps, options.step_ratio, options.seed),
        (8, None, 3)
    );
    assert_eq!(options.to_json()["denoise"]["schedule"], "even");
}

#[test]
fn json_that_is_no_setting_is_refused_with_the_nearest_name() {
    for (json, reason) in [
        (
            json!({"denoise": {"stepz": 4}}),
            "denoise.stepz is not known; did you mean denoise.steps?",
        ),
        (json!({"gen_length": 4}), "did you mean max_tokens?"),
        (json!({"keep": 0.5}), "did you mean prune.keep?"),
        (
            json!({"prune": {"keep": "half"}}),
            "prune.keep: expected a number, got \"half\"",
        ),
        (json!({"prune": {"method": "magic"}}), "redvtp"),
        (json!({"prune": "redvtp"}), "prune: expected an object"),
        (json!({"max_tokens": 0}), "a whole number from 1 on"),
        (json!({"stop": [1]}), "a text or a list of texts"),
        (json!([]), "expected an object"),
    ] {
        let error = Settings::from_json(&json, Origin::File)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(reason), "{json}: {error}");
    }
    let nothing = json!({"prune": null, "seed": null, "denoise": {"steps": null}});
    let nothing = Settings::from_json(&nothing, Origin::File).expect("valid");
    assert_eq!(nothing, Settings::default());
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (pairs, reason) in [
        (&[("keep", "0.5")][..], "--keep says how to prune"),
        (
            &[("steps", "4"), ("step-ratio", "0.5")],
            "cannot be used with steps",
        ),
        (
            &[("draft", "a"), ("template", "{slot:2}")],
            "cannot be used with template",
        ),
        (&[("schedule-shift", "2")], "--schedule shift"),
        (&[("fim", "true")], "add --draft"),
    ] {
        let error = resolved(&said(pairs), MODELS[0])
            .expect_err("refused")
            .to_string();
        assert!(error.contains(reason), "{pairs:?}: {error}");
    }
    let none = of(&[("prune", "none"), ("keep", "0.5")]);
    assert_eq!(none.prune, None, "none overrides");
}

/// A text that the flag of a setting may be given.
fn text(setting: &'static Setting) -> BoxedStrategy<String> {
    let names = setting
        .form
        .choices()
        .into_iter()
        .map(|choice| choice.name.to_owned());
    let names: Vec<String> = names.collect();
    match (setting.name, setting.form) {
        ("policy", _) => select(POLICIES.map(|(name, ..)| name.to_owned()).to_vec()).boxed(),
        ("prune-at", _) => select(
            ["decoder", "step=1", "step=2", "layer=2"]
                .map(str::to_owned)
                .to_vec(),
        )
        .boxed(),
        ("template", _) => Just("So {slot:3}, {choice}.".to_owned()).boxed(),
        ("draft", _) => Just("I {slot:3} {{so}}".to_owned()).boxed(),
        ("choices", _) => select(["yes,no", "a,b,c"].map(str::to_owned).to_vec()).boxed(),
        ("gen-length", _) => select(["16", "24", "32"].map(str::to_owned).to_vec()).boxed(),
        ("block-length" | "steps", _) => select(["8", "16"].map(str::to_owned).to_vec()).boxed(),
        (_, Form::Switch) => select(vec!["true".to_owned(), "false".to_owned()]).boxed(),
        (_, Form::Count(_)) => (1_u64..4).prop_map(|count| count.to_string()).boxed(),
        (_, Form::Number) => (1_u32..1000)
            .prop_map(|number| (f64::from(number) / 1000.0).to_string())
            .boxed(),
        (_, Form::Text | Form::Texts { .. } | Form::Written(_)) => {
            Just("the end".to_owned()).boxed()
        }
        (_, Form::OneOf(_)) => select(names).boxed(),
    }
}

fn random_settings() -> impl Strategy<Value = Settings> {
    let one = select(settings().collect::<Vec<_>>());
    let one = one.prop_flat_map(|setting| text(setting).prop_map(move |text| (setting.name, text)));
    proptest::collection::vec(one, 0..6).prop_map(|pairs| {
        let mut settings = Settings::default();
        for (name, text) in pairs {
            settings.set(name, &text, Origin::Flag).expect(name);
        }
        settings
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn options_written_as_json_are_read_back_the_same(settings in random_settings(), model in select(&MODELS[..])) {
        if let Ok(options) = resolved(&settings, model) {
            let text = options.to_json().to_string();
            let json: Json = serde_json::from_str(&text).expect("JSON");
            let again = Settings::from_json(&json, Origin::File).expect("readable");
            let again = resolved(&again, model).expect("as before");
            prop_assert_eq!(format!("{again:?}"), format!("{options:?}"));
        }
    }
}

#[test]
fn every_default_and_every_strategy_can_be_said_and_is_read_back() {
    for model in MODELS {
        let (_, card) = opened(model);
        let presets = PRESETS.iter().filter(|preset| preset.family == card.family);
        let one = |name: &str, text: &str| said(&[(name, text)]);
        let all = presets.map(|preset| one("preset", preset.name));
        let all = all.chain(METHODS.map(|(name, _)| one("prune", name)));
        let all = all.chain(CACHES.map(|(name, _)| one("cache", name)));
        for settings in all {
            let options = resolved(&settings, model).expect("valid");
            let again = Settings::from_json(&options.to_json(), Origin::File).expect("readable");
            let again = resolved(&again, model).expect("as before");
            assert_eq!(format!("{again:?}"), format!("{options:?}"));
        }
    }
}

#[test]
fn every_setting_has_a_name_a_key_and_a_line_of_help() {
    let all: Vec<&Setting> = settings().collect();
    for (index, setting) in all.iter().enumerate() {
        assert!(!setting.help.is_empty(), "{}", setting.name);
        let twice = |other: &&Setting| other.name == setting.name || other.key == setting.key;
        assert!(
            !all[..index].iter().any(twice),
            "{} is there twice",
            setting.name
        );
        if let Some(default) = setting.default {
            setting.parse(default).expect(setting.name);
        }
        for other in setting.excludes {
            assert!(Setting::named(other).is_some(), "{other}");
        }
    }
}

#[test]
fn the_page_of_settings_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = page();
    if std::env::var_os("FOVEATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/settings.md is out of date; run FOVEATE_WRITE_DOCS=1 cargo test -p foveate-core \
         --test settings and commit it. It should be:\n{page}"
    );
}

fn page() -> String {
    let mut page = "# Settings\n\n\
        What can be said about how an answer is made. Each is a flag of `run`, `eval` and `bench` (`--steps 16`), a \
        variable (`FOVEATE_STEPS=16`), a list to compare (`--sweep steps=8,16`), and a place in JSON \
        (`{\"denoise\": {\"steps\": 16}}`), which `--settings FILE` reads and the `options` of `run --json` are. \
        What is said by a flag wins over a variable, that over a file, that over a preset; everything else is the \
        model's own. `--explain` says which. In JSON, `null` is nothing said, and an unknown name is an error.\n\n\
        `FOVEATE_WRITE_DOCS=1 cargo test -p foveate-core --test settings` writes this page anew.\n"
        .to_owned();
    let mut heading = "";
    for setting in settings() {
        if heading != setting.group.heading() {
            heading = setting.group.heading();
            let _ = write!(
                page,
                "\n## {heading}\n\n| flag | in JSON | value | default | |\n|---|---|---|---|---|\n"
            );
        }
        let _ = writeln!(
            page,
            "| `--{}` | `{}` | {} | {} | {} |",
            setting.name,
            setting.key,
            values(setting).replace('|', "\\|"),
            setting
                .default
                .map_or_else(String::new, |default| format!("`{default}`")),
            setting.help.replace('|', "\\|")
        );
    }
    page.push_str("\n## Names\n");
    let named = settings().filter(|setting| matches!(setting.form, Form::OneOf(_)));
    for setting in named {
        let _ = write!(page, "\n`--{}`\n\n", setting.name);
        for choice in setting.form.choices() {
            let alias = match choice.alias {
                "" => String::new(),
                alias => format!(" (also `{alias}`)"),
            };
            let _ = writeln!(page, "- `{}`{alias}: {}", choice.name, choice.help);
        }
    }
    page.push_str("\n`--policy`\n\n");
    for (_, form, published) in POLICIES {
        let _ = writeln!(page, "- `{form}`; published: `{published}`");
    }
    page.push_str("\n## What the presets say\n");
    for preset in PRESETS {
        let rows = preset.rows().map(|(name, text)| format!("--{name} {text}"));
        let rows: Vec<String> = rows.collect();
        let _ = write!(
            page,
            "\n`{}` (family {}): {}\n\n    {}\n",
            preset.name,
            preset.family,
            preset.help,
            rows.join(" ")
        );
    }
    page
}

fn values(setting: &Setting) -> String {
    match setting.form {
        Form::Switch => "a switch; in JSON true or false".into(),
        Form::Count(from) => format!("a whole number from {from} on"),
        Form::Number => "a number".into(),
        Form::Text => "a text".into(),
        Form::Texts { delimiter: None } => "a text, repeatable; in JSON a text or a list".into(),
        Form::Texts { .. } => "texts between commas; in JSON a text or a list".into(),
        Form::OneOf(_) => "a name, see below".into(),
        Form::Written(_) => "a text of a form of its own".into(),
    }
}
