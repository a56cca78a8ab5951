//! An engine process: reads jobs, inspects, writes verdicts, until its worker lets it go.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, dup2_stdin, getppid};

use super::channel::{EngineEnd, NextJob};
use super::wire;
use crate::message::decode::decode;
use crate::message::verdict::Verdict;
use crate::modsecurity::error::InspectionError;
use crate::modsecurity::parked::RetentionLimits;
use crate::modsecurity::{ModSecurity, Rules};

/// The life of an engine process; what it returns is its exit status.
pub(super) fn run(zygote: Pid, worker: u64, file: OwnedFd, rules: &Rules, bounds: RetentionLimits) -> i32 {
    // Ends with the zygote. If that was gone before the wish was made, nobody will send the signal.
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != zygote {
        return 1;
    }
    let name = std::ffi::CString::new(format!("engine-{worker}")).unwrap_or_default();
    // A process without a name of its own works just as well.
    let _ = prctl::set_name(&name);
    // Standard input is the zygote's control socket: not for an engine's hands.
    let closed = File::open("/dev/null").map(dup2_stdin);
    if !matches!(closed, Ok(Ok(()))) {
        return 1;
    }
    let channel = EngineEnd::open(file.as_fd());
    drop(file);
    let engine = || ModSecurity::new(rules, bounds).map_err(io::Error::other);
    match channel.and_then(|channel| serve(channel, engine()?)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("engine-{worker}: {error}");
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
    // A panic is as much a crash as a signal is.
    let inspected = catch_unwind(AssertUnwindSafe(|| engine.inspect(&message)));
    inspected.unwrap_or_else(|_| std::process::abort())
}
