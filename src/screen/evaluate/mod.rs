//! Evaluates the guards on a request.

mod chain;
mod examine;
mod plan;
mod program;
mod scan;
mod state;
mod values;

pub(in crate::screen) use examine::{Program, Workspace};
