//! The only unsafe code: what C and C++ offer, behind safe faces. One folder per engine.

#![allow(unsafe_code)]

pub mod v3;
