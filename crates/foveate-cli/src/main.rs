//! Foveate on the command line.

mod completions;
mod explain;
mod inspect;
mod quantize;
mod repeat;
mod run;
mod steps;
mod visual;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use foveate_lab::{attention, bench, eval, exit, fidelity, verify};

/// Answers questions about images with diffusion vision-language models, and prunes what the answer
/// does not look at.
#[derive(Parser)]
#[command(name = "foveate", version, after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 something was skipped.\n\
    Most flags can be set by a variable, for example FOVEATE_MODEL for --model; --help names them.";

#[derive(Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Inspect(inspect::InspectArgs),
    Bench(Box<bench::BenchArgs>),
    Eval(Box<eval::EvalArgs>),
    Attention(Box<attention::AttentionArgs>),
    Fidelity(Box<fidelity::FidelityArgs>),
    Verify(verify::VerifyArgs),
    Quantize(quantize::QuantizeArgs),
    Completions(completions::CompletionsArgs),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(&arguments);
    let parsed = parsed.and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, matches))
    });
    let (cli, matches) = parsed.unwrap_or_else(|error| error.exit());
    let repeated = repeat::command_line(&command, &matches, &arguments, |name| {
        std::env::var_os(name)
    });
    let ended = match cli.command {
        Command::Run(args) => run::main(&args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Bench(args) => bench::main(&args, &repeated),
        Command::Eval(args) => eval::main(&args, &repeated),
        Command::Attention(args) => attention::main(&args, &repeated),
        Command::Fidelity(args) => fidelity::main(&args, &repeated),
        Command::Verify(args) => verify::main(&args),
        Command::Quantize(args) => quantize::main(&args),
        Command::Completions(args) => completions::main(&args, Cli::command()),
    };
    ended.unwrap_or_else(|error| exit::report(&error))
}
