//! Evaluates the guards on a request.

mod chain;
mod plan;
mod program;
mod scan;
mod state;
mod values;
