//! `foveate completions`: a script that teaches the shell the flags.

use std::process::ExitCode;

use anyhow::Result;
use clap::Command;
use clap_complete::Shell;
use foveate_lab::exit;

/// Print a completion script for a shell
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn main(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "foveate", &mut script);
    exit::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
