//! Engines in processes of their own: the form that survives what a C++ engine can do to its process.
//!
//! ```text
//! front process                            zygote                       engine processes
//! Keeper (one thread) ── control socket ── loads the rules, one thread
//!                                          forks, reaps and kills ────── engine 1 … n
//! EngineProcess (per worker) ──────────── job socket ──────────────────┘
//! ```
//!
//! The zygote is the same binary under another name. It has one thread, so that a fork of it is whole. A worker that
//! needs an engine sends the zygote one end of a socket pair; the engine that it forks reads jobs from there and writes
//! verdicts. The end of an engine is seen at once by its worker, as the end of that socket, and its cause comes from the
//! zygote, which reaps it. The kernel ends the engines when the zygote dies, and the zygote when the front does.
//!
//! What comes from an engine is as little trusted as what comes from a peer: it may be the exploited one.

mod child;
mod control;
mod engine;
mod keeper;
mod os;
mod wire;
mod zygote;

pub use engine::EngineProcess;
pub use keeper::{Keeper, KeeperError};
pub use zygote::{invoked_as_zygote, run as run_zygote};
