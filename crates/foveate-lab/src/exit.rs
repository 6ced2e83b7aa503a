//! How a command ends: 0 done, 1 failed, 2 used wrongly, 3 something was skipped.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The command line asks for something that cannot be; the message names the next action.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A usage error as every command returns it.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// Writes to standard output; a reader that left is reported as an error that ends quietly.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Done, or skipped where `all` that was asked for was refused.
pub fn unless_refused(all: bool) -> ExitCode {
    if all {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes a line to standard error, if anybody still reads it.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Reports a failed command on standard error and says how it ends.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    note(&format!("error: {}", chain(error)));
    if is_usage(error) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// Every cause once: library errors often repeat their source in their own text.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// `foveate … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<foveate::Error>()
                .is_some_and(foveate::Error::is_closed_pipe)
    })
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause
                .downcast_ref::<foveate::Error>()
                .is_some_and(foveate::Error::is_usage)
            || matches!(
                cause.downcast_ref::<foveate_core::Error>(),
                Some(foveate_core::Error::Request { .. })
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_message_repeats_is_said_once() {
        let error = anyhow::Error::msg("no such file").context("cannot read a: no such file");
        assert_eq!(chain(&error), "cannot read a: no such file");
        let error = anyhow::Error::msg("no such file").context("reading the image");
        assert_eq!(chain(&error), "reading the image: no such file");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("x");
        assert!(is_closed_pipe(&error));
        assert!(!is_usage(&error));
        assert!(is_usage(&usage("y").context("x")));
    }
}
