//! What concerns the process: sockets, signals, its start and its end.

mod logger;
mod program;
mod sockets;

pub use program::run;
