//! Is every option of `--help` taken from the command line and from the environment, and is what is wrong with its value
//! told? The list of options is the program's own, so none can be forgotten: who adds one adds its row to [`ROWS`].

use crate::command_line::refused;
use crate::support::agent::rule_file;
use crate::support::haproxy::identity;
use crate::support::process::{run, run_raw};
use crate::support::tls::Certificates;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// An option, a value that it takes, and those that it refuses. RULES is a rule file that exists and FOLDER its folder,
/// CERTIFICATES the value of `--tls` for some that exist. A switch takes its values from the environment alone; OWN and GROUP
/// are the numbers of the user that runs the tests and of its group.
const ROWS: [(&str, &str, &[&str]); 47] = [
    ("debug", "yes", &["perhaps"]),
    ("log", "json:stderr,level=warn", &["sylog", "json:", "/tmp/", "stderr,level=loud"]),
    ("log-level", "warn,actors=debug", &["loud", "info,nobody=debug", "info,debug"]),
    ("log-matches", "ids", &["some"]),
    ("log-limit", "0", &["1.5", "many", "1000001"]),
    ("rules", "RULES", &["/nowhere/rules.conf"]),
    ("watch", "yes", &["perhaps"]),
    ("app", "shop=RULES", &["shop", "=RULES", "shop=/nowhere/rules.conf"]),
    ("apps", "FOLDER", &["/nowhere/apps"]),
    ("unknown-app", "error", &["maybe"]),
    ("max-frame-size", "1000", &["255", "16777217", "0", "large", "16k"]),
    // Below the frame size that was not given; above what an engine takes.
    ("max-payload", "65536", &["16383", "16777217", "0", "large", "1M"]),
    ("port", "12399", &["65536", "http", "12345x"]),
    ("workers", "3", &["0", "many", "1.5", "99999999999999999999"]),
    ("capability", "pipelining", &["teleportation"]),
    ("throttle", "10ms", &["soon", "5h", "ms", "1.2.3"]),
    ("deadline", "1s", &["soon", "5h", "0"]),
    ("queue", "10", &["0", "65537", "many"]),
    ("engine", "3", &["4", "three"]),
    ("screen", "shadow", &["maybe", "1"]),
    ("screen-sample", "16", &["0", "many", "1000000001"]),
    ("isolation", "thread", &["fork"]),
    ("sandbox", "off", &["maybe", "1"]),
    // Whoever runs the tests.
    ("engine-user", "OWN", &["there-is-no-such-user"]),
    ("engine-limit", "1s", &["99ms", "soon"]),
    ("stall-limit", "1s", &["99ms", "soon"]),
    ("max-requests", "5", &["many", "4294967296"]),
    ("listen", "127.0.0.1:0", &["nonsense", "127.0.0.1", "127.0.0.1:99999", "unix:", "::1:12345"]),
    ("agent-check", "127.0.0.1:0", &["nonsense", "127.0.0.1", "unix:/run/x.sock"]),
    ("name", "agent-1.internal:12345", &["", "two words", "a/b", "\u{e4}"]),
    (
        "tls",
        "CERTIFICATES",
        &["cert.pem", "cert.pem,", ",key.pem", "a,b,c", "a,b,client-ca=", "a,b,client-ca=c,d"],
    ),
    (
        "admin",
        "127.0.0.1:0",
        &["nonsense", "127.0.0.1", "0.0.0.0:9273", "192.0.2.1:9273", "[::]:9273", "unix:"],
    ),
    ("on-error", "deny=418", &["maybe", "deny=", "deny=abc", "deny=0", "deny=99", "deny=1000", "allow"]),
    ("truncated", "deny", &["maybe"]),
    ("responses", "10", &["many", "1000001"]),
    ("response-ttl", "30s", &["soon", "5h"]),
    ("block-page", "RULES", &["/nowhere/page.html"]),
    ("options", "/dev/null", &["/nowhere/options"]),
    ("grace", "10s", &["soon", "5h"]),
    ("daemon", "yes", &["perhaps"]),
    ("pid-file", "RULES", &["/nowhere/agent.pid"]),
    ("user", "OWN", &["there-is-no-such-user"]),
    ("group", "GROUP", &["there-is-no-such-group"]),
    ("chroot", "/", &["/nowhere/root", "nowhere"]),
    ("check", "yes", &["perhaps"]),
    ("strict", "no", &["perhaps"]),
    ("print-rules", "no", &["perhaps"]),
];

