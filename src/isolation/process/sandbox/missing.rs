//! What this machine lacks for the sandbox, and what the operator should know of the rest.

use slog::{Logger, info, warn};

use super::settings::SandboxSettings;
use crate::ffi::forbidden_call;

/// The first version of Landlock that confines signals too.
const LANDLOCK: i32 = 6;

/// Whether the kernel filters system calls, and it is known how on this kind of machine.
pub(in crate::isolation::process) fn can_filter_calls() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) && forbidden_call::can_be_told()
}

/// Logs how engines are confined, and what cannot be had.
pub(crate) fn describe(log: &Logger, settings: SandboxSettings) {
    if !settings.is_on {
        warn!(
            log,
            # "engines_not_confined", "engines are not confined (--sandbox off): one that is taken over has all rights of the agent"
        );
        return;
    }
    let calls = can_filter_calls();
    let landlock = forbidden_call::landlock_version();
    info!(log, # "engines_confined", "engines are confined"; "system_calls_filtered" => calls, "landlock" => landlock);
    if !calls {
        warn!(
            log,
            # "seccomp_missing", "this kernel cannot filter the system calls of engines (seccomp): one that is taken over may make any"
        );
    }
    match landlock {
        0 => warn!(
            log,
            # "landlock_missing", "this kernel cannot confine the files of engines (Landlock, Linux 5.13 and its boot option lsm=): \
            one that is taken over may open what its user may"
        ),
        1..LANDLOCK => {
            info!(log, # "landlock_partial", "this kernel's Landlock confines files only in part"; "landlock" => landlock,
            "complete_from" => LANDLOCK)
        }
        _ => {}
    }
}
