//! Does it do what an operator asks of it, and say what an operator must know?

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Metrics, health, status and the page of --admin.
mod admin;
// Files that never come: FIFOs, and file systems that do not answer.
mod blocked_files;
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
// Every option of --help with a good and a bad value, on the command line and in the environment.
mod options;
// New rules and reopened log files (SIGHUP), and that no request notices.
mod reload;
// Signals before it is ready, those without a meaning, and the name of a process that was replaced.
mod signals;
// The end: what is in flight answered, links told, sockets removed.
mod stop;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
