//! Every combination of settings either answers or is refused by name, and docs/combinations.md says
//! which: it is written by this test (`FOVEATE_WRITE_DOCS=1`) and compared with it otherwise.
//!
//! All combinations are asked. Answers run for as many as hold every pair of settings that may be
//! chosen together, and for all of them with `FOVEATE_ALL_COMBINATIONS=1`.

mod explore;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use explore::{Explored, Model, Setting, covering, explore, labels, pairs_of};
use foveate_core::{
    CACHES, CacheMethod, CacheSettings, Denoiser, METHODS, Method, Options, POLICIES,
    PruneSettings, Remasking, Schedule,
};

/// One thing a request chooses, with everything it may choose.
struct Dimension {
    name: &'static str,
    choices: Vec<Setting>,
}

fn dimension<T: Clone + 'static>(
    name: &'static str,
    choices: impl IntoIterator<Item = (&'static str, T)>,
    set: fn(&mut Options, T),
) -> Dimension {
    let choice = |(choice, value): (&'static str, T)| {
        Setting::new(name, choice, move |options| set(options, value.clone()))
    };
    Dimension {
        name,
        choices: choices.into_iter().map(choice).collect(),
    }
}

fn prune() -> Dimension {
    let methods = METHODS.map(|(name, method)| (name, Some(method)));
    let none = [("none", None::<Method>)];
    dimension(
        "prune",
        none.into_iter().chain(methods),
        |options, method| {
            options.prune = method.map(|method| PruneSettings::new(method, 0.5));
        },
    )
}

fn cache() -> Dimension {
    dimension("cache", CACHES, |options, method: CacheMethod| {
        options.cache = CacheSettings::new(method);
    })
}

fn policy() -> Dimension {
    let policies = POLICIES.map(|(name, _, policy)| (name, policy));
    dimension("policy", policies, |options, policy| {
        options.policy = policy;
    })
}

fn remasking(all: &[(&'static str, Remasking)]) -> Dimension {
    dimension("remasking", all.iter().copied(), |options, remasking| {
        options.remasking = remasking;
    })
}

/// Every ranking; the first two stand for the others where there is no schedule to go with.
const RANKINGS: [(&str, Remasking); 5] = [
    ("low-confidence", Remasking::LowConfidence),
    ("random", Remasking::Random),
    ("entropy", Remasking::Entropy),
    ("margin", Remasking::Margin),
    ("origin", Remasking::Origin),
];

fn schedule() -> Dimension {
    let all = [
        Schedule::Linear,
        Schedule::Even,
        Schedule::Shift(0.33),
        Schedule::Cosine,
        Schedule::LogitNormal,
        Schedule::Timesteps,
    ];
    let named = all.map(|schedule| (schedule.name(), schedule));
    dimension("schedule", named, |options, schedule| {
        options.schedule = schedule;
    })
}

fn guidance() -> Dimension {
    let scales = [("off", 0.0), ("on", 1.5)];
    dimension("guidance", scales, |options, scale| {
        options.cfg_scale = scale;
    })
}

fn temperature() -> Dimension {
    let all = [("0", 0.0), ("above 0", 0.7)];
    dimension("temperature", all, |options, temperature| {
        options.temperature = temperature;
    })
}

fn blocks() -> Dimension {
    let blocks = [("one", 8), ("several", 4)];
    dimension("blocks", blocks, |options, length| {
        options.block_length = length;
    })
}

/// A pinned token and seven to fill; the small model knows one word.
fn template(model: &Model) -> Dimension {
    let pinned = Some(Arc::new(model.template("word{slot:7}")));
    let all = [("none", None), ("pinned text and a slot", pinned)];
    dimension("template", all, |options, template| {
        options.template = template;
    })
}

fn draft(model: &Model) -> Dimension {
    let holed = Some(Arc::new(model.draft("word{slot:2}word")));
    let all = [("none", None), ("text with a hole", holed)];
    dimension("draft", all, |options, draft| options.draft = draft)
}

/// What is tried in every combination: everything at once would be too many.
fn groups(model: &Model) -> [Vec<Dimension>; 2] {
    [
        vec![
            prune(),
            cache(),
            policy(),
            remasking(&RANKINGS[..2]),
            guidance(),
            temperature(),
            blocks(),
            template(model),
        ],
        vec![
            policy(),
            remasking(&RANKINGS),
            schedule(),
            temperature(),
            blocks(),
            template(model),
            draft(model),
        ],
    ]
}

fn choices(dimensions: &[Dimension]) -> Vec<&[Setting]> {
    dimensions.iter().map(|d| d.choices.as_slice()).collect()
}

#[test]
fn the_table_of_combinations_is_what_happens() {
    let model = Model::new();
    let groups = groups(&model);
    let explored = groups
        .each_ref()
        .map(|group| (group, explore(&model, &choices(group))));
    let page = page(&explored);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/combinations.md");
    if std::env::var_os("FOVEATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/combinations.md is out of date; run FOVEATE_WRITE_DOCS=1 cargo test -p foveate-core \
         --test combinations and commit it. It should be:\n{page}"
    );
}

/// The combinations whose answers run.
fn chosen<'s>(explored: &Explored<'s>) -> Vec<Vec<&'s Setting>> {
    match std::env::var_os("FOVEATE_ALL_COMBINATIONS") {
        Some(_) => explored.answering.clone(),
        None => covering(&explored.answering),
    }
}