/// What `--check` goes with on a command line, or not at all: tests/engine/rule_warnings.rs has them.
const OF_CHECK: [&str; 3] = ["check", "strict", "print-rules"];

/// An option as `--help` lists it.
struct Listed {
    short: Option<String>,
    long: String,
    takes_a_value: bool,
}

impl Listed {
    /// As `-f, --rules <FILE>...` stands in the help.
    fn read(line: &str) -> Self {
        let (names, _) = line.split_once("  ").unwrap_or((line, ""));
        let (short, long) = match names.split_once(", ") {
            Some((short, long)) => (Some(short.to_owned()), long),
            None => (None, names),
        };
        let (long, value) = long.split_once(' ').unwrap_or((long, ""));
        Self { short, long: long.trim_start_matches("--").to_owned(), takes_a_value: !value.is_empty() }
    }

    fn variable(&self) -> String {
        format!("MODSECURITY_SPOA_{}", self.long.to_uppercase().replace('-', "_"))
    }

    /// Where to listen beside it: the usual port may be taken.
    fn elsewhere(&self) -> &'static [&'static str] {
        if ["port", "listen"].contains(&self.long.as_str()) { &[] } else { &["--listen", "127.0.0.1:0"] }
    }

    /// The words that give it this value on a command line.
    fn words<'a>(&'a self, flag: &'a str, value: &'a str) -> Vec<&'a str> {
        if self.takes_a_value { vec![flag, value] } else { vec![flag] }
    }

    /// How it may be written: `--rules`, `-f`.
    fn flags(&self) -> Vec<String> {
        [format!("--{}", self.long)].into_iter().chain(self.short.clone()).collect()
    }
}

