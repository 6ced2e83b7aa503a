//! `--sweep FLAG=VALUE,VALUE`: which settings are compared, as the product of lists.

mod setups;

use std::str::FromStr;

use anyhow::Result;
use clap::{Command, CommandFactory};

use crate::Cli;
use crate::exit::usage;
use crate::preset::{Origin, Origins};
pub(crate) use setups::{Setup, Swept, one_keep, setups};

/// One flag and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// Without dashes: `prune`.
    pub(crate) flag: String,
    pub(crate) values: Vec<String>,
}

/// A value for each swept flag.
pub(crate) type Combination = Vec<(String, String)>;

/// Flags under these headings say which question is asked, and of what; that is the same for all.
const FIXED_HEADINGS: [&str; 7] = [
    "Shape",
    "Model",
    "Machine",
    "Images",
    "Matrix",
    "Measurement",
    "Evaluation",
];

impl FromStr for Sweep {
    type Err = String;

    /// Commas divide values, but a number after a name belongs to it: `fixed,klass=0.01,2,0.9` is two.
    fn from_str(text: &str) -> Result<Self, String> {
        let (flag, list) = text
            .split_once('=')
            .ok_or("expected FLAG=VALUE,VALUE such as keep=0.5,0.25")?;
        let mut values: Vec<String> = Vec::new();
        for piece in list.split(',') {
            let number = !piece.starts_with(|c: char| c.is_ascii_alphabetic());
            match values
                .last_mut()
                .filter(|last| number && last.contains('='))
            {
                Some(last) => {
                    last.push(',');
                    last.push_str(piece);
                }
                None => values.push(piece.to_owned()),
            }
        }
        if flag.is_empty() || list.split(',').any(|piece| piece.trim().is_empty()) {
            return Err(format!("{text}: a flag or a value is empty"));
        }
        let flag = flag.trim_start_matches('-').to_owned();
        Ok(Self { flag, values })
    }
}

/// Whether a flag stands on the command line.
pub(crate) fn is_given(flag: &str, origins: &Origins) -> bool {
    matches!(origins.get(&flag.replace('-', "_")), Some(Origin::Flag))
}

/// Refuses lists of `command` that cannot be; `prunes` says whether a method is given beside them.
pub(crate) fn refuse(
    sweeps: &[Sweep],
    command: &str,
    origins: &Origins,
    prunes: bool,
) -> Result<()> {
    if let Some(command) = Cli::command().find_subcommand(command) {
        check(sweeps, command).map_err(usage)?;
    }
    if let Some(sweep) = sweeps.iter().find(|sweep| is_given(&sweep.flag, origins)) {
        let flag = &sweep.flag;
        return Err(usage(format!(
            "--{flag} is given and swept; give one of the two"
        )));
    }
    let swept = |flag: &str| sweeps.iter().any(|sweep| sweep.flag == flag);
    if swept("keep") && !swept("prune") && !prunes && !swept("preset") {
        return Err(usage(
            "--sweep keep says how to prune; add --prune METHOD or sweep prune too",
        ));
    }
    Ok(())
}

/// `prune redvtp, keep 0.5`.
pub(crate) fn label(combination: &Combination) -> String {
    if combination.is_empty() {
        return "baseline".into();
    }
    let parts = combination.iter();
    parts
        .map(|(flag, value)| format!("{flag} {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A cell per swept flag.
pub(crate) fn cells(combination: &Combination, sweeps: &[Sweep]) -> Vec<String> {
    let value = |sweep: &Sweep| {
        let said = combination.iter().find(|(flag, _)| *flag == sweep.flag);
        said.map_or(UNSAID.to_owned(), |(_, value)| value.clone())
    };
    sweeps.iter().map(value).collect()
}

/// What a flag is in a row that does not say: the baseline, or a flag without effect there.
pub(crate) const UNSAID: &str = "–";

/// Refuses flags that do not say how to answer, and flags that are swept twice.
fn check<'a>(sweeps: &[Sweep], command: &'a Command) -> Result<(), String> {
    let sweepable = |argument: &&'a clap::Arg| {
        let heading = argument.get_help_heading();
        heading.is_some_and(|heading| !FIXED_HEADINGS.contains(&heading))
    };
    let (lists, switches): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(sweepable)
        .partition(|argument| argument.get_action().takes_values());
    let long = |arguments: Vec<&'a clap::Arg>| -> Vec<&'a str> {
        arguments
            .into_iter()
            .filter_map(clap::Arg::get_long)
            .collect()
    };
    let (names, switches) = (long(lists), long(switches));
    for (index, sweep) in sweeps.iter().enumerate() {
        if switches.contains(&sweep.flag.as_str()) {
            let flag = &sweep.flag;
            return Err(format!(
                "--sweep {flag}: the flag takes no value, so there is no list of them; \
                 give --{flag} beside --sweep, or leave it out"
            ));
        }
        if !names.contains(&sweep.flag.as_str()) {
            let (flag, names) = (&sweep.flag, names.join(", "));
            return Err(format!("--sweep {flag}: expected one of {names}"));
        }
        if sweeps[..index].iter().any(|other| other.flag == sweep.flag) {
            return Err(format!(
                "--sweep {}: given twice; write one list",
                sweep.flag
            ));
        }
    }
    Ok(())
}

/// Every combination, the last flag changing fastest.
fn combinations(sweeps: &[Sweep]) -> Vec<Combination> {
    let mut all: Vec<Combination> = vec![Vec::new()];
    for sweep in sweeps {
        let longer = |combination: &Combination| {
            let extend = |value: &String| {
                let mut longer = combination.clone();
                longer.push((sweep.flag.clone(), value.clone()));
                longer
            };
            sweep.values.iter().map(extend).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        text.parse::<Sweep>().expect("valid").values
    }

    #[test]
    fn numbers_after_a_name_belong_to_it() {
        assert_eq!(values("keep=1,0.5,0.25"), ["1", "0.5", "0.25"]);
        assert_eq!(
            values("policy=fixed,threshold=0.9,klass=0.01,2,0.9,wino=0.6,0.9"),
            ["fixed", "threshold=0.9", "klass=0.01,2,0.9", "wino=0.6,0.9"]
        );
        assert_eq!(values("prune=none"), ["none"]);
        assert_eq!(values("keep=NaN,0.5"), ["NaN", "0.5"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["keep", "=1", "keep=", "keep=1,,2", "prune=a,"] {
            assert!(text.parse::<Sweep>().is_err(), "{text}");
        }
    }

    #[test]
    fn lists_combine_as_a_product() {
        let sweeps = ["a=x,y", "b=1,2,3"].map(|text| text.parse().expect("valid"));
        let all = combinations(&sweeps);
        assert_eq!(all.len(), 6);
        let pair = |a: &str, b: &str| vec![("a".into(), a.into()), ("b".into(), b.into())];
        assert_eq!(
            (all[1].clone(), all[5].clone()),
            (pair("x", "2"), pair("y", "3"))
        );
    }
}
