//! The process from start to end: sockets, signals, reloads, replacement, and what the service manager is told.

mod activation;
pub(crate) mod descriptors;
pub(crate) mod detach;
pub(crate) mod handover;
pub(crate) mod inherited;
pub(crate) mod notify;
pub(crate) mod pid_file;
pub(crate) mod privileges;
pub(crate) mod reload;
pub(crate) mod reload_outcome;
pub(crate) mod rules_report;
pub(crate) mod service;
pub(crate) mod service_manager;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod successor;
pub(crate) mod tls;
pub(crate) mod watch;
