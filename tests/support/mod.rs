//! What every end-to-end test needs: the real agent, the real HAProxy, curl, and a SPOP client of its own.
//!
//! Nothing here uses the project's code. The agent is driven as an operator drives it (options, signals, log lines) and
//! its wire is read by [`spop`], written from the protocol's text, so a mistake in the codec cannot hide itself.

// Each test crate compiles this module and uses only the part that it needs.
#![allow(dead_code)]

pub mod agent;
pub mod background;
pub mod browser;
pub mod client;
pub mod direct;
pub mod flood;
pub mod haproxy;
pub mod http;
pub mod log;
pub mod manager;
pub mod process;
pub mod site;
pub mod spop;
pub mod tap;
pub mod tls;
pub mod waiting;
pub mod wire;

use std::time::Duration;

/// How long a test waits for something that must happen. Generous: a loaded machine is slow, and a test that passes does
/// not wait.
pub const PATIENCE: Duration = Duration::from_secs(30);
