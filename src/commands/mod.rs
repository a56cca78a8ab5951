//! What the program can be asked to do, and its exit status: 0 when it did that, 1 when it could not, 2 when it was asked
//! wrongly.
//!
//! Whatever can be wrong with the operator's options is found before the first thread starts, and is one line.

mod check;
mod describe;
mod serve;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::isolation::process::{invoked_as_zygote, run_zygote};
use crate::rules::version::EngineVersion;
use crate::settings::{self, Command};

/// The name in messages.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Runs the program as the command line and the environment ask for; returns its exit status.
pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if invoked_as_zygote(&arguments) {
        return ExitCode::from(run_zygote(&arguments) as u8);
    }
    let engines: Vec<_> = EngineVersion::BUILT.iter().map(ToString::to_string).collect();
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), engines.join(", "));
    match settings::read(arguments, std::env::vars_os(), &version) {
        Ok(Command::Print(text)) => print(text.trim_end()),
        Ok(Command::Run(settings)) if settings.check => check::check(&settings),
        Ok(Command::Run(settings)) => serve::serve(*settings),
        Err(error) => fail(2, &error),
    }
}

/// Prints a text on standard output. Whoever has read enough of it may go.
fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(1, &format!("cannot print: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// Says on standard error why the program ends, and returns this exit status.
fn fail(status: u8, cause: &dyn Display) -> ExitCode {
    // Without anybody to read it the status has to do.
    let _ = writeln!(io::stderr(), "{NAME}: {cause}");
    ExitCode::from(status)
}
