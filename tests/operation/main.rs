//! Does it do what an operator asks of it, and say what an operator must know?

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Metrics, health, status and the page of --admin.
mod admin;
// A folder with the rules of applications.
mod apps;
// Sockets that the service manager has bound.
mod activation;
// Files that never come: FIFOs, and file systems that do not answer.
mod blocked_files;
// The background, and the file with the number of the process.
mod daemon;
// The command line, and every mistake on it.
mod command_line;
// What is given in the environment takes effect.
mod environment;
// A full disk under the log.
mod full_disk;
// Which room of src/ uses which: none uses one above it.
mod layers;
// What is in the log, and that no request can forge a line of it.
mod log;
// That every record has a name, and the guide knows it.
mod log_events;
// Attacks: what is logged of them at most, and that they hide no crash.
mod log_floods;
// Log files that are moved away (SIGUSR1, SIGHUP, logrotate).
mod log_rotation;
// Bodies, cookies and credentials, which are not in the log.
mod log_secrets;
// The forms of the log (text, JSON, syslog, journal), and what each target gets.
mod log_targets;
// The manual page and the completions have all that --help has.
mod manual;
// Every option of --help with a good and a bad value, on the command line and in the environment.
mod options;
// Another user, another root, and who may use a socket.
mod privileges;
// The health check from the command line: what it asks, and that it never takes longer than it says.
mod probe;
// New rules and reopened log files (SIGHUP), and that no request notices.
mod reload;
// What the service manager learns, and who asks for a reload.
mod service_manager;
// Signals before it is ready, signals to its other processes, and the name of a process that was replaced.
mod signals;
// The end: what is in flight answered, links told, sockets removed.
mod stop;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
// A new process of the program takes over (SIGUSR2).
mod upgrade;
// Files that change, with --watch.
mod watch;
