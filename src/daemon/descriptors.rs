//! The limit of open file descriptors: each link takes one, and the process itself a few.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, debug, warn};

/// The log warns below this limit: the links of a HAProxy with many threads, or a few hundred health checks at a time, could
/// use all descriptors up.
const ENOUGH: u64 = 1024;

/// Raises the soft limit of descriptors to the hard one, and warns when that is low. The usual soft limit (1024) is for
/// programs that use select(2), and the agent does not.
pub(crate) fn raise(log: &Logger) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < ENOUGH => {
            warn!(log, # "few_descriptors", "few descriptors, each link takes one (LimitNOFILE=, ulimit -Hn)"; "limit" => limit);
        }
        Ok(limit) => debug!(log, # "descriptors", "descriptors"; "limit" => limit),
        Err(error) => {
            warn!(log, # "cannot_raise_descriptors", "cannot raise the limit of descriptors"; "error" => ?io::Error::from(error).to_string())
        }
    }
}
