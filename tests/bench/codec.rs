//! `cargo bench --bench codec`: what one message costs to decode and one answer to encode, and what they allocate.

#![allow(missing_docs)]

mod message;

use actors::spop::{Frame, FrameId, FrameType, frame};
use bytes::BytesMut;
use divan::{AllocProfiler, Bencher, black_box};
use modsecurity_spoa::message::answer::{Policy, answer};
use modsecurity_spoa::message::decode::read;
use modsecurity_spoa::message::verdict::Verdict;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    println!("a NOTIFY of {} bytes", message::notify(FrameId::default()).len());
    divan::main();
}

/// Cuts the frame out of the read buffer.
#[divan::bench]
fn frame_of_a_notify(bencher: Bencher<'_, '_>) {
    let bytes = message::notify(FrameId { stream: 1, frame: 1 });
    bencher.with_inputs(|| bytes.clone()).bench_refs(|input| Frame::decode(input, 16384).map(black_box));
}

/// Its dialect and its request, every argument and header checked: what the I/O thread does with a payload.
#[divan::bench]
fn request_of_a_notify(bencher: Bencher<'_, '_>) {
    let payload = message::payload().freeze();
    bencher.with_inputs(String::new).bench_values(|id| read(black_box(&payload), id));
}

/// The actions of a clean verdict, and the frame around them.
#[divan::bench]
fn ack_of_a_clean_verdict(bencher: Bencher<'_, '_>) {
    let id = "16aa3d069273781eed0baf45dbef0b7b".to_owned();
    let (dialect, message) = read(&message::payload().freeze(), id);
    let message = message.expect("the message is right");
    let (verdict, policy) = (Verdict::default(), Policy::default());
    bencher.with_inputs(|| BytesMut::with_capacity(16384)).bench_refs(|output| {
        let actions = answer(dialect, Some(&message), Ok(black_box(&verdict)), &policy).into_payload();
        frame::encode(FrameType::Ack, FrameId { stream: 1, frame: 1 }, actions.within(usize::MAX), output);
    });
}
