//! The supervision tree of modsecurity-spoa, generic over the engine that it supervises, and the SPOP wire protocol.
//!
//! ```text
//! Root ─┬─ Listener ── Connection     one Connection actor per link of HAProxy's
//!       └─ Pool ────── Worker 1…n     one Worker actor, with one guarded thread, per engine
//! ```
//!
//! A Connection decodes a NOTIFY, hands the job to the Pool's bounded queue and remembers whom to answer. A Worker's
//! thread takes the job, lets its engine inspect it and sends the answer back. Whoever ends a job first settles it; the
//! Connection writes exactly one ACK. When a thread ends that nobody told to, the Pool starts another in its place.
//!
//! actix gives life cycles and mailboxes. It does not bring an actor back after a panic (neither `Supervisor` nor
//! `SyncArbiter` does), so supervision is done here: see `pool.rs` and `worker.rs`.

#![forbid(unsafe_code)]
#![warn(clippy::missing_errors_doc)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(panic = "abort")]
compile_error!("the worker's guard needs panic = \"unwind\"");

mod agent;
mod connection;
mod engine;
mod failure;
mod listener;
mod peer_log;
mod pool;
mod queue;
pub mod restart;
pub mod root;
pub mod spop;
mod stream;
mod timer;
mod worker;

pub use agent::Agent;
pub use engine::{Engine, EngineError, StartError, one_by_one};
pub use failure::{Failure, FailureKind};
pub use root::{ReloadEngines, Root, Settings, Stop, TreeEvent};
pub use stream::Socket;
