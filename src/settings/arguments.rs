//! The raw arguments, from the command line (read by structopt) and from the environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::{AppSettings, ArgMatches, Error, ErrorKind};

pub use super::environment::UnknownVariable;
use super::environment::{Variables, spelled_out, with_prefix};
use super::subcommand::Subcommand;
use super::{BadOption, SettingsError, manual, options_file};

/// The command line as structopt reads it. Values are checked and defaults are filled in by the other files of this module:
/// with a default, clap 2 would accept an option that lacks its value.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "modsecurity-spoa",
    about = "Agent that lets ModSecurity inspect the requests and responses of HAProxy (SPOE).",
    after_help = "Every option can be given in the environment too, as MODSECURITY_SPOA_ and its long name in capitals\n\
                  with _ for -: MODSECURITY_SPOA_WORKERS=8. Options that may be repeated take several values, separated by\n\
                  commas, with or without blanks; switches take 1 or 0. The command line wins.\n\n\
                  Exit status: 0 stopped or rules fine, 1 could not start or rules wrong, 2 bad option.",
    global_settings = &[AppSettings::UnifiedHelpMessage, AppSettings::DeriveDisplayOrder, AppSettings::ColorNever],
    settings = &[AppSettings::DisableHelpSubcommand, AppSettings::VersionlessSubcommands]
)]
pub(super) struct Arguments {
    /// Logs at level debug: each link, each health check
    #[structopt(short, long)]
    pub(super) debug: bool,

    /// Where the log goes: stderr, json:stderr, FILE, json:FILE (FILE with a /), syslog[:SOCKET] or journal[:SOCKET],
    /// which may be followed by ,level=LEVEL; may be repeated [default: stderr]
    #[structopt(long, value_name = "TARGET", number_of_values = 1, parse(from_os_str))]
    pub(super) log: Vec<OsString>,

    /// Least important level that is logged (error, warn, info, debug), and exceptions for modules: LEVEL,MODULE=LEVEL,…
    /// [default: info]
    #[structopt(long, value_name = "LEVELS")]
    pub(super) log_level: Option<String>,

    /// What is logged of rules that match: full (a line each), ids (their ids in one line) or none (their ids where the
    /// request is denied) [default: full]
    #[structopt(long, value_name = "DETAIL")]
    pub(super) log_matches: Option<String>,

    /// Most records of denials, matches and level debug in a second, for each target; 0: any number [default: 1000]
    #[structopt(long, value_name = "NUM")]
    pub(super) log_limit: Option<String>,

    /// ModSecurity configuration file; may be repeated. Without it: built-in settings and the installed Core Rule Set
    #[structopt(short = "f", long, value_name = "FILE", number_of_values = 1, parse(from_os_str))]
    pub(super) rules: Vec<PathBuf>,

    /// Reads rules and certificates anew when their files change, as SIGHUP does
    #[structopt(long)]
    pub(super) watch: bool,

    /// File of rules for requests whose argument app is NAME; may be repeated, also for the same NAME
    #[structopt(long, value_name = "NAME=FILE", number_of_values = 1, parse(from_os_str))]
    pub(super) app: Vec<OsString>,

    /// Folder with files of rules: NAME.conf has the rules for requests whose argument app is NAME. A reload reads the
    /// folder anew
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub(super) apps: Option<PathBuf>,

    /// What becomes of a request that names another application: default (the rules of -f inspect it) or error (it is
    /// not inspected: see --on-error) [default: default]
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

    /// Number of workers, each with an engine; auto: as many as there are cores for the agent [default: 5]
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

    /// Most time from a request's arrival to its answer, an error included; just below HAProxy's `timeout processing`
    /// [default: 500ms]
    #[structopt(long, value_name = "TIME")]
    pub(super) deadline: Option<String>,

    /// Requests that may wait for a worker [default: as many as the deadline allows at 1 ms each, or at -t]
    #[structopt(long, value_name = "NUM")]
    pub(super) queue: Option<String>,

    /// ModSecurity's version: 3 (libmodsecurity) or 2 (ModSecurity 2.9); --version lists those that are built in
    /// [default: 3 if built in, else 2]
    #[structopt(long, value_name = "VERSION")]
    pub(super) engine: Option<String>,

