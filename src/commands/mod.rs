//! The commands of the program (serve, `--check`, `reload`, `probe`, and those that print a text) and its exit status: 0 done,
//! 1 failed, 2 wrong option.
//!
//! Every option is checked before the first thread starts, and the first wrong one is reported in one line.

mod check;
mod describe;
mod probe;
mod reload;
mod serve;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::daemon::{signals, successor};
use crate::isolation::process::{invoked_as_zygote, run_zygote};
use crate::modsecurity::default_rules;
use crate::rules::version::EngineVersion;
use crate::settings::{self, Command, Task};

/// The program's name, which begins each message on standard error.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Runs the command that the command line and the environment ask for; returns the exit status.
pub fn run() -> ExitCode {
    signals::hold();
    let args: Vec<_> = std::env::args_os().collect();
    if invoked_as_zygote(&args) {
        return ExitCode::from(run_zygote(&args) as u8);
    }
    successor::keep_name(&args);
    let engines: Vec<_> = EngineVersion::BUILT.iter().map(ToString::to_string).collect();
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), engines.join(", "));
    match settings::read(args, std::env::vars_os(), &version) {
        Ok(Command::Print(text)) => print(text.trim_end()),
        Ok(Command::Probe(addresses)) => {
            signals::release();
            probe::probe(addresses)
        }
        Ok(Command::Reload(pid)) => {
            signals::release();
            reload::reload(pid)
        }
        Ok(Command::Run(settings)) => match settings.task {
            Task::Serve => serve::serve(*settings),
            Task::Check { is_strict } => {
                signals::release();
                check::check(&settings, is_strict)
            }
            Task::PrintRules => match default_rules(settings.rules.engine) {
                Ok(rules) => print(rules.trim_end()),
                Err(error) => fail(1, &error),
            },
        },
        Err(error) => fail(error.exit_status(), &error),
    }
}

/// Prints a text on standard output. A reader that closes the pipe early, like `head`, is no failure.
fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(1, &format!("cannot print: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// Prints a warning on standard error.
fn warn(warning: &dyn Display) {
    // Nothing depends on the warning.
    let _ = writeln!(io::stderr(), "{NAME}: warning: {warning}");
}

/// Prints on standard error why the program ends, and returns the exit status `status`.
fn fail(status: u8, cause: &dyn Display) -> ExitCode {
    // When standard error cannot be written to, the exit status alone tells of the failure.
    let _ = writeln!(io::stderr(), "{NAME}: {cause}");
    ExitCode::from(status)
}
