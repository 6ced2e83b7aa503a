//! The flags of settings, made from their table: a flag, a variable and its completions each.

use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::builder::{
    FalseyValueParser, PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser,
};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use foveate_core::{Form, Group, Origin, Setting, Settings, Value, settings};

use crate::exit::usage;

/// Which settings a command has flags for.
pub trait Offer {
    /// Whether a template can be given.
    const TEMPLATE: bool = false;
    /// Whether `--keep` takes a list.
    const KEEPS: bool = false;
}

/// Every setting, as `run` has them.
#[derive(Clone, Debug)]
pub struct All;

/// What many questions can be asked under.
#[derive(Clone, Debug)]
pub struct Untemplated;

/// What can be measured: several keep ratios make several rows.
#[derive(Clone, Debug)]
pub struct ManyKeeps;

impl Offer for All {
    const TEMPLATE: bool = true;
}

impl Offer for Untemplated {}

impl Offer for ManyKeeps {
    const KEEPS: bool = true;
}

/// What flags and variables say of the settings, and a file that says more.
#[derive(Clone, Debug)]
pub struct SettingsArgs<O> {
    said: Settings,
    file: Option<PathBuf>,
    keeps: Vec<f64>,
    offer: PhantomData<O>,
}

const FILE: &str = "settings";
const KEEP: &str = "keep";

impl<O: Offer> SettingsArgs<O> {
    /// What flags and variables say, over what the file says.
    pub fn settings(&self) -> Result<Settings> {
        let Some(path) = &self.file else {
            return Ok(self.said.clone());
        };
        let place = format!("--settings {}", path.display());
        let text = fs::read_to_string(path).with_context(|| place.clone())?;
        let json = serde_json::from_str(&text);
        let json = json.map_err(|error| usage(format!("{place}: {error}")))?;
        let file = Settings::from_json(&json, Origin::File).context(place)?;
        Ok(self.said.clone().over(file))
    }

    /// Every value of `--keep`.
    pub fn keeps(&self) -> &[f64] {
        &self.keeps
    }

    fn offered() -> impl Iterator<Item = &'static Setting> {
        settings().filter(|setting| O::TEMPLATE || setting.group != Group::Template)
    }
}

impl<O: Offer> Args for SettingsArgs<O> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .env("FOVEATE_SETTINGS")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Settings as JSON, such as the options of run --json; flags that are given win over it")
            .help_heading(Group::Denoising.heading());
        Self::offered().fold(command.arg(file), |command, setting| {
            command.arg(if O::KEEPS && setting.name == KEEP {
                arg(setting)
                    .help("Shares of the visual tokens that survive, one row each; 1 is unpruned")
                    .value_name("R,R,…")
                    .value_delimiter(',')
                    .action(ArgAction::Append)
            } else {
                arg(setting)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<O: Offer> FromArgMatches for SettingsArgs<O> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self {
            said: Settings::default(),
            file: matches.get_one::<PathBuf>(FILE).cloned(),
            keeps: Vec::new(),
            offer: PhantomData,
        };
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in Self::offered() {
            let origin = match matches.value_source(setting.name) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Variable,
                _ => continue,
            };
            self.said.put(setting, value(setting, matches), origin);
            if setting.name == KEEP {
                let keeps = matches.get_many::<Value>(KEEP).into_iter().flatten();
                self.keeps = keeps.map(Value::number).collect();
            }
        }
        Ok(())
    }
}

fn value(setting: &Setting, matches: &ArgMatches) -> Value {
    match setting.form {
        Form::Switch => Value::Switch(matches.get_flag(setting.name)),
        Form::Texts { .. } => {
            let texts = matches.get_many::<String>(setting.name);
            Value::Texts(texts.into_iter().flatten().cloned().collect())
        }
        _ => matches
            .get_one(setting.name)
            .cloned()
            .unwrap_or(Value::None),
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .env(setting.variable())
        .help(setting.help)
        .help_heading(setting.group.heading())
        .conflicts_with_all(setting.excludes);
    let arg = match setting.form {
        Form::Switch => {
            return arg
                .action(ArgAction::SetTrue)
                .value_parser(FalseyValueParser::new());
        }
        Form::Texts { delimiter } => arg.action(ArgAction::Append).value_delimiter(delimiter),
        Form::Number => arg
            .allow_negative_numbers(true)
            .value_parser(parser(setting)),
        _ => arg.value_parser(parser(setting)),
    };
    let arg = arg.value_name(setting.value_name);
    match setting.default {
        Some(default) => arg.default_value(default),
        None => arg,
    }
}

fn parser(setting: &'static Setting) -> ValueParser {
    let choices = setting.form.choices();
    if choices.is_empty() {
        return ValueParser::from(move |text: &str| setting.form.parse(text));
    }
    let possible = choices.into_iter().map(|choice| {
        let aliases = [choice.alias].into_iter().filter(|alias| !alias.is_empty());
        PossibleValue::new(choice.name)
            .help(choice.help)
            .aliases(aliases)
    });
    let parser = PossibleValuesParser::new(possible.collect::<Vec<_>>());
    ValueParser::new(parser.try_map(move |text| setting.form.parse(&text)))
}
