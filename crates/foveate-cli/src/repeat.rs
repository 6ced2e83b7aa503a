//! The command line of a report, so that anybody can repeat it.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The command as it would be typed again in a shell, the variables that it heeded before it.
pub(crate) fn command_line(
    command: &Command,
    matches: &ArgMatches,
    arguments: &[OsString],
    value: impl Fn(&str) -> Option<OsString>,
) -> String {
    let mut words = Vec::new();
    if let Some((name, given)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        let heeded = |id: &str| given.value_source(id) == Some(ValueSource::EnvVariable);
        words = variables(command, heeded, value);
    }
    words.push("foveate".to_owned());
    words.extend(repeated(arguments));
    words.join(" ")
}

/// The words after the program's name.
fn repeated(arguments: &[OsString]) -> Vec<String> {
    let mut words = Vec::new();
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
    words
}

/// `FOVEATE_LIMIT=5` for every flag of the command that a variable stands in for.
fn variables(
    command: &Command,
    heeded: impl Fn(&str) -> bool,
    value: impl Fn(&str) -> Option<OsString>,
) -> Vec<String> {
    let assignment = |argument: &Arg| {
        let id = argument.get_id().as_str();
        if id == "resume" || !heeded(id) {
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

    #[test]
    fn the_command_is_repeated_without_the_file_of_results() {
        let line = "./target/foveate eval --resume old.jsonl --suite nano-test --resume=new.jsonl --markdown a.md";
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert_eq!(
            repeated(&line),
            ["eval", "--suite", "nano-test", "--markdown", "a.md"]
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
        let flags = [
            ("limit", "FOVEATE_LIMIT"),
            ("stop", "FOVEATE_STOP"),
            ("resume", "FOVEATE_RESUME"),
            ("batch", "FOVEATE_BATCH"),
        ];
        let flags = flags.map(|(name, variable)| Arg::new(name).long(name).env(variable));
        let command = Command::new("eval").args(flags);
        let value = |name: &str| match name {
            "FOVEATE_LIMIT" => Some("2".into()),
            "FOVEATE_STOP" => Some("the end".into()),
            _ => Some("unheeded".into()),
        };
        let said = variables(&command, |id| id != "batch", value);
        assert_eq!(said, ["FOVEATE_LIMIT=2", "FOVEATE_STOP='the end'"]);
    }
}
