//! Presets: a paper's run as one flag. A preset is a line of flags; flags that are given win over it.

mod explain;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::exit::usage;
pub(crate) use explain::explain;
pub(crate) use table::PRESETS;

/// The settings of a published run.
pub(crate) struct Preset {
    /// As given to `--preset`.
    pub(crate) name: &'static str,
    /// The family that it was published for, as model cards call it.
    pub(crate) family: &'static str,
    /// The flags that it stands for, as they would be typed.
    pub(crate) flags: &'static str,
}

/// Flags of which one says what the others would: giving one replaces a preset's other.
const ALTERNATIVES: [&[&str]; 1] = [&["steps", "step_ratio", "steps_per_block"]];

impl Preset {
    /// The preset of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Its flags as `(flag without dashes, value)`.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let mut words = self.flags.split_whitespace();
        std::iter::from_fn(move || Some((words.next()?.trim_start_matches('-'), words.next()?)))
    }

    /// Refuses a model of another family.
    pub(crate) fn check(&self, family: &str) -> Result<()> {
        if family == self.family {
            return Ok(());
        }
        let suited: Vec<&str> = PRESETS
            .iter()
            .filter(|preset| preset.family == family)
            .map(|preset| preset.name)
            .collect();
        let instead = if suited.is_empty() {
            "leave --preset out".to_owned()
        } else {
            format!("use one of {}", suited.join(", "))
        };
        let (name, needs) = (self.name, self.family);
        Err(usage(format!(
            "--preset {name} is for models of the family {needs}, this one is {family}; {instead}"
        )))
    }
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Variable,
    /// The preset.
    Preset,
}

/// The settings that somebody chose, by the identifier of their flag (`gen_length`).
pub(crate) type Origins = BTreeMap<String, Origin>;

/// Parses a command line; the flags of its preset stand in for those that are not given.
pub(crate) fn parse(
    command: &Command,
    arguments: &[OsString],
) -> std::result::Result<(ArgMatches, Origins), clap::Error> {
    let matches = command.clone().try_get_matches_from(arguments)?;
    let Some((_, given)) = matches.subcommand() else {
        return Ok((matches, Origins::new()));
    };
    let mut origins = Origins::new();
    for id in given.ids() {
        let origin = match given.value_source(id.as_str()) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            Some(ValueSource::EnvVariable) => Origin::Variable,
            _ => continue,
        };
        origins.insert(id.to_string(), origin);
    }
    let preset = given.try_get_one::<String>("preset").ok().flatten();
    let Some(preset) = preset.and_then(|name| Preset::find(name)) else {
        return Ok((matches, origins));
    };
    let mut arguments = arguments.to_vec();
    for (flag, value) in preset.pairs() {
        let id = flag.replace('-', "_");
        let group = ALTERNATIVES
            .iter()
            .find(|group| group.contains(&id.as_str()));
        let said = |id: &str| matches!(origins.get(id), Some(Origin::Flag | Origin::Variable));
        if said(&id) || group.is_some_and(|group| group.iter().any(|id| said(id))) {
            continue;
        }
        arguments.push(format!("--{flag}={value}").into());
        origins.insert(id, Origin::Preset);
    }
    Ok((command.clone().try_get_matches_from(arguments)?, origins))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> (ArgMatches, Origins) {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&crate::Cli::command(), &words).expect("valid")
    }

    fn text(matches: &ArgMatches, id: &str) -> Option<String> {
        let (_, given) = matches.subcommand()?;
        Some(given.get_raw(id)?.next()?.to_string_lossy().into_owned())
    }

    #[test]
    fn every_preset_is_a_valid_command_line() {
        for preset in PRESETS {
            for command in ["run", "bench"] {
                let (matches, origins) =
                    parsed(&format!("foveate {command} --preset {}", preset.name));
                for (flag, value) in preset.pairs() {
                    let id = flag.replace('-', "_");
                    assert_eq!(
                        text(&matches, &id).as_deref(),
                        Some(value),
                        "{}: {flag}",
                        preset.name
                    );
                    assert_eq!(origins[&id], Origin::Preset);
                }
            }
        }
    }

    #[test]
    fn a_flag_wins_over_the_preset() {
        let (matches, origins) = parsed("foveate run --steps 8 --preset lladav-doc");
        assert_eq!(text(&matches, "steps").as_deref(), Some("8"));
        assert_eq!(text(&matches, "gen_length").as_deref(), Some("32"));
        assert_eq!(
            (origins["steps"], origins["gen_length"]),
            (Origin::Flag, Origin::Preset)
        );
    }

    #[test]
    fn a_preset_is_refused_for_another_family_with_those_that_fit() {
        let preset = Preset::find("lladav-doc").expect("known");
        assert!(preset.check("llada-v").is_ok());
        let error = preset.check("cat").expect_err("refused").to_string();
        assert!(
            error.contains("llada-v") && error.contains("this one is cat"),
            "{error}"
        );
    }
}
