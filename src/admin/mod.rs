//! `--admin`: metrics, health, status and a page over HTTP, on a loopback address or a Unix socket.
//!
//! All of it only reads: nothing that comes in here changes anything. The server has a thread of its own, so that whoever
//! asks never holds up the thread that serves HAProxy, and still gets answers when that thread is stuck.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page |
//! | `/metrics` | metrics for Prometheus, as text or as OpenMetrics |
//! | `/status` | the supervision tree as JSON |
//! | `/live` | 200, or 503 when the thread that serves HAProxy is stuck |
//! | `/ready` | 200, or 503 until the rules are loaded, while the agent drains, and while no engine runs |

mod charts;
mod history;
mod http;
mod metrics;
mod page;
mod server;
mod socket;
mod state;
mod statistics;
mod status;

pub(crate) use server::Server;
pub(crate) use socket::AdminSocket;
pub(crate) use state::AdminState;
pub(crate) use statistics::Statistics;
