//! What the operator asks for, in two steps: raw arguments from the command line and the environment (`arguments.rs`),
//! then checked settings ([`Settings`]).

mod admin;
mod app;
mod arguments;
mod capability;
mod engine;
mod environment;
mod error;
mod listen;
mod log;
mod manual;
mod name;
mod number;
mod on_error;
mod options_file;
mod process;
mod subcommand;
mod time;
mod tls;
mod tree;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::agent::AgentSettings;
use crate::isolation::{EngineLimits, IsolationMode};
use crate::logging::target::LogSettings;
use crate::rules::sources::RuleSources;
pub use admin::AdminAddress;
pub use arguments::UnknownVariable;
use arguments::{Arguments, Parsed};
pub(crate) use engine::MIN_ENGINE_LIMIT;
pub use error::{BadOption, SettingsError};
pub use listen::{ListenAddress, UnixAddress};
pub use process::{Identity, ProcessSettings};
use subcommand::Subcommand;
pub use tls::TlsFiles;

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the log goes, and what is in it.
    pub log: LogSettings,
    /// What to do.
    pub task: Task,
    /// The sets of rules that options name, and the engine that loads them.
    pub rules: RuleSources,
    /// The folder with the rules of further applications (`--apps`).
    pub apps: Option<PathBuf>,
    /// The addresses to listen on.
    pub listen: Vec<ListenAddress>,
    /// Where metrics, health and the page are (`--admin`).
    pub admin: Option<AdminAddress>,
    /// Where HAProxy asks how the agent is (`--agent-check`).
    pub agent_check: Option<ListenAddress>,
    /// The process itself: background, file with its number, user, root of its files.
    pub process: ProcessSettings,
    /// No option says where to listen: sockets of the service manager are enough, if there are any.
    pub is_listen_default: bool,
    /// The files of TLS for links over TCP; `None`: they are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Whether a change of the files that were read is a reload (`--watch`).
    pub watch: bool,
    /// Whether engines run in processes or in threads.
    pub isolation: IsolationMode,
    /// The limits of each engine.
    pub limits: EngineLimits,
    /// The agent's settings: answers, truncated bodies, recycling, applications.
    pub agent: AgentSettings,
    /// The settings of the supervision tree.
    pub tree: actors::TreeSettings,
    /// The environment variables that have the program's prefix but belong to no option.
    pub unknown_variables: Vec<UnknownVariable>,
}

/// What the program is to do with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Serve until it is told to stop.
    Serve,
    /// Load the rules, report what is wrong with them, and exit (`--check`).
    Check {
        /// A warning makes them wrong (`--strict`).
        is_strict: bool,
    },
    /// Print the rules that apply without `-f`, and exit (`--print-rules`).
    PrintRules,
}

/// What the command line and the environment ask for.
#[derive(Debug)]
pub enum Command {
    /// Do the task of these settings.
    Run(Box<Settings>),
    /// Ask the agents at these addresses whether they are healthy, and exit (`probe`).
    Probe(Vec<ListenAddress>),
    /// Have the agent with this process id read its rules anew, and exit (`reload`).
    Reload(i32),
    /// Print this text (help, version, manual page or completions) and exit.
    Print(String),
}

/// Reads the command line (the program's name first) and the environment.
///
/// `version` is what `--version` says behind the program's name.
///
/// # Errors
/// The first option or variable that cannot be understood, or the page that cannot be read.
pub fn read(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Command, SettingsError> {
    match arguments::parse(args, environment, version)? {
        Parsed::Print(text) => Ok(Command::Print(text)),
        Parsed::Arguments { arguments, variables, unknown_variables } => {
            match &arguments.subcommand {
                Some(Subcommand::Probe { address }) => {
                    let addresses = probed(&arguments, address.as_deref());
                    return Ok(Command::Probe(addresses.map_err(|error| variables.blamed(error))?));
                }
                Some(Subcommand::Reload { pid }) => {
                    let pid = number::parse("reload", &pid.to_string_lossy(), 2, i32::MAX)?;
                    return Ok(Command::Reload(pid));
                }
                Some(Subcommand::Man | Subcommand::Completions { .. }) | None => {}
            }
            let checked = check(&arguments, unknown_variables).map_err(|error| match error {
                SettingsError::Option(error) => variables.blamed(error).into(),
                error @ SettingsError::OptionsFile { .. } => error,
                SettingsError::BlockPage { setting, path, cause } => {
                    SettingsError::BlockPage { setting: variables.named(setting), path, cause }
                }
            });
            Ok(Command::Run(Box::new(checked?)))
        }
    }
}

/// Checks the raw arguments.
fn check(arguments: &Arguments, unknown_variables: Vec<UnknownVariable>) -> Result<Settings, SettingsError> {
    let tree = tree::check(arguments)?;
    let rules = engine::rules(arguments)?;
    let limits = engine::limits(arguments, &tree)?;
    let listen = listen::parse_all(&arguments.listen, arguments.port.as_deref())?;
    let name = name::parse(arguments.name.as_deref(), &listen)?;
    Ok(Settings {
        log: log::check(arguments)?,
        task: task(arguments)?,
        process: process::check(arguments, &listen)?,
        listen,
        admin: admin::parse(arguments.admin.as_deref())?,
        is_listen_default: arguments.listen.is_empty() && arguments.port.is_none(),
        agent_check: listen::agent_check(arguments.agent_check.as_deref())?,
        tls: arguments.tls.as_deref().map(tls::parse).transpose()?,
        watch: arguments.watch,
        isolation: engine::isolation(arguments)?,
        agent: engine::agent(arguments, name, limits.responses, tree.workers, &tree.limits)?,
        rules,
        apps: arguments.apps.clone(),
        limits,
        tree,
        unknown_variables,
    })
}

/// The addresses that `probe` asks: the one that it is given, else those where an agent with the same options listens. With
/// `--tls` that is a Unix socket, as the probe has no certificate to show.
fn probed(arguments: &Arguments, address: Option<&OsStr>) -> Result<Vec<ListenAddress>, BadOption> {
    if let Some(address) = address {
        return Ok(vec![listen::parse("probe", address)?]);
    }
    let mut addresses = listen::parse_all(&arguments.listen, arguments.port.as_deref())?;
    if arguments.tls.is_some() {
        addresses.retain(|address| matches!(address, ListenAddress::Unix(_)));
        if addresses.is_empty() {
            return Err(BadOption(
                "probe does not speak TLS: have the agent listen on a Unix socket, too".to_owned(),
            ));
        }
    }
    Ok(addresses)
}

/// What to do.
fn task(arguments: &Arguments) -> Result<Task, BadOption> {
    match (arguments.check, arguments.strict, arguments.print_rules) {
        (true, _, true) => Err(BadOption("--check and --print-rules exclude each other".to_owned())),
        (false, true, _) => Err(BadOption("--strict is for --check".to_owned())),
        (true, is_strict, false) => Ok(Task::Check { is_strict }),
        (false, false, true) => Ok(Task::PrintRules),
        (false, false, false) => Ok(Task::Serve),
    }
}
