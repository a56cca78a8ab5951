//! The screen: proves requests clean without the engine.
//!
//! The screen says that a request is clean, or that it is not proven. It never denies: what is not proven, ModSecurity
//! inspects. Clean means that the engine, given this request, would have denied nothing, logged nothing and left nothing behind.

pub mod automaton;
pub mod compile;
pub mod evaluate;
pub mod operators;
pub mod transformations;
pub mod variables;
