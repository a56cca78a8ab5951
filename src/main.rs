//! The daemon. See README.md for what it does and how to run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    modsecurity_spoa::commands::run()
}
