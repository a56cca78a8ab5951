//! The supervision tree of modsecurity-spoa, generic over the engine that it supervises, and the SPOP wire protocol.
//!
//! ```text
//! Root ─┬─ Listener ── Connection     one Connection actor per link from HAProxy
//!       └─ Pool ────── Worker 1…n     one Worker actor per engine, each with one guarded thread
//! ```
//!
//! A Connection decodes a NOTIFY, offers the job to the Pool's bounded queue and keeps a ticket for the answer. The thread
//! of a Worker takes the job, has its engine inspect the request and sends the answer back. Whoever answers first settles
//! the job, and the Connection writes one ACK. When the thread of a Worker ends without having been told to, the Pool
//! starts another one in its place.
//!
//! | where | what |
//! |---|---|
//! | `agent`, `engine`, `failure` | the contract with the program: [`Agent`], [`Engine`], [`Failure`] |
//! | `root`, `listener`, `connection/` | links and their life cycle; `stream/` has their sockets |
//! | `agent_check` | what HAProxy is told that asks how the agent is |
//! | `queue/` | the lanes between Connections and Workers: jobs, admission, quarantine |
//! | `pool`, `worker/`, `restart` | supervision |
//! | [`spop`] | the wire protocol, on bytes alone |
//! | [`stats`], `status`, `latest`, `observer` | what the program can see of the tree |
//! | `peer_log`, `pulse`, `timer` | bounded log lines, whether the tree answers, and timers |
//!
//! actix gives life cycles and mailboxes. It does not restart an actor after a panic (neither `Supervisor` nor `SyncArbiter`
//! does), so supervision is done here: see `pool.rs` and `worker/mod.rs`.
//!
#![doc = include_str!("GUARANTEES.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(panic = "abort")]
compile_error!("the worker's guard needs panic = \"unwind\"");

mod agent;
mod agent_check;
mod connection;
mod engine;
mod failure;
mod latest;
mod listener;
mod observer;
mod peer_log;
mod pool;
mod pulse;
mod queue;
pub mod restart;
pub mod root;
pub mod spop;
pub mod stats;
mod status;
mod stream;
mod timer;
mod worker;

pub use agent::Agent;
pub use engine::{CauseOfEnd, Engine, EngineError, StartError, one_by_one};
pub use failure::{Failure, FailureKind};
pub use latest::Latest;
pub use observer::Observer;
pub use pulse::Ping;
pub use queue::ClientKey;
pub use root::{Leave, ReloadEngines, Root, Stop, TreeEvent, TreeSettings};
pub use status::{Crash, LinkStatus, TreeStatus, WorkerState, WorkerStatus};
pub use stream::{Socket, TlsServer};
