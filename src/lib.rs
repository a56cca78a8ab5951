//! modsecurity-spoa: an agent that lets ModSecurity inspect the requests and responses of HAProxy (SPOE).
//!
//! The modules from the top down. A module uses only modules below it; `tests/operation/layers.rs` fails when one uses a
//! module above it:
//!
//! | module | holds |
//! |---|---|
//! | [`commands`] | the commands of the program, and its exit status |
//! | `daemon` | the process from start to end: sockets, signals, reloads, replacement |
//! | `admin` | metrics, health, status and a page over HTTP |
//! | [`settings`] | the command line and the environment: raw arguments, then checked settings |
//! | [`logging`] | the log |
//! | [`agent`] | the program's side of the contract with the supervision tree (the `actors` crate) |
//! | [`isolation`] | where engines run (processes or threads), and the watchdog |
//! | [`modsecurity`] | the two engines, side by side, behind one trait |
//! | [`screen`] | proves requests clean without an engine |
//! | [`rules`] | rule files before an engine loads them |
//! | [`message`] | the messages that HAProxy sends, and the answers to them |
//! | [`ffi`] | the only unsafe code: bindings and safe wrappers |

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

mod admin;
pub mod agent;
pub mod commands;
mod daemon;
pub mod ffi;
pub mod isolation;
pub mod logging;
pub mod message;
pub mod modsecurity;
pub mod rules;
pub mod screen;
pub mod settings;
