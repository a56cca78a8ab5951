//! How many descriptors the process may have: one for each link, and a few for the rest.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, debug, warn};

/// Below this a machine with many HAProxy threads, or a few hundred health checks at a time, can use them up.
const ENOUGH: u64 = 1024;

/// Asks for as many as the process may ask for: the usual soft limit (1024) is for programs that use select(2), and the
/// agent does not. The log says so when there are few.
pub(crate) fn raise(log: &Logger) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < ENOUGH => {
            warn!(log, "few descriptors, each link takes one (LimitNOFILE=, ulimit -Hn)"; "limit" => limit);
        }
        Ok(limit) => debug!(log, "descriptors"; "limit" => limit),
        Err(error) => warn!(log, "cannot raise the limit of descriptors"; "error" => %io::Error::from(error)),
    }
}
