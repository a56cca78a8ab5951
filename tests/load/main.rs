//! What becomes of it under load: more than it can serve, and for long?
//!
//! Tests that measure time have the machine alone, and others share it: each takes its hold on it first ([`machine`]).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Requests that an engine has several at a time: what one that crashes or hangs costs the others.
mod batches;
// Many requests and many connections: no error, none lost, no growing memory.
mod endurance;
// One client beside many others: who is refused.
mod fairness;
// Who has the machine.
mod machine;
// More requests than engines can inspect: as many verdicts as ever, and an explicit error in time for every other one.
mod overload;
// Many reloads.
mod reloads;
// An agent with a library of faults in its engine.
#[path = "../faults/subject.rs"]
mod subject;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
