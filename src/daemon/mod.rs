//! The process from start to end: sockets, signals, reloads, replacement.

pub(crate) mod descriptors;
pub(crate) mod detach;
pub(crate) mod pid_file;
pub(crate) mod privileges;
pub(crate) mod reload;
pub(crate) mod rules_report;
pub(crate) mod service;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod successor;
