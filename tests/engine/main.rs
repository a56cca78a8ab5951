//! Is what the engine finds right, whole and told? `ENGINE=2` asks the same of ModSecurity 2.9.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Each application has its own rules.
mod applications;
// Reads audit logs.
mod audit;
// The engine's audit logs are whole, though several workers write to one of them.
mod audit_log;
// What engines need of the system they have, in the sandbox.
mod confined;
// What becomes of audit records that cannot be written.
mod audit_losses;
// The built-in settings bound what is inspected, and refuse what is not.
mod bounds;
// A body that HAProxy cut is judged as far as it came.
mod cut_bodies;
// Whatever the engine found reaches HAProxy, and the log.
mod findings;
// What ModSecurity 2.9 alone does, or does in its own way.
#[cfg(feature = "engine2")]
mod modsecurity2;
// What random bodies are made of.
mod random_bodies;
// Responses are inspected in the transaction of their request.
mod responses;
// The source of randomness. The differential test uses more of it.
#[allow(dead_code)]
#[path = "../differential/random/rng.rs"]
mod rng;
// What is wrong with rules is named with its place.
mod rule_check;
// What the rules let pass is told, at a check, a start and a reload.
mod rule_warnings;
// The engine has every rule of the files.
mod rules_loaded;
// A screen before the engine changes no answer.
mod screen;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
// A body of which HAProxy sent only the beginning.
mod truncated;
