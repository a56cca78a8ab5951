//! The only unsafe code: what C and C++ offer, behind safe faces. One folder per engine, what they have in common, and
//! the signals that engines raise.

#![allow(unsafe_code)]

pub mod descriptor;
pub mod fault;
pub(crate) mod forbidden_call;
pub mod intervention;
pub mod matches;
pub(crate) mod processes;
pub mod rules;
pub(crate) mod shared_memory;
#[cfg(feature = "engine2")]
pub mod v2;
#[cfg(feature = "engine3")]
pub mod v3;
