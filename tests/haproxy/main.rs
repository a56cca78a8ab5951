//! Is it right behind a real HAProxy? `HAPROXY` selects the version; what only one generation does is tested with that
//! alone.
//!
//! Whatever has HAProxy in it and does not take long is here: this is the program that another version is tried with.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// An answer whose link is gone comes on another link of the same HAProxy, up to 3.0.
mod async_acks;
// Ways that once let an attack through: request and verdict, through HAProxy and straight.
mod bypasses;
// Who the client is behind a CDN or a balancer.
mod clients;
// The files for containers and Kubernetes.
mod containers;
// The deployed configuration as it is, and without an agent.
mod deployed;
// The configurations that were written for other agents.
mod dialects;
// What goes wrong in other agents, with the tests that show that it does not here.
mod elsewhere;
// Requests larger than the agent's frames.
mod fragmentation;
// Headers in any number, order and size.
mod headers;
// What HAProxy does with its links: reuse, give up, reload.
mod life;
// Methods that the engine or HAProxy does not know.
mod methods;
// What HAProxy should send and does not is told to the operator.
mod misconfigured;
// Not a test: records what this HAProxy sends, as seeds for the fuzz targets.
#[path = "../fuzz/record.rs"]
mod record_seeds;
// Rules see the request as the client sent it.
mod request_view;
// Responses that leak, or that nobody inspected.
mod responses;
// Events and WebSockets while responses are inspected.
mod streams;
// Two agents behind one HAProxy.
mod several_agents;
// The status of the rule that denies, from every phase.
mod statuses;
// The end of an agent, and that HAProxy knows of it in time.
mod stop;
// The agent, HAProxy and clients, as every program needs them.
#[path = "../support/mod.rs"]
mod support;
// Links inside TLS, with and without a certificate of HAProxy's.
mod tls;
// HTTP/1.0, 1.1 and 2, IPv4, IPv6 and Unix sockets, chunks and large bodies.
mod transport;
// An attack is denied wherever it hides, and a clean request let through.
mod verdicts;
