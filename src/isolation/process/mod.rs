//! Engines in processes of their own: whatever a fault in C or C++ does to such a process, it ends with the process.
//!
//! ```text
//! front process                                zygote                       engine processes
//! ZygoteHost (one thread) ── control socket ── loads the rules, one thread
//!                                              forks, reaps and kills ───── engine 1 … n
//!            ── control socket ── spare: a copy of the zygote, which takes over when the zygote dies
//! EngineProcess (per worker) ──────────── shared memory ───────────────────┘
//! ```
//!
//! The zygote is the same binary under another name. It has a single thread, as fork(2) copies only the thread that
//! calls it. A worker that needs an engine sends the zygote a piece of shared memory (`memfd_create(2)`); the forked
//! engine reads jobs from it and writes verdicts into it (`channel/`). The zygote reaps an engine that ends and reports
//! it; the zygote host passes the report on to the engine's worker, and wakes the worker if it waits for a verdict. The
//! kernel ends the engines when the zygote dies, and the zygote when the front dies (PR_SET_PDEATHSIG). The front is the
//! parent of the spare, too, and of all that a dead zygote leaves behind (PR_SET_CHILD_SUBREAPER).
//!
//! The front trusts an engine no more than a peer: a request may have exploited it.

mod channel;
mod control;
mod engine_main;
mod engine_process;
mod engine_states;
mod orphans;
pub mod sandbox;
mod spare;
mod spawn_error;
mod standard_error;
mod wire;
mod zygote;
mod zygote_host;
mod zygote_process;

pub use engine_process::EngineProcess;
pub use zygote::{invoked_as_zygote, run as run_zygote};
pub use zygote_host::{ZygoteError, ZygoteHost};
