//! From a command line and its sweeps to the settings of each row, the baseline first.

use std::ffi::OsString;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use foveate_core::{CacheSettings, ModelCard, Options, Policy, ThinkMode};

use super::{Combination, Sweep, combinations};
use crate::args::DEFAULT_KEEP;
use crate::exit::usage;
use crate::{Cli, Command, preset, report};

/// What a row asks for.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The swept flags; empty for the baseline.
    pub(crate) combination: Combination,
    pub(crate) options: Options,
    pub(crate) think: ThinkMode,
    /// Why it cannot be.
    pub(crate) refused: Option<String>,
}

/// A command whose flags can be swept.
pub(crate) trait Swept: Sized {
    /// Its name on the command line.
    const COMMAND: &'static str;
    /// Its flags, of that command only.
    fn of(command: Command) -> Option<Self>;
    /// How the flags say to answer.
    fn options(&self, card: &ModelCard) -> Result<Options>;
    /// How the flags say to ask.
    fn think(&self) -> ThinkMode;
}

/// The one keep ratio of a row.
pub(crate) fn one_keep(keeps: &[f64]) -> Result<f64> {
    match keeps {
        [] => Ok(DEFAULT_KEEP),
        [keep] => Ok(*keep),
        _ => Err(usage(
            "--keep takes one value here; write --sweep keep=1,0.5",
        )),
    }
}

/// The baseline, then every combination that is not a repetition.
pub(crate) fn setups<A: Swept>(
    args: &A,
    arguments: &[OsString],
    sweeps: &[Sweep],
    card: &ModelCard,
) -> Result<Vec<Setup>> {
    let layers = card.decoder.layers;
    let plain = baseline(args.options(card)?);
    let mut seen = vec![(report::options(&plain, layers)?, args.think())];
    let mut rows = vec![Setup {
        combination: Vec::new(),
        options: plain.clone(),
        think: args.think(),
        refused: None,
    }];
    for combination in combinations(sweeps) {
        let refused = |combination, reason| Setup {
            combination,
            options: plain.clone(),
            think: args.think(),
            refused: Some(reason),
        };
        let row_args: A = match reparsed(arguments, &combination)? {
            Ok(row_args) => row_args,
            Err(reason) => {
                rows.push(refused(combination, reason));
                continue;
            }
        };
        let checked = row_args.options(card).and_then(|options| {
            let resolved = (report::options(&options, layers)?, row_args.think());
            options.check(card)?;
            Ok((options, resolved))
        });
        match checked {
            Ok((_, resolved)) if seen.contains(&resolved) => {}
            Ok((options, resolved)) => {
                seen.push(resolved);
                rows.push(Setup {
                    combination: effective(combination, &options),
                    options,
                    think: row_args.think(),
                    refused: None,
                });
            }
            Err(error) => rows.push(refused(combination, error.to_string())),
        }
    }
    Ok(rows)
}

/// The command line with a combination's flags; the inner error is a combination that cannot be.
fn reparsed<A: Swept>(
    arguments: &[OsString],
    combination: &Combination,
) -> Result<std::result::Result<A, String>> {
    let mut arguments = arguments.to_vec();
    arguments.extend(
        combination
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}").into()),
    );
    let parsed = preset::parse(&Cli::command(), &arguments)
        .and_then(|(matches, _)| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(Cli { command }) => match A::of(command) {
            Some(args) => Ok(Ok(args)),
            None => Err(usage(format!("only {} is swept here", A::COMMAND))),
        },
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Ok(Err(first.trim_start_matches("error: ").to_owned()))
        }
        Err(error) => {
            let text = error.to_string();
            Err(usage(format!(
                "--sweep: {}",
                text.trim_start_matches("error: ").trim_end()
            )))
        }
    }
}

/// The same question without anything that makes an answer faster.
fn baseline(options: Options) -> Options {
    Options {
        prune: None,
        cache: CacheSettings::default(),
        policy: Policy::default(),
        stop_at_end: false,
        max_forwards: None,
        ..options
    }
}

/// Without a method, what is said about pruning has no effect and is left out.
fn effective(combination: Combination, options: &Options) -> Combination {
    let about_pruning = [
        "keep",
        "positions",
        "prune-layer",
        "prune-queries",
        "prune-at",
    ];
    let matters = |flag: &str| options.prune.is_some() || !about_pruning.contains(&flag);
    combination
        .into_iter()
        .filter(|(flag, _)| matters(flag))
        .collect()
}
