//! Fragments: NOTIFY without FIN, UNSET, ABORT, for an agent that does not announce fragmentation: refused with code 10. For
//! one that does, ../fragments.rs has the cases.

use super::case::Answer::{Ack, Bye, Open};
use super::case::Verdict::Denied;
use super::case::{Case, attack, clean, first, frame, good_hello, greeted};
use crate::support::wire::{DISCONNECT, FIN, HELLO, NOTIFY};

const UNSET: u8 = 0;
const ABORT: u32 = 2;

pub fn cases() -> Vec<Case> {
    let payload = clean().encode();
    let (head, tail) = payload.split_at(payload.len() / 2);
    let hello = &good_hello()[11..];
    let whole = |parts: &[Vec<u8>]| parts.concat();
    vec![
        first("fragment: a hello without FIN", frame(HELLO, 0, 0, 0, hello), &[Bye(10)]),
        first("fragment: a hello without FIN and payload", frame(HELLO, 0, 0, 0, b""), &[Bye(10)]),
        first("fragment: a hello without FIN that is aborted", frame(HELLO, ABORT, 0, 0, hello), &[Bye(10)]),
        first("fragment: first", frame(UNSET, FIN, 1, 1, tail), &[Bye(4)]),
        first("fragment: first, empty", frame(UNSET, 0, 0, 0, b""), &[Bye(4)]),
        first("fragment: a notify without FIN first", frame(NOTIFY, 0, 1, 1, head), &[Bye(4)]),
        greeted("fragment: a disconnect without FIN", frame(DISCONNECT, 0, 0, 0, b""), &[Bye(10)]),
        greeted("fragment: a notify without FIN", frame(NOTIFY, 0, 1, 1, head), &[Bye(10)]),
        greeted("fragment: a whole notify without FIN", frame(NOTIFY, 0, 1, 1, &payload), &[Bye(10)]),
        greeted("fragment: an empty notify without FIN", frame(NOTIFY, 0, 1, 1, b""), &[Bye(10)]),
        greeted("fragment: a notify without FIN of stream 0", frame(NOTIFY, 0, 0, 0, head), &[Bye(10)]),
        greeted("fragment: a notify without FIN, aborted", frame(NOTIFY, ABORT, 1, 1, head), &[Bye(10)]),
        // FIN says that it is whole. It is inspected; nobody is told that it is clean without that.
        greeted(
            "fragment: a whole notify with ABORT",
            frame(NOTIFY, FIN | ABORT, 1, 1, &attack().encode()),
            &[Ack(1, 1, Denied(471)), Open],
        ),
        greeted("fragment: the end of nothing", frame(UNSET, FIN, 1, 1, tail), &[Bye(10)]),
        greeted("fragment: the middle of nothing", frame(UNSET, 0, 1, 1, tail), &[Bye(10)]),
        greeted("fragment: the abort of nothing", frame(UNSET, FIN | ABORT, 1, 1, b""), &[Bye(10)]),
        greeted("fragment: the abort of nothing without FIN", frame(UNSET, ABORT, 1, 1, b""), &[Bye(10)]),
        greeted("fragment: an UNSET without anything", frame(UNSET, 0, 0, 0, b""), &[Bye(10)]),
        greeted(
            "fragment: two that are one notify",
            whole(&[frame(NOTIFY, 0, 1, 1, head), frame(UNSET, FIN, 1, 1, tail)]),
            &[Bye(10)],
        ),
        greeted(
            "fragment: two of different streams",
            whole(&[frame(NOTIFY, 0, 1, 1, head), frame(UNSET, FIN, 2, 1, tail)]),
            &[Bye(10)],
        ),
        greeted(
            "fragment: one, and then a whole notify",
            whole(&[frame(NOTIFY, 0, 1, 1, head), frame(NOTIFY, FIN, 2, 1, &payload)]),
            &[Bye(10)],
        ),
        greeted(
            "fragment: a thousand",
            whole(&[frame(NOTIFY, 0, 1, 1, head), frame(UNSET, 0, 1, 1, b"x").repeat(1000)]),
            &[Bye(10)],
        ),
    ]
}
