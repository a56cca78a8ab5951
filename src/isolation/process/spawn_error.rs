//! Why no process was forked.

use std::fmt;

use nix::errno::Errno;

/// Why the zygote forked no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpawnError {
    /// No zygote was there for the time that a worker waits for one: it loads its rules.
    NoZygote,
    /// The zygote died before it answered.
    ZygoteDied,
    /// The zygote has not answered for the time that a worker waits.
    NoAnswer,
    /// fork(2) failed in the zygote.
    Fork(NoFork),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoZygote => f.write_str("there is no zygote"),
            Self::ZygoteDied => f.write_str("the zygote died"),
            Self::NoAnswer => f.write_str("the zygote does not answer"),
            Self::Fork(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fork(error) => Some(error),
            Self::NoZygote | Self::ZygoteDied | Self::NoAnswer => None,
        }
    }
}

/// fork(2) failed with this errno. The text names the limits that an operator can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoFork(pub(super) Errno);

impl fmt::Display for NoFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the zygote cannot fork: {}", self.0)?;
        match self.0 {
            Errno::EAGAIN => f.write_str(
                "; too many processes: see TasksMax= of the service, pids.max of the container, and `ulimit -u` of \
                 the user",
            ),
            Errno::ENOMEM => f.write_str(
                "; no memory for another process: see MemoryMax= of the service, and vm.overcommit_memory",
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for NoFork {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fork_names_the_limits() {
        let text = SpawnError::Fork(NoFork(Errno::EAGAIN)).to_string();
        for part in ["EAGAIN", "TasksMax=", "ulimit -u"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(NoFork(Errno::ENOMEM).to_string().contains("MemoryMax="));
        assert_eq!(
            NoFork(Errno::EPERM).to_string(),
            "the zygote cannot fork: EPERM: Operation not permitted"
        );
    }
}
