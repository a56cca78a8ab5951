//! The raw arguments: structopt's part, and the environment.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::{AppSettings, ArgMatches, Error, ErrorKind};

use super::BadOption;

/// What every environment variable of ours begins with.
const PREFIX: &str = "MODSECURITY_SPOA_";

/// How the command line is described to structopt; what the values mean, and what holds without them, is checked elsewhere
/// (clap 2 takes a default value where an option lacks its own).
#[derive(Debug, StructOpt)]
#[structopt(
    name = "modsecurity-spoa",
    about = "Agent that lets ModSecurity inspect the requests and responses of HAProxy (SPOE).",
    after_help = "Every option can be given in the environment too, as MODSECURITY_SPOA_ and its long name in capitals\n\
                  with _ for -: MODSECURITY_SPOA_WORKERS=8. Options that may be repeated take several values, separated by\n\
                  commas; switches take 1 or 0. The command line wins.\n\n\
                  Exit status: 0 stopped or rules fine, 1 could not start or rules wrong, 2 bad option.",
    global_settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder, AppSettings::ColorNever]
)]
pub(super) struct Arguments {
    /// Logs at level debug: each link, each health check
    #[structopt(short, long)]
    pub(super) debug: bool,

    /// ModSecurity configuration file; may be repeated. Without it: built-in settings and the installed Core Rule Set
    #[structopt(short = "f", long, value_name = "FILE", number_of_values = 1, parse(from_os_str))]
    pub(super) rules: Vec<PathBuf>,

    /// File of rules for requests whose argument app is NAME; may be repeated, also for the same NAME
    #[structopt(long, value_name = "NAME=FILE", number_of_values = 1, parse(from_os_str))]
    pub(super) app: Vec<OsString>,

    /// What becomes of a request that names another application: default (the rules of -f inspect it) or error (nobody
    /// does: see --on-error) [default: default]
    #[structopt(long, value_name = "POLICY")]
    pub(super) unknown_app: Option<String>,

    /// Largest frame in bytes, 256 to 16777216. HAProxy offers its tune.bufsize less 4 [default: 16384]
    #[structopt(short, long, value_name = "SIZE")]
    pub(super) max_frame_size: Option<String>,

    /// Largest request in bytes that HAProxy up to 3.0 may send in several frames (fragments), from the frame size to
    /// 16777216; in all links together 64 times as much [default: 1048576, or the frame size]
    #[structopt(long, value_name = "SIZE")]
    pub(super) max_payload: Option<String>,

    /// Port to listen on, on the loopback address [default: 12345]
    #[structopt(short, long, value_name = "PORT")]
    pub(super) port: Option<String>,

    /// Number of workers, each with an engine [default: 5]
    #[structopt(short = "n", long, value_name = "NUM")]
    pub(super) workers: Option<String>,

    /// Capability to announce: pipelining, fragmentation, async; may be repeated [default: pipelining and
    /// fragmentation]
    #[structopt(short, long, value_name = "NAME", number_of_values = 1)]
    pub(super) capability: Vec<String>,

    /// Time that a worker waits before each message, so that n workers handle at most n/TIME messages a second; in us,
    /// ms or s (no unit: ms) [default: 0]
    #[structopt(short, long, value_name = "TIME")]
    pub(super) throttle: Option<String>,

    /// Time from a request's arrival to its answer at most, whatever the answer is; just below HAProxy's `timeout
    /// processing` [default: 500ms]
    #[structopt(long, value_name = "TIME")]
    pub(super) deadline: Option<String>,

    /// Requests that may wait for a worker [default: as many as the deadline allows at 1 ms each, or at -t]
    #[structopt(long, value_name = "NUM")]
    pub(super) queue: Option<String>,

    /// ModSecurity's version: 3 (libmodsecurity) or 2 (ModSecurity 2.9), as far as the program was built with it, which
    /// --version tells [default: 3, or the one there is]
    #[structopt(long, value_name = "VERSION")]
    pub(super) engine: Option<String>,

    /// Where engines run: process gives each worker's a process of its own, which is all that a crash of it ends; thread
    /// runs them in the agent's [default: process]
    #[structopt(long, value_name = "FORM")]
    pub(super) isolation: Option<String>,

    /// on confines engine processes: system calls, files, memory, rights; off leaves them all rights of the agent
    /// [default: on]
    #[structopt(long, value_name = "on|off")]
    pub(super) sandbox: Option<String>,

    /// User, by name or number, whose processes engines are when the agent starts as root [default: nobody, unless the
    /// rules have engines write where only root may, or run programs]
    #[structopt(long, value_name = "USER")]
    pub(super) engine_user: Option<String>,

    /// CPU time that an engine process may use for one request before it is ended, at least 100ms [default: 2s]
    #[structopt(long, value_name = "TIME")]
    pub(super) engine_limit: Option<String>,

    /// Requests that an engine process inspects before another takes its place, without a request left out; 0: no limit.
    /// The first ones go earlier, so that not all go at a time [default: 0]
    #[structopt(long, value_name = "NUM")]
    pub(super) max_requests: Option<String>,

    /// Address to listen on, instead of -p: 127.0.0.1:12345, [::]:12345 or unix:/run/x.sock; may be repeated
    #[structopt(long, value_name = "ADDR", number_of_values = 1, parse(from_os_str))]
    pub(super) listen: Vec<OsString>,

    /// What to tell HAProxy of a request that nobody inspected, besides the variable error: unset leaves the variable
    /// code alone, deny[=STATUS] sets it (to 503 without STATUS) [default: unset]
    #[structopt(long, value_name = "POLICY")]
    pub(super) on_error: Option<String>,

