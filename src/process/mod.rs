//! What concerns the process: sockets, signals, its start and its end.

mod describe;
mod descriptors;
mod logger;
mod program;
mod reload;
mod service;
mod sockets;
mod successor;

pub use program::run;
