//! Foveate on the command line.

mod backend;
mod verify;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Verify(verify::VerifyArgs),
}

fn main() -> ExitCode {
    let Command::Verify(args) = Command::parse();
    match verify::main(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