fn help(flag: &str) -> String {
    let output = run(&[flag], &[]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// What `--help` lists, but for those that print and end.
fn options() -> Vec<Listed> {
    let help = help("--help");
    let all = help.lines().skip_while(|line| *line != "OPTIONS:").skip(1).take_while(|line| !line.is_empty());
    // The second line of a description begins further to the right.
    let first = all.map(str::trim_start).filter(|line| line.starts_with('-'));
    let mut options: Vec<_> = first.map(Listed::read).collect();
    let count = options.len();
    options.retain(|option| !["help", "version"].contains(&option.long.as_str()));
    assert_eq!(options.len() + 2, count, "--help does not list --help and --version");
    options
}

/// An option, a value that it takes, and those that it refuses.
type Row = (Listed, String, Vec<String>);

/// Each option with its row, and the files that the rows may name.
fn rows() -> ((tempfile::TempDir, Certificates), Vec<Row>) {
    let (folder, path) = rule_file("SecRuleEngine On\n");
    let certificates = Certificates::default();
    let named = |value: &str| {
        let value = value.replace("RULES", path.to_str().unwrap()).replace("OWN", &identity("-u"));
        let value =
            value.replace("GROUP", &identity("-g")).replace("FOLDER", folder.path().to_str().unwrap());
        value.replace("CERTIFICATES", &certificates.option(false))
    };
    let mut rows: BTreeMap<_, _> = ROWS.into_iter().map(|(name, good, bad)| (name, (good, bad))).collect();
    let mut known = Vec::new();
    for option in options() {
        let row = rows.remove(option.long.as_str());
        let (good, bad) = row.unwrap_or_else(|| panic!("--{} has no row in ROWS", option.long));
        assert!(!bad.is_empty(), "--{} has no bad value in ROWS", option.long);
        known.push((option, named(good), bad.iter().map(|value| named(value)).collect()));
    }
    assert!(rows.is_empty(), "--help does not list {:?}", rows.keys());
    ((folder, certificates), known)
}

/// Loads the rules with these words and variables, and checks that nothing is wrong with any of them.
#[track_caller]
fn accepted(words: &[&str], environment: &[(&str, &str)]) {
    let (_folder, rules) = rule_file("SecRuleEngine On\n");
    // The Core Rule Set takes longer to load.
    let small = ["-f", rules.to_str().unwrap()];
    let output = run(&[&["--check"][..], &small, words].concat(), environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?} {environment:?}: {said}");
}

/// Whether a complaint names the option, on the command line or as a variable, and the value.
#[track_caller]
fn assert_names(complaint: &str, option: &Listed, value: &str) {
    // What is wrong with a file of rules is told with its name.
    let file = value.split_once('=').map_or(value, |(_, file)| file);
    let is_file = complaint.contains("cannot read") && complaint.contains(file);
    let is_named =
        complaint.contains(&format!("--{}", option.long)) || complaint.contains(&option.variable());
    assert!(is_named || is_file, "{} is not named: {complaint}", option.long);
    assert!(complaint.contains(value) || is_file, "{value:?} is not named: {complaint}");
}

/// With a file that cannot be read it could not start; all else is a bad option.
fn status(value: &str) -> i32 {
    if value.contains("/nowhere/") { 1 } else { 2 }
}

#[test]
fn both_forms_of_help_are_one_and_tell_of_the_environment() {
    let long = help("--help");
    assert_eq!(help("-h"), long);
    assert!(long.contains("MODSECURITY_SPOA_"), "{long}");
    let unexplained = long.lines().filter(|line| line.trim_start().starts_with("--") && !line.contains("  "));
    assert_eq!(unexplained.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_good_value_is_taken_from_the_command_line_and_from_the_environment() {
    let (_folder, rows) = rows();
    for (option, good, _) in &rows {
        accepted(&[], &[(&option.variable(), good)]);
        if !OF_CHECK.contains(&option.long.as_str()) {
            for flag in option.flags() {
                accepted(&option.words(&flag, good), &[]);
            }
        }
    }
}

#[test]
fn a_bad_value_on_the_command_line_is_refused_and_named() {
    let (_folder, rows) = rows();
    for (option, _, bad) in rows.iter().filter(|(option, ..)| option.takes_a_value) {
        for value in bad {
            for flag in option.flags() {
                let words = [option.elsewhere(), &[&flag, value]].concat();
                assert_names(&refused(&words, &[], status(value)), option, value);
            }
        }
    }
}

#[test]
fn a_bad_value_in_the_environment_is_refused_and_named() {
    let (_folder, rows) = rows();
    for (option, _, bad) in &rows {
        for value in bad {
            let complaint = refused(option.elsewhere(), &[(&option.variable(), value)], status(value));
            assert_names(&complaint, option, value);
            let option = format!("modsecurity-spoa: --{}", option.long);
            assert!(!complaint.starts_with(&option), "the option is named, not the variable: {complaint}");
        }
    }
}

#[test]
fn the_command_line_wins_over_a_bad_value_in_the_environment() {
    let (_folder, rows) = rows();
    for (option, good, bad) in rows.iter().filter(|(option, ..)| !OF_CHECK.contains(&option.long.as_str())) {
        let flag = format!("--{}", option.long);
        accepted(&option.words(&flag, good), &[(&option.variable(), &bad[0])]);
    }
    // What accepted() itself gives.
    accepted(&[], &[("MODSECURITY_SPOA_CHECK", "perhaps")]);
}

/// One line and exit status 2, where the value need not be a file's name.
#[test]
fn bytes_that_are_not_utf8_are_refused_in_one_line() {
    let bytes = OsStr::from_bytes(b"\xff");
    let refused = |options: &[&OsStr], environment: &[(&str, &OsStr)]| {
        let output = run_raw(&[&[OsStr::new("--check")], options].concat(), environment);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.lines().count(), 1, "{options:?} {environment:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{options:?} {environment:?}: {said}");
        said
    };
    for arg in
        [&b"\xff"[..], b"-\xff", b"--\xff", b"--\xff=1", b"--workers\xff", b"--workers=\xff", b"-n\xff"]
    {
        refused(&[OsStr::from_bytes(arg)], &[]);
    }
    for command in ["reload", "probe", "completions"] {
        refused(&[OsStr::new(command), bytes], &[]);
    }
    for option in options().iter().filter(|option| option.takes_a_value) {
        if ![
            "rules",
            "app",
            "apps",
            "listen",
            "admin",
            "tls",
            "block-page",
            "pid-file",
            "chroot",
            "log",
            "options",
        ]
        .contains(&option.long.as_str())
        {
            let said = refused(&[OsStr::new(&format!("--{}", option.long)), bytes], &[]);
            assert!(said.contains(&option.long), "{said}");
            let said = refused(&[], &[(&option.variable(), bytes)]);
            assert!(said.contains(&option.variable()), "{said}");
        }
    }
}

#[test]
fn a_deadline_of_nothing_is_named() {
    let complaint = refused(&["--deadline", "0"], &[], 2);
    assert!(complaint.contains("--deadline: 0") && !complaint.contains("throttle"), "{complaint}");
}

#[test]
fn an_option_without_its_value_is_refused() {
    for option in options().iter().filter(|option| option.takes_a_value) {
        for flag in option.flags() {
            refused(&[&flag], &[], 2);
        }
    }
}
