//! modsecurity-spoa: lets ModSecurity inspect the requests of HAProxy.
//!
//! The rooms, from the top down. Each uses those below it, and `tests/operation/layers.rs` fails where one uses a room
//! above it:
//!
//! | room | holds |
//! |---|---|
//! | [`commands`] | what the program can be asked to do, and its exit status |
//! | `daemon` | the life of the process: sockets, signals, reloads, its end |
//! | [`settings`] | the command line and the environment: raw arguments, then checked settings |
//! | `logging` | the log |
//! | [`agent`] | what the supervision tree (the `actors` crate) asks of the program |
//! | [`isolation`] | where engines run: in processes, in threads; the watchdog |
//! | [`modsecurity`] | the two engines, side by side, behind one trait |
//! | [`rules`] | rule files before an engine has them |
//! | [`message`] | what HAProxy sends, and what it is told |
//! | [`ffi`] | the only unsafe code: bindings and safe wrappers |

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod agent;
pub mod commands;
mod daemon;
pub mod ffi;
pub mod isolation;
mod logging;
pub mod message;
pub mod modsecurity;
pub mod rules;
pub mod settings;
