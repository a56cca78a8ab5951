//! The daemon. README.md and deploy/guide say what it does and how to run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    modsecurity_spoa::commands::run()
}
