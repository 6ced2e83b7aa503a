//! From settings and their sweeps to the options of each row, the baseline first.

use anyhow::Result;
use foveate_core::{
    CacheSettings, Group, ModelCard, Options, Origin, Policy, Setting, Settings, Tokenizer, Value,
};

use super::{Combination, Sweep, combinations};
use crate::exit::usage;

/// What a row asks for.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The swept settings; empty for the baseline.
    pub(crate) combination: Combination,
    pub(crate) options: Options,
    /// Why it cannot be.
    pub(crate) refused: Option<String>,
}

/// Where a model's tokenizer comes from.
pub(crate) type Tokenizers<'a> = &'a dyn Fn() -> foveate_core::Result<Tokenizer>;

/// The baseline, then every combination that is not a repetition.
pub(crate) fn setups(
    settings: &Settings,
    sweeps: &[Sweep],
    card: &ModelCard,
    tokenizer: Tokenizers<'_>,
) -> Result<Vec<Setup>> {
    let plain = baseline(settings, card, tokenizer)?;
    let mut seen = vec![plain.to_json()];
    let mut rows = vec![Setup {
        combination: Vec::new(),
        options: plain.clone(),
        refused: None,
    }];
    for combination in combinations(sweeps) {
        let mut row = settings.clone();
        for (name, text) in &combination {
            row.set(name, text, Origin::Sweep)?;
        }
        let options = row.resolve(card, tokenizer);
        match options.and_then(|options| options.check(card).map(|()| options)) {
            Ok(options) if seen.contains(&options.to_json()) => {}
            Ok(options) => {
                seen.push(options.to_json());
                rows.push(Setup {
                    combination: effective(combination, &options),
                    options,
                    refused: None,
                });
            }
            Err(error) => rows.push(Setup {
                combination,
                options: plain.clone(),
                refused: Some(error.to_string()),
            }),
        }
    }
    Ok(rows)
}

/// The question without anything that makes an answer faster.
fn baseline(settings: &Settings, card: &ModelCard, tokenizer: Tokenizers<'_>) -> Result<Options> {
    let mut plain = settings.clone();
    let hastening = |setting: &Setting| matches!(setting.group, Group::Pruning | Group::Cache);
    for said in settings.iter().filter(|said| hastening(said.setting)) {
        plain.forget(said.setting.name);
    }
    plain.set("prune", "none", Origin::Sweep)?;
    Ok(Options {
        cache: CacheSettings::default(),
        policy: Policy::default(),
        stop_at_end: false,
        max_forwards: None,
        ..plain.resolve(card, tokenizer)?
    })
}

/// The one keep ratio of a row, said beside the other settings.
pub(crate) fn one_keep(settings: &Settings, keeps: &[f64]) -> Result<Settings> {
    let (mut settings, keep) = (settings.clone(), Setting::named("keep"));
    match (keeps, keep) {
        ([], _) | (_, None) => Ok(settings),
        ([one], Some(keep)) => {
            let origin = settings
                .get("keep")
                .map_or(Origin::Flag, |said| said.origin);
            settings.put(keep, Value::Number(*one), origin);
            Ok(settings)
        }
        _ => Err(usage(
            "--keep takes one value here; write --sweep keep=1,0.5",
        )),
    }
}

/// Without a method, what is said about pruning has no effect and is left out.
fn effective(combination: Combination, options: &Options) -> Combination {
    let matters = |name: &str| {
        let setting = Setting::named(name);
        let prunes = setting.is_some_and(|setting| setting.group == Group::Pruning);
        options.prune.is_some() || !prunes || name == "prune"
    };
    combination
        .into_iter()
        .filter(|(name, _)| matters(name))
        .collect()
}
