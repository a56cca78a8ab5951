//! SPOP, the stream processing offload protocol, version 2.0, as HAProxy speaks it (doc/SPOE.txt, section 3.2).
//!
//! Layers, lowest first: [`reader`] takes integers, strings and typed values off a payload; [`status`] has the codes and the
//! error of the protocol; [`frame`] cuts frames out of a byte stream; [`hello`], [`notify`], [`action`] and [`disconnect`]
//! are the payloads; [`healthcheck`] is a hello from the other side; [`reassembly`] puts payloads together that come in
//! fragments; [`session`] is the state of one link. The module uses no socket, no clock and no log, so that tests and
//! fuzzers can drive it with bytes alone.
//!
//! Nothing here trusts a peer: a length is checked against the bytes that have arrived before it is used, memory is
//! allocated for bytes that have arrived and never for an announced length, and malformed input is an error value.

pub mod action;
pub mod disconnect;
mod foreign;
pub mod frame;
pub mod healthcheck;
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
