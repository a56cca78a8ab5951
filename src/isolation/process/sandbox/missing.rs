//! What this machine lacks for the sandbox, and what the operator should know of the rest.

use nix::unistd::geteuid;
use slog::{Logger, info, warn};

use super::settings::{EngineUser, SandboxSettings};
use crate::ffi::forbidden_call;

/// The first version of Landlock that confines signals too.
const LANDLOCK: i32 = 6;

/// Whether the kernel filters system calls, and it is known how on this kind of machine.
pub(in crate::isolation::process) fn can_filter_calls() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) && forbidden_call::can_be_told()
}

/// Logs how engines are confined, and what cannot be had.
pub(crate) fn describe(log: &Logger, settings: SandboxSettings) {
    if geteuid().is_root() {
        warn!(
            log,
            "running as root, which nothing here needs once ports and files are its own; \
            start it as another user (User= of systemd, USER of a container)"
        );
    }
    if !settings.is_on {
        warn!(
            log,
            "engines are not confined (--sandbox off): one that is taken over has all rights of the agent"
        );
        return;
    }
    let calls = can_filter_calls();
    let landlock = forbidden_call::landlock_version();
    let user = match settings.user {
        EngineUser::Own => "the agent's".to_owned(),
        EngineUser::Default(ids) | EngineUser::Chosen(ids) => ids.to_string(),
    };
    info!(log, "engines are confined"; "system_calls_filtered" => calls, "landlock" => landlock, "user" => user);
    if !calls {
        warn!(
            log,
            "this kernel cannot filter the system calls of engines (seccomp): one that is taken over may make any"
        );
    }
    match landlock {
        0 => warn!(
            log,
            "this kernel cannot confine the files of engines (Landlock, Linux 5.13 and its boot option lsm=): \
            one that is taken over may open what its user may"
        ),
        1..LANDLOCK => {
            info!(log, "this kernel's Landlock confines files only in part"; "landlock" => landlock,
            "complete_from" => LANDLOCK)
        }
        _ => {}
    }
}
