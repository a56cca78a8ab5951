//! The only unsafe code: bindings to C and C++ behind safe interfaces. `v2` and `v3` hold the two engines; beside them
//! is what both have in common, and what the operating system offers: processes, shared memory, descriptors, signals of
//! faults.

#![allow(unsafe_code)]

pub mod audit;
pub mod body_processor;
mod callback;
pub mod descriptor;
pub(crate) mod encodings;
pub mod fault;
pub(crate) mod forbidden_call;
pub mod intervention;
pub mod matches;
pub mod pcre2;
pub(crate) mod processes;
pub mod rules;
pub(crate) mod shared_memory;
pub(crate) mod signal_forwarding;
#[cfg(feature = "engine2")]
pub mod v2;
#[cfg(feature = "engine3")]
pub mod v3;
pub(crate) mod yajl;
