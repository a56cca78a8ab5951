//! The system calls that an engine may make (seccomp(2)).
//!
//! Found by tracing both engines through the tests of audit logs, collections, responses, uploads and rules; what is there
//! beyond that has its reason beside it. Any other call is not made: the engine says which it was and ends
//! ([`crate::ffi::forbidden_call`]).

use std::collections::BTreeMap;
use std::io;

use nix::libc::{self, c_long};
use nix::unistd::Pid;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::Width;

/// Calls, and for each the arguments under which a filter means it; without any it always does.
type Calls = BTreeMap<c_long, Vec<SeccompRule>>;

/// Memory, time, and the end of the process.
const ITSELF: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    // The action `pause` of ModSecurity 2.
    libc::SYS_pselect6,
    // A sleep that SIGSTOP and SIGCONT interrupt goes on by it.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    // malloc(3) asks for the number of cores, qsort(3) for the size of the memory.
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_mmap,
];

/// Files: which, the kernel's Landlock and the user's rights say.
const FILES: &[c_long] = &[
    libc::SYS_close,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_getcwd,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    // An upload that is kept.
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The older forms of the same.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// What the resolver needs to ask name servers.
const NETWORK: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// What no program that a rule may run needs, and what reaches into other processes or the kernel.
const HARMFUL: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Filters the system calls of the calling process, whose number is `own`, for good.
///
/// # Errors
/// When the kernel refuses a filter.
pub(super) fn filter(width: Width, own: Pid) -> io::Result<()> {
    let refused = SeccompAction::Errno(libc::EACCES as u32);
    let programs = match width {
        Width::Programs => vec![program(harmful()?, SeccompAction::Allow, SeccompAction::Trap)?],
        // Of two filters the stricter answer counts.
        Width::Network | Width::Narrow => vec![
            program(refused_quietly(width)?, SeccompAction::Allow, refused)?,
            program(allowed(width, own)?, SeccompAction::Trap, SeccompAction::Allow)?,
        ],
    };
    programs.iter().try_for_each(|program| apply_filter(program).map_err(io::Error::other))
}

/// What an engine may do.
fn allowed(width: Width, own: Pid) -> io::Result<Calls> {
    let network = if width == Width::Network { NETWORK } else { &[] };
    let always = [ITSELF, FILES, OLDER, network].concat();
    let mut calls: Calls = always.into_iter().map(|call| (call, Vec::new())).collect();
    // abort(3) sends its signal so. To itself an engine may send any.
    let own = own.as_raw() as u64;
    calls.insert(libc::SYS_tgkill, vec![when(0, Dword, Eq, own)?]);
    // Locks of files, and what is asked when one is opened; not the flag by which a log is only ever appended to.
    let locks = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_GETLK, libc::F_SETLK, libc::F_SETLKW];
    let commands = locks.iter().map(|command| when(1, Dword, Eq, *command as u64));
    calls.insert(libc::SYS_fcntl, commands.collect::<io::Result<_>>()?);
    // Whether it is a terminal.
    let mut questions = vec![when(1, Dword, Eq, libc::TCGETS)?];
    if width == Width::Network {
        // The resolver asks how long an answer is.
        questions.push(when(1, Dword, Eq, libc::FIONREAD)?);
    }
    calls.insert(libc::SYS_ioctl, questions);
    // The mode of an upload, which nobody else may write or run with another's rights.
    calls.insert(libc::SYS_fchmod, vec![when(1, Dword, MaskedEq(0o7022), 0)?]);
    // The C library gives names to its memory.
    calls.insert(libc::SYS_prctl, vec![when(0, Dword, Eq, libc::PR_SET_VMA as u64)?]);
    let families = match width {
        Width::Network => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK][..],
        _ => &[libc::AF_UNIX],
    };
    let families = families.iter().map(|family| when(0, Dword, Eq, *family as u64));
    calls.insert(libc::SYS_socket, families.collect::<io::Result<_>>()?);
    Ok(calls)
}

/// What engines try, and can do without: they are told so, and go on.
fn refused_quietly(width: Width) -> io::Result<Calls> {
    // The C library asks a cache (nscd) who a user is, before it reads /etc/passwd.
    let mut calls = Calls::from([(libc::SYS_socket, vec![when(0, Dword, Eq, libc::AF_UNIX as u64)?])]);
    // No limit counts memory that is shared. APR would map files so, and reads them instead.
    let shared = MaskedEq(libc::MAP_SHARED as u64);
    let mut maps = vec![when(3, Dword, shared, libc::MAP_SHARED as u64)?];
    // Regular expressions that are made for one request are interpreted. The resolver may load libraries.
    if width == Width::Narrow {
        let executable = || when(2, Dword, MaskedEq(libc::PROT_EXEC as u64), libc::PROT_EXEC as u64);
        maps.push(executable()?);
        calls.insert(libc::SYS_mprotect, vec![executable()?]);
    }
    calls.insert(libc::SYS_mmap, maps);
    Ok(calls)
}

fn harmful() -> io::Result<Calls> {
    // The bit by which x86-64 knows the calls of its x32 form.
    const X32: c_long = 1 << 30;
    let forms = if cfg!(target_arch = "x86_64") { &[0, X32][..] } else { &[0] };
    let all = HARMFUL.iter().flat_map(|call| forms.iter().map(move |form| (call | form, Vec::new())));
    Ok(all.collect())
}

/// The condition that this argument of a call is so.
fn when(argument: u8, size: SeccompCmpArgLen, is: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, size, is, value).map_err(failed)?;
    SeccompRule::new(vec![condition]).map_err(failed)
}

fn program(calls: Calls, otherwise: SeccompAction, then: SeccompAction) -> io::Result<BpfProgram> {
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    SeccompFilter::new(calls, otherwise, then, machine).and_then(BpfProgram::try_from).map_err(failed)
}

fn failed(error: BackendError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_small_enough_for_the_kernel() {
        // BPF_MAXINSNS.
        for width in [Width::Narrow, Width::Network] {
            let calls = allowed(width, Pid::from_raw(1)).unwrap();
            assert!(program(calls, SeccompAction::Trap, SeccompAction::Allow).unwrap().len() < 4096);
        }
        assert!(program(harmful().unwrap(), SeccompAction::Allow, SeccompAction::Trap).unwrap().len() < 4096);
    }
}
