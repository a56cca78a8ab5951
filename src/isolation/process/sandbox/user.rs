//! The user whose processes engines are, when the agent runs as root.
//!
//! Files that are opened while the rules are loaded stay open: engines write to those without a right of their own. What
//! engines make themselves (a record of the audit log in a file of its own, collections, uploads) they make as that user,
//! so the folders must be its. Where they are not, a running set-up must not lose records for an option that nobody gave.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{geteuid, setgroups, setresgid, setresuid};

use super::notice::Notice;
use super::settings::{EngineUser, Ids};
use crate::ffi::processes;
use crate::rules::directives::needs::{Content, Folder, Needs};

/// The user that engines change to; `None`: they keep the agent's.
///
/// # Errors
/// When it is one that the operator chose, and the kernel refuses it.
pub(super) fn choose(
    wanted: EngineUser,
    needs: &Needs,
    notices: &mut Vec<Notice>,
) -> io::Result<Option<Ids>> {
    let (ids, is_chosen) = match wanted {
        EngineUser::Own => return Ok(None),
        EngineUser::Default(ids) => (ids, false),
        EngineUser::Chosen(ids) => (ids, true),
    };
    if ids.user == geteuid() {
        return Ok(None);
    }
    let user = ids.to_string();
    if let Err(error) = rehearse(ids) {
        if is_chosen {
            return Err(io::Error::new(error.kind(), format!("engines cannot run as {user}: {error}")));
        }
        notices.push(Notice::KeepsUser { user, cause: error.to_string() });
        return Ok(None);
    }
    let foreign: Vec<_> = needs.folders.iter().filter_map(|folder| not_writable(folder, ids)).collect();
    if is_chosen {
        notices.extend(foreign.into_iter().map(|path| Notice::NotWritable { user: user.clone(), path }));
        return Ok(Some(ids));
    }
    if let Some(path) = foreign.first() {
        let cause = format!("{} is not its to write", path.display());
        notices.push(Notice::KeepsUser { user, cause });
        return Ok(None);
    }
    if let Some(programs) = &needs.programs {
        let cause = format!("{} at {} may need the agent's user", programs.what, programs.place);
        notices.push(Notice::KeepsUser { user, cause });
        return Ok(None);
    }
    Ok(Some(ids))
}

/// Makes a folder that engines would make themselves, but cannot, as they write in no other. It is the engines' own.
pub(super) fn make_folder(path: &Path, user: Option<Ids>) {
    if std::fs::create_dir(path).is_ok() {
        // Whatever fails here, engines say when they write.
        let ids = user.map(|user| (user.user.as_raw(), user.group.as_raw()));
        let _ = ids.map(|(user, group)| std::os::unix::fs::chown(path, Some(user), Some(group)));
    }
}

/// Makes the calling process that user's, for good.
pub(super) fn become_user(ids: Ids) -> nix::Result<()> {
    setgroups(&[])?;
    setresgid(ids.group, ids.group, ids.group)?;
    setresuid(ids.user, ids.user, ids.user)
}

/// Whether a process of this zygote's can become that user: a container may lack the right, or the user.
fn rehearse(ids: Ids) -> io::Result<()> {
    let child = processes::fork_into(|| become_user(ids).map_or_else(|errno| errno as i32, |()| 0))?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno).into()),
        _ => Err(io::Error::other("the process that tried ended")),
    }
}

/// What in a folder, or the folder itself, that user cannot write, though engines would.
fn not_writable(folder: &Folder, ids: Ids) -> Option<PathBuf> {
    if !may_write(&folder.path, ids) {
        return Some(folder.path.clone());
    }
    let entries = folder.path.read_dir().ok()?.flatten().map(|entry| entry.path());
    let mut concerned = entries.filter(|path| match folder.content {
        Content::AuditRecords => path.is_dir(),
        Content::Collections => path.extension().is_some_and(|name| name == "pag" || name == "dir"),
        Content::Bodies => false,
    });
    concerned.find(|path| !may_write(path, ids))
}

/// Whether the mode of a file or folder lets that user write. What is not there cannot be missing, either.
fn may_write(path: &Path, ids: Ids) -> bool {
    let Ok(found) = path.metadata() else { return true };
    let shift = match (found.uid() == ids.user.as_raw(), found.gid() == ids.group.as_raw()) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    found.mode() >> shift & 0o2 != 0
}
