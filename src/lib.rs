//! modsecurity-spoa: lets ModSecurity inspect the requests of HAProxy.
//!
//! `main` runs [`process`], which reads [`settings`], loads the rules into [`engine`] and starts the tree of the
//! `actors` crate. [`ffi`] is the only place with unsafe code.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]

pub mod agent;
pub mod ffi;
pub mod isolation;
pub mod message;
pub mod modsecurity;
pub mod process;
pub mod rules;
pub mod settings;