#[test]
fn every_pair_of_settings_is_refused_or_held_by_a_few_chosen_combinations() {
    let model = Model::new();
    for group in groups(&model) {
        let explored = explore(&model, &choices(&group));
        let few = covering(&explored.answering);
        let held: BTreeSet<_> = few.iter().flat_map(|choices| pairs_of(choices)).collect();
        let mut widest = 0;
        for (index, left) in group.iter().enumerate() {
            for right in &group[index + 1..] {
                widest = widest.max(left.choices.len() * right.choices.len());
                for left in &left.choices {
                    for right in &right.choices {
                        let pair = (left.label(), right.label());
                        let refused = explored.pairs.contains_key(&pair);
                        assert_ne!(held.contains(&pair), refused, "{pair:?}");
                    }
                }
            }
        }
        // Two dimensions alone ask for their product; the others should ask for little more.
        assert!(few.len() <= 2 * widest, "{} of {widest}", few.len());
    }
}

#[test]
fn every_combination_answers_in_a_batch_of_others_as_it_does_alone() {
    let model = Model::new();
    let mut started: Vec<(String, Denoiser)> = Vec::new();
    for group in groups(&model) {
        for combination in chosen(&explore(&model, &choices(&group))) {
            for denoiser in model.start(&combination) {
                started.push((labels(&combination), denoiser.expect("it answers")));
            }
        }
    }
    // Neighbours differ in their last choices only; a stride brings unlike ones together.
    let batches = started.len().div_ceil(BATCH);
    for first in 0..batches {
        let batch: Vec<_> = started.iter().skip(first).step_by(batches).collect();
        let together = model.finish(batch.iter().map(|(_, denoiser)| denoiser.fork()).collect());
        for ((labels, denoiser), together) in batch.iter().zip(together) {
            let alone = model.finish(vec![denoiser.fork()]).remove(0);
            assert_eq!(together, alone, "{labels}");
        }
    }
}

/// Requests that are stepped together.
const BATCH: usize = 24;

#[test]
fn keeping_every_token_changes_no_combination() {
    let model = Model::new();
    let [group, _] = groups(&model);
    let answers = |combination: &[&Setting]| {
        let started: Result<Vec<_>, _> = model.start(combination).into_iter().collect();
        model.finish(started.unwrap_or_else(|error| panic!("{}: {error}", labels(combination))))
    };
    let all = Setting::new("keep", "1", |options| {
        if let Some(prune) = &mut options.prune {
            prune.keep = 1.0;
        }
    });
    let mut unpruned = BTreeMap::new();
    for combination in chosen(&explore(&model, &choices(&group))) {
        let [prune, others @ ..] = combination.as_slice() else {
            unreachable!("the first choice is how to prune");
        };
        let plain = unpruned
            .entry(labels(others))
            .or_insert_with(|| answers(others));
        let pruned = answers(&[&combination, &[&all][..]].concat());
        assert_eq!(&pruned, plain, "{}, {}", prune.label(), labels(others));
    }
}

fn page(explored: &[(&Vec<Dimension>, Explored<'_>)]) -> String {
    let mut page = "# Which settings combine\n\n\
        Written by `crates/foveate-core/tests/combinations.rs`, which asks a small random model for \
        all of them, with two pictures and without one, and lets as many answers run as hold every \
        pair of settings (`.ci/full`: all answers); do not edit. \
        `FOVEATE_WRITE_DOCS=1 cargo test -p foveate-core --test combinations` writes it anew.\n\n"
        .to_owned();
    for (group, explored) in explored {
        let names: Vec<&str> = group.iter().map(|d| d.name).collect();
        let (last, others) = names.split_last().expect("there are dimensions");
        // A string takes every write.
        let _ = writeln!(
            page,
            "- every combination of {} and {last}: {} answer, {} are refused",
            others.join(", "),
            explored.answering.len(),
            explored.refused,
        );
    }
    page.push_str(
        "\nA combination is refused exactly when it holds one of these pairs:\n\n\
         | pair | | why |\n|---|---|---|\n",
    );
    let pairs: BTreeMap<_, _> = explored.iter().flat_map(|(_, e)| &e.pairs).collect();
    for ((a, b), reason) in &pairs {
        let _ = writeln!(page, "| `{a}` | `{b}` | {reason} |");
    }
    // Dimensions that meet in both groups are shown where they have more choices.
    let mut tables: BTreeMap<[&str; 2], [&Dimension; 2]> = BTreeMap::new();
    for (group, _) in explored {
        for (index, rows) in group.iter().enumerate() {
            for columns in &group[index + 1..] {
                let cells = |[a, b]: [&Dimension; 2]| a.choices.len() * b.choices.len();
                let shown = tables
                    .entry([rows.name, columns.name])
                    .or_insert([rows, columns]);
                if cells(*shown) < cells([rows, columns]) {
                    *shown = [rows, columns];
                }
            }
        }
    }
    for (names, [rows, columns]) in tables {
        let refused =
            |row: &Setting, column: &Setting| pairs.contains_key(&(row.label(), column.label()));
        let columns = &columns.choices;
        let any = rows
            .choices
            .iter()
            .any(|row| columns.iter().any(|c| refused(row, c)));
        if !any
            && !names
                .iter()
                .all(|name| ["prune", "cache", "policy"].contains(name))
        {
            continue;
        }
        let heads: Vec<&str> = columns.iter().map(Setting::choice).collect();
        let (heads, rule) = (heads.join(" | "), "---|".repeat(heads.len()));
        let _ = writeln!(
            page,
            "\n## {} and {}\n\n| | {heads} |\n|---|{rule}",
            names[0], names[1]
        );
        for row in &rows.choices {
            let cell = |column| {
                if refused(row, column) {
                    "refused"
                } else {
                    "yes"
                }
            };
            let cells: Vec<&str> = columns.iter().map(cell).collect();
            let _ = writeln!(page, "| {} | {} |", row.choice(), cells.join(" | "));
        }
    }
    page
}