    /// What the screen does, which proves requests clean without the engine: off (there is none), shadow (the engine
    /// inspects all requests, and is compared with the screen) or on (proven requests are not inspected) [default: off]
    #[structopt(long, value_name = "MODE")]
    pub(super) screen: Option<String>,

    /// With --screen on, one in NUM proven requests is inspected as well, to be compared [default: 256]
    #[structopt(long, value_name = "NUM")]
    pub(super) screen_sample: Option<String>,

    /// Where engines run: process (each in a process of its own, so that a crash ends only that one) or thread (all in the
    /// agent's process) [default: process]
    #[structopt(long, value_name = "FORM")]
    pub(super) isolation: Option<String>,

    /// on confines engine processes: system calls, files, memory, rights; off leaves them all rights of the agent
    /// [default: on]
    #[structopt(long, value_name = "FORM")]
    pub(super) sandbox: Option<String>,

    /// User, by name or number, whose processes engines are when the agent starts as root [default: nobody, unless the
    /// rules have engines write where only root may, or run programs]
    #[structopt(long, value_name = "USER")]
    pub(super) engine_user: Option<String>,

    /// CPU time that an engine may use for one request before it is ended, at least 100ms [default: that of --deadline,
    /// or 100ms]
    #[structopt(long, value_name = "TIME")]
    pub(super) engine_limit: Option<String>,

    /// Time that an engine may stand still with a request before it is ended, at least 100ms: it neither runs nor waits
    /// for a CPU or a disk [default: 2s]
    #[structopt(long, value_name = "TIME")]
    pub(super) stall_limit: Option<String>,

    /// Requests that an engine process inspects before a new one takes its place, without losing a request; 0: no limit.
    /// The first processes are replaced earlier, so that they are not all replaced at once [default: 0]
    #[structopt(long, value_name = "NUM")]
    pub(super) max_requests: Option<String>,

    /// Address to listen on, instead of -p: 127.0.0.1:12345, [::]:12345 or unix:/run/x.sock, which may be followed by
    /// ,mode=660 ,user=NAME ,group=NAME; may be repeated
    #[structopt(long, value_name = "ADDR", number_of_values = 1, parse(from_os_str))]
    pub(super) listen: Vec<OsString>,

    /// Address and port for HAProxy's agent-check: up with a weight by the load, drain once the agent stops, or down
    #[structopt(long, value_name = "ADDR")]
    pub(super) agent_check: Option<String>,

    /// Name of this agent in the variable agent of its answers, by which HAProxy sends a response to the agent that has its
    /// request [default: host name and port]
    #[structopt(long, value_name = "NAME")]
    pub(super) name: Option<String>,

    /// TLS for links over TCP: files of the certificate and its key in PEM, as CERT,KEY; with CERT,KEY,client-ca=CA links
    /// need a certificate of that authority. SIGHUP reads them anew
    #[structopt(long, value_name = "FILES", parse(from_os_str))]
    pub(super) tls: Option<OsString>,

    /// Address of metrics, health and a page over HTTP, for this machine alone: 127.0.0.1:9273 or unix:/run/admin.sock
    #[structopt(long, value_name = "ADDR", parse(from_os_str))]
    pub(super) admin: Option<OsString>,

    /// Answer for a request that was not inspected, besides the variable error: unset leaves the variable code alone,
    /// deny[=STATUS] sets it (to 503 without STATUS) [default: unset]
    #[structopt(long, value_name = "POLICY")]
    pub(super) on_error: Option<String>,

    /// What becomes of a request of whose body HAProxy sent only the beginning: inspect (that part), deny (with 413), or
    /// error (it is not inspected: see --on-error) [default: inspect]
    #[structopt(long, value_name = "POLICY")]
    pub(super) truncated: Option<String>,

    /// Most transactions that are kept for their responses at the same time, in all engines together, where each may take
    /// 256 KB on average; 0: none, responses are not expected [default: 0]
    #[structopt(long, value_name = "NUM")]
    pub(super) responses: Option<String>,

