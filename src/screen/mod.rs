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

use std::fmt;

use crate::message::request::Request;
use crate::rules::directives::Directives;
use crate::rules::version::EngineVersion;
pub use compile::{Counts, Off};
use evaluate::{Program, Workspace};

/// The screen of one set of rules in one version of the engine. It is made once and shared.
#[derive(Debug)]
pub struct Screen {
    program: Program,
    counts: Counts,
}

/// What one engine adds to a screen: caches and buffers, whose memory is bounded.
#[derive(Debug)]
pub struct Scratch(Workspace);

/// What the screen says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The engine would find nothing.
    Proven {
        /// The anomaly score that the engine would have computed, if the rules compute one.
        score: Option<i64>,
    },
    /// The engine has the word.
    NotProven(Reason),
}

/// Why a request is not proven clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The rule with this id may match.
    Rule(i64),
    /// A part of the request is not modelled.
    Request(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(id) => write!(f, "rule {id}"),
            Self::Request(what) => f.write_str(what),
        }
    }
}

impl Screen {
    /// Makes the screen for rules that an engine has loaded. `in_engine` has the id of each of them, in the order in which the
    /// engine lists them, and 0 for a rule without one.
    ///
    /// # Errors
    /// Why no request can be proven clean with these rules.
    pub fn compile(directives: &Directives, in_engine: &[i64]) -> Result<Self, Off> {
        let compiled = compile::compile(directives, in_engine)?;
        let version: EngineVersion = directives.version();
        let program = Program::new(&compiled, version).map_err(Off::new)?;
        Ok(Self { program, counts: compiled.rules.counts })
    }

    /// What one engine needs to examine requests.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        Scratch(self.program.workspace())
    }

    /// Says whether a request is proven clean.
    pub fn examine(&self, scratch: &mut Scratch, request: &Request) -> Finding {
        self.program.examine(&mut scratch.0, request)
    }

    /// How many rules were settled when the screen was made, and how many are left.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { guards: self.program.guards(), ..self.counts }
    }

    /// Bytes of memory that all engines share.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.program.memory()
    }
}

impl Scratch {
    /// Bytes of memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}
