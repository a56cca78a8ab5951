//! What survives when an engine does not? Real faults in real engines, processes killed from outside, and replacements.
//!
//! What such a fault costs the requests that an engine has together with it is in tests/load/batches.rs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Who pays for the end of an engine, and who must not.
mod blame;
// What an agent has: processes, threads, descriptors, memory.
mod census;
// Engines in processes of their own: crashes, hangs, kills, the zygote, and that nothing piles up.
mod crashes;
// At the limits of what the system gives: processes.
mod limits;
// Load on an agent, and what must come of each request.
mod load;
// What code in an engine that was taken over can do: nothing.
mod prison;
// Engine processes that are replaced after some number of requests.
mod recycling;
// An agent with a library of faults in its engine.
mod subject;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
// The same faults with `--isolation thread`: what that form promises.
mod thread_isolation;
// Zygotes that die, with and without a spare.
mod zygotes;