    /// Time that a transaction is kept for its response; above HAProxy's `timeout server` [default: 60s]
    #[structopt(long, value_name = "TIME")]
    pub(super) response_ttl: Option<String>,

    /// Page for denied requests and responses: HAProxy gets it in the variable body, with {{id}} and {{status}} filled in
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub(super) block_page: Option<PathBuf>,

    /// File of such variables, one NAME=VALUE a line, which count before those of the environment and are read anew by an
    /// upgrade; with - in front it may be missing
    #[structopt(long, value_name = "FILE", allow_hyphen_values = true, parse(from_os_str))]
    #[expect(dead_code, reason = "`parse` reads it before the other options")]
    pub(super) options: Option<OsString>,

    /// Time in which requests in flight are answered after SIGTERM; those that are not answered then are answered as
    /// shutdown [default: 5s]
    #[structopt(long, value_name = "TIME")]
    pub(super) grace: Option<String>,

    /// Runs in the background; the command ends with 0 when the agent serves, or with 1 and the reason
    #[structopt(long)]
    pub(super) daemon: bool,

    /// File for the number of the process; locked while the agent runs, so that there is no second one
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub(super) pid_file: Option<PathBuf>,

    /// User, by name or number, that an agent which starts as root becomes once its addresses are bound; before it reads
    /// the rules
    #[structopt(long, value_name = "USER")]
    pub(super) user: Option<String>,

    /// Group, by name or number, that the agent becomes [default: that of --user]
    #[structopt(long, value_name = "GROUP")]
    pub(super) group: Option<String>,

    /// Folder that becomes the root of all files once the addresses are bound; before the rules are read
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub(super) chroot: Option<PathBuf>,

    /// Loads the rules, reports what is wrong with them, warns of what they let pass, and exits
    #[structopt(long)]
    pub(super) check: bool,

    /// With --check: a warning is an error, exit status 1
    #[structopt(long)]
    pub(super) strict: bool,

    /// Prints the rules that apply without -f, for the engine of --engine, as a file to begin your own with, and exits
    #[structopt(long)]
    pub(super) print_rules: bool,

    #[structopt(subcommand)]
    pub(super) subcommand: Option<Subcommand>,
}

/// The outcome of reading the command line and the environment.
pub(super) enum Parsed {
    /// The options.
    Arguments {
        /// What they say.
        arguments: Box<Arguments>,
        /// The options that the environment gives.
        variables: Variables,
        /// The variables that have the program's prefix but belong to no option.
        unknown_variables: Vec<UnknownVariable>,
    },
    /// A text to print: the help, the version, the manual page or completions.
    Print(String),
}

/// How an option is written in its environment variable: as one value, as a list with commas, or as 1 or 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    List,
    Switch,
}

/// The long name of every option, and how it is written in the environment.
pub(super) const OPTIONS: [(&str, Kind); 47] = [
    ("debug", Kind::Switch),
    ("log", Kind::List),
    ("log-level", Kind::Value),
    ("log-matches", Kind::Value),
    ("log-limit", Kind::Value),
    ("rules", Kind::List),
    ("watch", Kind::Switch),
    ("app", Kind::List),
    ("apps", Kind::Value),
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
    ("screen", Kind::Value),
    ("screen-sample", Kind::Value),
    ("isolation", Kind::Value),
    ("sandbox", Kind::Value),
    ("engine-user", Kind::Value),
    ("engine-limit", Kind::Value),
    ("stall-limit", Kind::Value),
    ("max-requests", Kind::Value),
    ("listen", Kind::List),
    ("agent-check", Kind::Value),
    ("name", Kind::Value),
    ("tls", Kind::Value),
    ("admin", Kind::Value),
    ("on-error", Kind::Value),
    ("truncated", Kind::Value),
    ("responses", Kind::Value),
    ("response-ttl", Kind::Value),
    ("block-page", Kind::Value),
    ("options", Kind::Value),
    ("grace", Kind::Value),
    ("daemon", Kind::Switch),
    ("pid-file", Kind::Value),
    ("user", Kind::Value),
    ("group", Kind::Value),
    ("chroot", Kind::Value),
    ("check", Kind::Switch),
    ("strict", Kind::Switch),
    ("print-rules", Kind::Switch),
];

