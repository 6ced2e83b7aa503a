//! `--sweep FLAG=VALUE,VALUE`: which settings are compared, as the product of lists.

mod setups;

use std::str::FromStr;

use anyhow::Result;
use foveate_core::{Form, Origin, Setting, Settings, settings};

use crate::exit::usage;
pub(crate) use setups::{Setup, one_keep, setups};

/// One flag and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// Without dashes: `prune`.
    pub(crate) flag: String,
    pub(crate) values: Vec<String>,
}

/// A value for each swept flag.
pub(crate) type Combination = Vec<(String, String)>;

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

/// Refuses lists that cannot be beside what is said.
pub(crate) fn refuse(sweeps: &[Sweep], said: &Settings) -> Result<()> {
    for (index, sweep) in sweeps.iter().enumerate() {
        sweep.check()?;
        let flag = &sweep.flag;
        if sweeps[..index].iter().any(|other| other.flag == *flag) {
            return Err(usage(format!(
                "--sweep {flag}: given twice; write one list"
            )));
        }
        if is_given(flag, said) {
            return Err(usage(format!(
                "--{flag} is given and swept; give one of the two"
            )));
        }
    }
    let swept = |flag: &str| sweeps.iter().any(|sweep| sweep.flag == flag);
    let method = said.says("prune") || swept("prune") || said.says("preset") || swept("preset");
    if swept("keep") && !method {
        return Err(usage(
            "--sweep keep says how to prune; add --prune METHOD or sweep prune too",
        ));
    }
    Ok(())
}

/// Whether a flag stands on the command line.
pub(crate) fn is_given(flag: &str, said: &Settings) -> bool {
    said.get(flag)
        .is_some_and(|said| said.origin == Origin::Flag)
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

/// The value of a flag in a combination.
pub(crate) fn cell(combination: &Combination, flag: &str) -> String {
    let said = combination.iter().find(|(known, _)| known == flag);
    said.map_or(UNSAID, |(_, value)| value).to_owned()
}

/// What a flag is in a row that does not say: the baseline, or a flag without effect there.
pub(crate) const UNSAID: &str = "–";

impl Sweep {
    /// Refuses what is no setting with a value, and values that its flag would refuse.
    fn check(&self) -> Result<()> {
        let flag = &self.flag;
        let setting = Setting::named(flag).filter(|setting| setting.is_sweepable());
        let Some(setting) = setting else {
            return Err(usage(no_list(flag)));
        };
        for value in &self.values {
            let read = setting.form.parse(value);
            read.map_err(|reason| {
                usage(format!("--sweep {flag}: invalid value {value:?}: {reason}"))
            })?;
        }
        Ok(())
    }
}

/// Why a flag cannot be swept.
fn no_list(flag: &str) -> String {
    let switch = |setting: &Setting| matches!(setting.form, Form::Switch);
    if Setting::named(flag).is_some_and(switch) {
        return format!(
            "--sweep {flag}: the flag takes no value, so there is no list of them; \
             give --{flag} beside --sweep, or leave it out"
        );
    }
    let names = settings().filter(|setting| setting.is_sweepable());
    let names: Vec<&str> = names.map(|setting| setting.name).collect();
    format!("--sweep {flag}: expected one of {}", names.join(", "))
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
