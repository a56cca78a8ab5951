//! What the operator asks for, in two steps: raw arguments from the command line and the environment (`arguments.rs`),
//! then checked settings ([`Settings`]).

mod app;
mod arguments;
mod capability;
mod engine;
mod error;
mod listen;
mod number;
mod on_error;
mod time;
mod tree;

use std::ffi::OsString;

use crate::agent::AgentSettings;
use crate::isolation::{EngineLimits, IsolationMode};
use crate::rules::sources::RuleSources;
use arguments::{Arguments, Parsed};
pub use error::BadOption;
pub use listen::ListenAddress;

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Log at level debug.
    pub debug: bool,
    /// Only load the rules and say what is wrong with them.
    pub check: bool,
    /// Where the rules come from.
    pub rules: RuleSources,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// Where engines run.
    pub isolation: IsolationMode,
    /// What holds for each engine.
    pub limits: EngineLimits,
    /// What the agent does besides asking engines.
    pub agent: AgentSettings,
    /// The supervision tree's.
    pub tree: actors::Settings,
    /// Environment variables that begin with the program's prefix and are none of its own.
    pub unknown_variables: Vec<String>,
}

/// What the arguments on the command line amount to.
#[derive(Debug)]
pub enum Command {
    /// To run, or to check the rules.
    Run(Box<Settings>),
    /// To print this and be done: the help or the version.
    Print(String),
}

/// Reads the command line (the program's name first) and the environment.
///
/// `version` is what `--version` says behind the program's name.
///
/// # Errors
/// The first option or variable that cannot be understood.
pub fn read(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Command, BadOption> {
    match arguments::parse(args, environment, version)? {
        Parsed::Print(text) => Ok(Command::Print(text)),
        Parsed::Arguments(arguments, unknown_variables) => {
            Ok(Command::Run(Box::new(check(&arguments, unknown_variables)?)))
        }
    }
}

fn check(arguments: &Arguments, unknown_variables: Vec<String>) -> Result<Settings, BadOption> {
    let tree = tree::check(arguments)?;
    let rules = engine::rules(arguments)?;
    let limits = engine::limits(arguments, tree.workers)?;
    Ok(Settings {
        debug: arguments.debug,
        check: arguments.check,
        listen: listen::parse_all(&arguments.listen, arguments.port.as_deref())?,
        isolation: engine::isolation(arguments)?,
        agent: engine::agent(arguments, &rules, limits.responses, tree.workers, &tree.limits)?,
        rules,
        limits,
        tree,
        unknown_variables,
    })
}
