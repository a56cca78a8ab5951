//! Engines in processes of their own: the form that survives what a C++ engine can do to its process.
//!
//! ```text
//! front process                            zygote                       engine processes
//! ZygoteHost (one thread) ── control socket ── loads the rules, one thread
//!                                          forks, reaps and kills ────── engine 1 … n
//! EngineProcess (per worker) ─────────── shared memory ────────────────┘
//! ```
//!
//! The zygote is the same binary under another name. It has one thread, so that a fork of it is whole. A worker that
//! needs an engine sends the zygote a piece of memory (memfd_create(2)); the engine that it forks finds its jobs there and
//! writes verdicts, one after the other (`channel.rs`). The end of an engine is news from the zygote, which reaps it: the zygote host
//! passes them on to the engine's worker, and wakes it when it waits for a verdict. The kernel ends the engines when the
//! zygote dies, and the zygote when the front does.
//!
//! What comes from an engine is as little trusted as what comes from a peer: it may be the exploited one.

mod channel;
mod control;
mod engine_main;
mod engine_process;
mod orphans;
pub mod sandbox;
mod standard_error;
mod wire;
mod zygote;
mod zygote_host;

pub use engine_process::EngineProcess;
pub use zygote::{invoked_as_zygote, run as run_zygote};
pub use zygote_host::{ZygoteError, ZygoteHost};
