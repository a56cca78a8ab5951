//! What an engine process may still do once it has seen a request: whoever takes it over must reach nothing.
//!
//! The zygote works out what the rules need and tells the front what that means (`Sandbox::plan`). Each engine gives up
//! the rest before its first request (`Sandbox::enter`): the agent's user where that is root, its capabilities, new
//! privileges, memory and descriptors beyond a limit, files (Landlock) and system calls (seccomp). None of it can be had
//! back, and none costs a request anything.

mod calls;
mod files;
mod missing;
mod names;
mod notice;
mod settings;
mod user;

use std::fs;
use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::ffi::forbidden_call;
use crate::modsecurity::parked::RetentionLimits;
use crate::rules::directives::needs::Needs;
pub(super) use missing::can_filter_calls;
pub(crate) use missing::describe;
pub(super) use names::name_of;
pub(super) use notice::Notice;
pub use settings::{EngineUser, Ids, SandboxSettings};

/// Bytes of memory that an engine may have beyond the zygote's: some hundred times what the largest request takes.
const MEMORY: u64 = 1 << 30;

/// The same for each transaction that may wait for its response; twice what the largest seen takes.
const MEMORY_EACH: u64 = 8 << 20;

/// Descriptors that an engine may open: a record of the audit log, two files of each collection, uploaded files.
const FILES: u64 = 64;

/// What is added to the front's `oom_score_adj`: of all that the agent runs, an engine costs least.
const OOM_SCORE: i32 = 500;

/// How much the rules leave open to engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// Their own memory, and files where the rules have them.
    Narrow,
    /// Servers too.
    Network,
    /// Programs that rules run: the system calls that harm others are refused, the rest is theirs.
    Programs,
}

/// The sandbox of the engines of one zygote.
#[derive(Debug)]
pub(super) struct Sandbox {
    is_on: bool,
    width: Width,
    needs: Needs,
    user: Option<Ids>,
    memory: u64,
    files: u64,
    oom_score: i32,
}

impl Sandbox {
    /// The sandbox for engines with rules that need this, and what the operator is to know of it. The calling process, the
    /// zygote, can have no more capabilities from now on than it has, nor can its children.
    ///
    /// # Errors
    /// When the user of `--engine-user` cannot be taken, or /proc not be read.
    pub(super) fn plan(
        needs: Needs,
        settings: SandboxSettings,
        bounds: RetentionLimits,
    ) -> io::Result<(Self, Vec<Notice>)> {
        let width = match (&needs.programs, &needs.network) {
            (Some(_), _) => Width::Programs,
            (None, Some(_)) => Width::Network,
            (None, None) => Width::Narrow,
        };
        let mut notices = Vec::new();
        let (mut user, mut memory, mut files, mut oom_score) = (None, 0, 0, 0);
        if settings.is_on {
            // Neither the zygote nor what it forks starts a program that is to have more rights than it has itself.
            drop_bounding_set()?;
            set_no_new_privs(true)?;
            let widens = |cause, programs| Notice::Widened { cause, programs };
            notices.extend(needs.programs.clone().map(|cause| widens(cause, true)));
            notices.extend(needs.network.clone().map(|cause| widens(cause, false)));
            user = user::choose(settings.user, &needs, &mut notices)?;
            needs.folders.iter().for_each(|folder| user::make_folder(&folder.path, user));
            memory = data_size()? + MEMORY + bounds.count as u64 * MEMORY_EACH;
            files = highest_descriptor()? + FILES;
            oom_score = (own_oom_score()? + OOM_SCORE).min(1000);
        }
        Ok((Self { is_on: settings.is_on, width, needs, user, memory, files, oom_score }, notices))
    }

    /// Confines the calling process, an engine of this zygote's that has seen no request, and has the kernel end it with the
    /// zygote.
    ///
    /// # Errors
    /// When something fails that this kernel can do: then there must be no engine.
    pub(super) fn enter(&self, zygote: Pid) -> io::Result<()> {
        if self.is_on {
            self.give_up_rights()?;
        }
        // A change of the user takes this wish back, so it comes after that.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != zygote {
            // Nobody will send the signal.
            return Err(io::Error::other("its zygote is gone"));
        }
        if self.is_on {
            files::confine(self.width, &self.needs)?;
            if can_filter_calls() {
                forbidden_call::tell()?;
                calls::filter(self.width, getpid())?;
            }
        }
        Ok(())
    }

    fn give_up_rights(&self) -> io::Result<()> {
        // Only root may write that of a process that is not dumpable, and this one stops being root's.
        prctl::set_dumpable(true)?;
        // Kernels without it have no killer to be told.
        let _ = fs::write("/proc/self/oom_score_adj", self.oom_score.to_string());
        self.limit()?;
        if let Some(user) = self.user {
            user::become_user(user)?;
        }
        drop_capabilities()?;
        Ok(prctl::set_dumpable(false)?)
    }

    fn limit(&self) -> io::Result<()> {
        lower(Resource::RLIMIT_DATA, self.memory)?;
        lower(Resource::RLIMIT_NOFILE, self.files)?;
        if self.width != Width::Programs {
            lower(Resource::RLIMIT_NPROC, 0)?;
        }
        Ok(())
    }
}

/// Sets both limits to a value, or leaves them where they are lower.
fn lower(resource: Resource, value: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let value = value.min(hard);
    setrlimit(resource, value, value)
}

/// Gives up all capabilities. Where there are none, the call for it may be forbidden (`SystemCallFilter=` of systemd).
fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let own = capabilities(None)?;
    if [own.effective, own.permitted, own.inheritable] == [none; 3] {
        return Ok(());
    }
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// Makes sure that no program can give capabilities back. Without the right to do so there are none to be had.
fn drop_bounding_set() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel does not know.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(rustix::io::Errno::PERM) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Bytes of data that this process has, as RLIMIT_DATA counts them.
fn data_size() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmData:")?.strip_suffix(" kB"));
    let kibibytes: Option<u64> = size.and_then(|size| size.trim().parse().ok());
    Ok(kibibytes.ok_or(io::ErrorKind::InvalidData)? * 1024)
}

fn highest_descriptor() -> io::Result<u64> {
    let names = fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or_default())
}

fn own_oom_score() -> io::Result<i32> {
    let score = fs::read_to_string("/proc/self/oom_score_adj")?;
    score.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