/// Reads the command line (the program's name first) and then, for options that it lacks, the environment.
///
/// # Errors
/// The first option or variable that cannot be read, or the file of `--options`.
pub(super) fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Parsed, SettingsError> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if let Some(arg) = args.iter().skip(1).find(|arg| !has_readable_name(arg)) {
        return Err(BadOption(format!("{arg:?} is no option: its name is not UTF-8")).into());
    }
    let app = || Arguments::clap().version(version);
    let given = match app().get_matches_from_safe(&args) {
        Ok(given) => given,
        Err(error) => return Ok(refused(error)?),
    };
    let mut found = with_prefix(environment);
    let file = given.value_of_os("options").map(OsString::from).or_else(|| found.peek("options"));
    if let Some(file) = file {
        found.count_before(options_file::read(&file)?);
    }
    let mut variables = Variables::default();
    for (name, kind) in OPTIONS {
        let Some(value) = found.take(name).filter(|_| !is_given(&given, name)) else { continue };
        // Before all others: those behind a command are the command's.
        let first = args.len().min(1);
        args.splice(first..first, spelled_out(name, kind, &value)?);
        variables.gives(name);
    }
    let matches = match app().get_matches_from_safe(&args) {
        Ok(matches) => matches,
        Err(error) => return Ok(refused(error)?),
    };
    are_texts(&matches).map_err(|error| variables.blamed(error))?;
    let arguments = Arguments::from_clap(&matches);
    match arguments.subcommand {
        Some(Subcommand::Man) => return Ok(Parsed::Print(manual::page(app(), version))),
        Some(Subcommand::Completions { shell }) => {
            return Ok(Parsed::Print(manual::completions(app(), shell)));
        }
        Some(Subcommand::Probe { .. } | Subcommand::Reload { .. }) | None => {}
    }
    Ok(Parsed::Arguments { arguments: Box::new(arguments), variables, unknown_variables: found.unknown() })
}

/// Whether clap can read the name of a long option; clap panics over bytes that are not UTF-8.
fn has_readable_name(arg: &OsStr) -> bool {
    let mut parts = arg.as_bytes().splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    !name.starts_with(b"--") || std::str::from_utf8(name).is_ok()
}

/// Checks that values are UTF-8, except file names and addresses: structopt panics over other values.
///
/// # Errors
/// The first value that is not UTF-8.
fn are_texts(matches: &ArgMatches<'_>) -> Result<(), BadOption> {
    const NOT_TEXTS: [&str; 11] = [
        "rules",
        "app",
        "apps",
        "listen",
        "admin",
        "tls",
        "block-page",
        "log",
        "options",
        "pid-file",
        "chroot",
    ];
    for (name, _) in OPTIONS.iter().filter(|(name, _)| !NOT_TEXTS.contains(name)) {
        if let Some(value) =
            matches.values_of_os(name).into_iter().flatten().find(|value| value.to_str().is_none())
        {
            return Err(BadOption(format!("--{name}: {value:?} is not UTF-8")));
        }
    }
    Ok(())
}

/// Whether the command line gives this option, so that its variable is ignored. `-p` and `--listen` count as one option,
/// since both say where to listen.
fn is_given(given: &ArgMatches<'_>, name: &str) -> bool {
    let names = if matches!(name, "port" | "listen") { &["port", "listen"][..] } else { &[name][..] };
    names.iter().any(|name| given.occurrences_of(name) > 0)
}

/// Makes one line of clap's error, or the text to print when the error only means that the help or the version is asked
/// for.
fn refused(error: Error) -> Result<Parsed, BadOption> {
    match error.kind {
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => return Ok(Parsed::Print(error.message)),
        // clap prints the version itself and failed. Printing an empty text will fail in the same way, and be reported.
        ErrorKind::Io => return Ok(Parsed::Print(String::new())),
        _ => {}
    }
    let cause = error.message.split("\n\n").next().unwrap_or_default();
    let cause = cause.strip_prefix("error:").unwrap_or(cause);
    Err(BadOption(cause.split_whitespace().collect::<Vec<_>>().join(" ")))
}
