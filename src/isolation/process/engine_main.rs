//! An engine process: reads jobs, inspects them, and writes verdicts, until its worker lets it go.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use nix::sys::prctl;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};

use super::channel::{EngineEnd, NextJob};
use super::sandbox::Sandbox;
use super::wire;
use crate::message::decode::decode;
use crate::message::verdict::Verdict;
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::parked::RetentionLimits;
use crate::modsecurity::{ModSecurity, Rules};

/// Runs an engine process, after the fork, until its worker lets it go. `memory` is shared with the worker. Returns the
/// exit status.
pub(super) fn run(
    zygote: Pid,
    worker: u64,
    [memory, standard_error]: [OwnedFd; 2],
    rules: &Rules,
    sandbox: &Sandbox,
    limits: RetentionLimits,
) -> i32 {
    let name = format!("engine-{worker}");
    // The name is for ps(1); an engine works without one, too.
    let _ = prctl::set_name(&std::ffi::CString::new(name.as_str()).unwrap_or_default());
    // Standard input is the zygote's control socket, through which an exploited engine could give orders as the front.
    let closed = File::open("/dev/null").map(dup2_stdin);
    // An exploited engine could write log lines of its choosing on the front's standard error.
    let replaced = dup2_stdout(&standard_error).and_then(|()| dup2_stderr(&standard_error));
    if !matches!((closed, replaced), (Ok(Ok(())), Ok(()))) {
        return 1;
    }
    drop(standard_error);
    let channel = EngineEnd::open(memory.as_fd());
    drop(memory);
    let engine = || ModSecurity::new(rules, limits).map_err(io::Error::other);
    let confined = |engine| match sandbox.enter(zygote) {
        Ok(()) => Ok(engine),
        Err(error) => Err(io::Error::other(format!("cannot be confined: {error}"))),
    };
    match channel.and_then(|channel| serve(channel, confined(engine()?)?)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{name}: {error}");
            1
        }
    }
}

fn serve(mut channel: EngineEnd, mut engine: ModSecurity) -> io::Result<()> {
    let mut output = BytesMut::new();
    loop {
        match channel.next_job(engine.housekeeping())? {
            NextJob::Job(job) => {
                output.clear();
                wire::encode_outcome(&inspect(&mut engine, job), &mut output);
                channel.answer(&output)?;
            }
            NextJob::Nothing => {}
            NextJob::End => return Ok(()),
        }
    }
}

fn inspect(engine: &mut ModSecurity, job: bytes::Bytes) -> Result<Verdict, InspectionError> {
    let (id, payload) = wire::decode_job(job).map_err(|cause| InspectionError(cause.to_string()))?;
    let message = decode(&payload, id).map_err(|failure| InspectionError(failure.cause.into_owned()))?;
    // A panic leaves the engine in an unknown state, as a fault does: both end the process.
    let inspected = catch_unwind(AssertUnwindSafe(|| engine.inspect(&message)));
    inspected.unwrap_or_else(|_| std::process::abort())
}
