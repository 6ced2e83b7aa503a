//! The command line of a report, so that anybody can repeat it.

use std::ffi::OsString;

use clap::{Arg, CommandFactory};

use crate::Cli;
use crate::preset::{Origin, Origins};

/// The command as it would be typed again in a shell, the variables that it heeded before it.
pub(crate) fn command_line(arguments: &[OsString], origins: &Origins) -> String {
    let mut words = variables(arguments, origins, |name| std::env::var_os(name));
    words.push("foveate".to_owned());
    let mut skip = false;
    for word in arguments.iter().skip(1).map(|word| word.to_string_lossy()) {
        // Where results are kept meanwhile is nobody else's.
        if std::mem::take(&mut skip) || word.starts_with("--resume=") {
            continue;
        }
        if word == "--resume" {
            skip = true;
            continue;
        }
        words.push(quoted(&word));
    }
    words.join(" ")
}

/// `FOVEATE_LIMIT=5` for every flag of the command that a variable stands in for.
fn variables(
    arguments: &[OsString],
    origins: &Origins,
    value: impl Fn(&str) -> Option<OsString>,
) -> Vec<String> {
    let cli = Cli::command();
    let name = arguments.get(1).map(|word| word.to_string_lossy());
    let Some(command) = name.and_then(|name| cli.find_subcommand(&*name)) else {
        return Vec::new();
    };
    let assignment = |argument: &Arg| {
        let id = argument.get_id().as_str();
        if id == "resume" || origins.get(id) != Some(&Origin::Variable) {
            return None;
        }
        let name = argument.get_env()?.to_str()?;
        let value = value(name)?;
        Some(format!("{name}={}", quoted(&value.to_string_lossy())))
    };
    command.get_arguments().filter_map(assignment).collect()
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=.,:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_command_is_repeated_without_the_file_of_results() {
        let line = "./target/foveate eval --resume old.jsonl --suite nano-test --resume=new.jsonl --markdown a.md";
        let line: Vec<&str> = line.split(' ').collect();
        assert_eq!(
            command_line(&words(&line), &Origins::new()),
            "foveate eval --suite nano-test --markdown a.md"
        );
    }

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        for (word, expected) in [
            ("keep=0.5,0.25", "keep=0.5,0.25"),
            ("", "''"),
            ("my files/q.jsonl", "'my files/q.jsonl'"),
            ("$HOME;*", "'$HOME;*'"),
            ("that's", "'that'\\''s'"),
            ("Häuser", "'Häuser'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn variables_that_were_heeded_stand_before_the_command() {
        let value = |name: &str| match name {
            "FOVEATE_LIMIT" => Some("2".into()),
            "FOVEATE_STOP" => Some("the end".into()),
            _ => Some("unheeded".into()),
        };
        let mut origins = Origins::new();
        for (id, origin) in [
            ("limit", Origin::Variable),
            ("stop", Origin::Variable),
            ("resume", Origin::Variable),
            ("batch", Origin::Flag),
            ("steps", Origin::Preset),
        ] {
            origins.insert(id.to_owned(), origin);
        }
        let mut said = variables(&words(&["foveate", "eval"]), &origins, value);
        said.sort();
        assert_eq!(said, ["FOVEATE_LIMIT=2", "FOVEATE_STOP='the end'"]);
    }
}
