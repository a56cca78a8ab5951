//! The only unsafe code: what C and C++ offer, behind safe faces. One folder per engine, and the
//! signals that engines raise.

#![allow(unsafe_code)]

pub mod descriptor;
pub mod fault;
pub mod v3;
