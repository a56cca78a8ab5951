//! SPOP, the stream processing offload protocol, version 2.0, as HAProxy speaks it (doc/SPOE.txt, section 3.2).
//!
//! Layers, lowest first: [`reader`] takes integers, strings and typed values off a payload; [`frame`] cuts frames out
//! of a byte stream; [`hello`], [`notify`], [`action`] and [`disconnect`] are the payloads; [`reassembly`] puts those
//! together that come in fragments; [`session`] is the state of one link. All of it works on bytes alone: no sockets, no clocks, no logging, so that tests and fuzzers can drive it.
//!
//! Nothing here trusts a peer: a length is checked against the bytes that are there before it is used, nothing is
//! allocated for what a peer merely announces, and every malformed input is an error value.

pub mod action;
pub mod disconnect;
pub mod frame;
pub mod hello;
pub mod notify;
pub mod reader;
pub mod reassembly;
pub mod session;
pub mod status;
pub mod value;
pub mod varint;

pub use action::{ActionList, Actions, Scope};
pub use frame::{Frame, FrameId, FrameType};
pub use notify::{Argument, Message, Messages};
pub use reader::Malformed;
pub use reassembly::{Budget, Excess};
pub use session::{Event, Limits, Session};
pub use status::{ProtocolError, Status};
pub use value::Value;
