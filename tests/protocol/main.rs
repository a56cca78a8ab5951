//! What does a peer get, whatever it sends? A SPOP client of the tests' own is HAProxy's side of the link, or a hostile
//! peer's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// Some 1,300 cases of good and broken bytes as data, each with its exact answer.
mod battery;
// Requests that come in several frames: put together, bounded, refused where they are not announced.
mod fragments;
// The handshake: what is agreed on, health checks, and that the answer comes whole.
mod hello;
// Peers that are slow, never read, come in thousands or speak HTTP.
mod hostile_peers;
// What nobody could inspect is answered, never called clean, and treated as `--on-error` says.
mod invalid;
// Requests in every form that is in use: exactly one ACK each, with the verdict.
mod notify;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
// Links inside TLS, and who has no business there.
mod tls;
