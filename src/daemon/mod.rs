//! The life of the process: sockets, signals, reloads, its end.

pub(crate) mod descriptors;
pub(crate) mod reload;
pub(crate) mod service;
pub(crate) mod sockets;
pub(crate) mod successor;