    /// What becomes of a request of which HAProxy sent only the beginning of the body: inspect what there is, deny it
    /// (413), or error (nobody inspected it: see --on-error) [default: inspect]
    #[structopt(long, value_name = "POLICY")]
    pub(super) truncated: Option<String>,

    /// Transactions that are kept for their response at a time, in all engines together; 0: none, responses are not
    /// expected [default: 0]
    #[structopt(long, value_name = "NUM")]
    pub(super) responses: Option<String>,

    /// Time that a transaction is kept for its response; above HAProxy's `timeout server` [default: 60s]
    #[structopt(long, value_name = "TIME")]
    pub(super) response_ttl: Option<String>,

    /// Page that HAProxy gets in the variable body for what is denied, with {{id}} and {{status}} filled in
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub(super) block_page: Option<PathBuf>,

    /// Loads the rules, says what is wrong with them, and exits
    #[structopt(long)]
    pub(super) check: bool,
}

/// What the arguments are.
pub(super) enum Parsed {
    /// Options, and the environment variables that look like ours and are not.
    Arguments(Box<Arguments>, Vec<String>),
    /// A text to print.
    Print(String),
}

/// How an option is given in the environment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    List,
    Switch,
}

const OPTIONS: [(&str, Kind); 25] = [
    ("debug", Kind::Switch),
    ("rules", Kind::List),
    ("app", Kind::List),
    ("unknown-app", Kind::Value),
    ("max-frame-size", Kind::Value),
    ("max-payload", Kind::Value),
    ("port", Kind::Value),
    ("workers", Kind::Value),
    ("capability", Kind::List),
    ("throttle", Kind::Value),
    ("deadline", Kind::Value),
    ("queue", Kind::Value),
    ("engine", Kind::Value),
    ("isolation", Kind::Value),
    ("sandbox", Kind::Value),
    ("engine-user", Kind::Value),
    ("engine-limit", Kind::Value),
    ("max-requests", Kind::Value),
    ("listen", Kind::List),
    ("on-error", Kind::Value),
    ("truncated", Kind::Value),
    ("responses", Kind::Value),
    ("response-ttl", Kind::Value),
    ("block-page", Kind::Value),
    ("check", Kind::Switch),
];

pub(super) fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Parsed, BadOption> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let app = || Arguments::clap().version(version);
    let given = match app().get_matches_from_safe(&args) {
        Ok(given) => given,
        Err(error) => return refused(error),
    };
    let mut variables = ours(environment);
    for (name, kind) in OPTIONS {
        let variable = name.to_uppercase().replace('-', "_");
        if let Some(value) = variables.remove(&variable).filter(|_| !is_given(&given, name)) {
            args.extend(spelled_out(name, kind, &value)?);
        }
    }
    let mut unknown: Vec<_> = variables.into_keys().filter(|name| !is_of_kubernetes(name)).collect();
    unknown.sort();
    match app().get_matches_from_safe(&args) {
        Ok(matches) => Ok(Parsed::Arguments(
            Box::new(Arguments::from_clap(&matches)),
            unknown.into_iter().map(|name| format!("{PREFIX}{name}")).collect(),
        )),
        Err(error) => refused(error),
    }
}

/// Whether the command line decides this option: `-p` and `--listen` are one decision.
fn is_given(given: &ArgMatches<'_>, name: &str) -> bool {
    let same = if matches!(name, "port" | "listen") { &["port", "listen"][..] } else { &[name][..] };
    same.iter().any(|name| given.occurrences_of(name) > 0)
}

/// The variables with our prefix, which is cut off.
fn ours(environment: impl IntoIterator<Item = (OsString, OsString)>) -> HashMap<String, OsString> {
    let name = |name: OsString| Some(name.to_str()?.strip_prefix(PREFIX)?.to_owned());
    let ours = environment.into_iter().filter_map(|(key, value)| Some((name(key)?, value)));
    // For a service of our name Kubernetes sets MODSECURITY_SPOA_PORT=tcp://…, which is not meant for us.
    ours.filter(|(name, value)| name != "PORT" || !value.to_string_lossy().contains("://")).collect()
}

/// Whether Kubernetes sets this variable for a service of our name.
fn is_of_kubernetes(name: &str) -> bool {
    name.starts_with("PORT_") || name.starts_with("SERVICE_")
}

/// The arguments that stand for one variable.
fn spelled_out(name: &str, kind: Kind, value: &OsStr) -> Result<Vec<OsString>, BadOption> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let option = OsString::from(format!("--{name}"));
    match kind {
        Kind::Value => Ok(vec![option, value.to_owned()]),
        Kind::List => {
            let items = value.as_bytes().split(|&byte| byte == b',').filter(|item| !item.is_empty());
            Ok(items.flat_map(|item| [option.clone(), OsString::from_vec(item.to_vec())]).collect())
        }
        Kind::Switch => match value.to_string_lossy().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(vec![option]),
            "" | "0" | "false" | "no" | "off" => Ok(vec![]),
            other => {
                let variable = name.to_uppercase().replace('-', "_");
                Err(BadOption(format!("{PREFIX}{variable}: {other:?} is neither 1 nor 0")))
            }
        },
    }
}

/// Makes one line of what clap has to say, or finds that it was asked to print something.
fn refused(error: Error) -> Result<Parsed, BadOption> {
    match error.kind {
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => return Ok(Parsed::Print(error.message)),
        // The version is all that clap prints itself, and it could not: whoever prints in its place will find out why.
        ErrorKind::Io => return Ok(Parsed::Print(String::new())),
        _ => {}
    }
    let cause = error.message.split("\n\n").next().unwrap_or_default();
    let cause = cause.strip_prefix("error:").unwrap_or(cause);
    Err(BadOption(cause.split_whitespace().collect::<Vec<_>>().join(" ")))
}
