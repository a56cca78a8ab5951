//! The commands that the command line may name, instead of serving.

use std::ffi::OsString;

use structopt::StructOpt;
use structopt::clap::Shell;

// A command, as structopt reads it. No comment for rustdoc: structopt would put it in place of the program's description.
#[derive(Debug, StructOpt)]
pub(super) enum Subcommand {
    /// Asks the agent at ADDR what HAProxy's health check asks, and says whether it is healthy: exit status 0 or 1 within a
    /// second. Without ADDR: wherever --listen or --port says that an agent with these options listens
    Probe {
        /// 127.0.0.1:12345, [::1]:12345 or unix:/run/x.sock
        #[structopt(value_name = "ADDR", parse(from_os_str))]
        address: Option<OsString>,
    },
    /// Has the agent with this process id read its rules anew, waits until it has, and says whether it could: exit status 0
    /// or 1. Both need the same RUNTIME_DIRECTORY, as ExecReload= of systemd has it
    Reload {
        /// The process id
        #[structopt(value_name = "PID")]
        pid: String,
    },
    /// Prints the manual page (roff), for man -l -
    Man,
    /// Prints the completions for a shell: bash, zsh or fish
    Completions {
        /// The shell
        #[structopt(value_name = "SHELL", possible_values = &["bash", "zsh", "fish"])]
        shell: Shell,
    },
}
