//! What the process gives up once its addresses are bound: the files outside of a folder (`--chroot`), and the user that
//! started it (`--user`, `--group`).
//!
//! Both come before the rules are read and the first thread starts. So the zygote, which reads the rules and opens audit
//! logs, has the same user and sees the same files at the start and at each reload: what would fail at a reload fails at
//! the start.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{chdir, chroot, initgroups, setgroups, setresgid, setresuid};

use crate::settings::{Identity, ProcessSettings};

/// Why the process keeps what it was to give up.
#[derive(Debug)]
pub(crate) enum PrivilegesError {
    /// The folder cannot become the root of all files.
    Root(PathBuf, io::Error),
    /// The process cannot become that user or group.
    Identity(Identity, io::Error),
}

impl fmt::Display for PrivilegesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(folder, cause) => {
                write!(f, "cannot make {} the root of all files (--chroot): {cause}", folder.display())
            }
            Self::Identity(Identity { user, group, .. }, cause) => {
                write!(f, "cannot become user {user} and group {group} (--user, --group): {cause}")
            }
        }
    }
}

impl std::error::Error for PrivilegesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Root(_, cause) | Self::Identity(_, cause) => Some(cause),
        }
    }
}

/// Gives them up, for good.
///
/// # Errors
/// When the system refuses; the process must not go on then, as it may have given up a part.
pub(crate) fn give_up(settings: &ProcessSettings) -> Result<(), PrivilegesError> {
    if let Some(folder) = &settings.chroot {
        enter(folder).map_err(|cause| PrivilegesError::Root(folder.clone(), cause))?;
    }
    match &settings.identity {
        Some(identity) => {
            become_other(identity).map_err(|errno| PrivilegesError::Identity(identity.clone(), errno.into()))
        }
        None => Ok(()),
    }
}

/// Makes the folder the root of all files, unless it is that already: that needs no right.
fn enter(folder: &Path) -> io::Result<()> {
    if folder.canonicalize()? != Path::new("/") {
        chroot(folder)?;
    }
    Ok(chdir("/")?)
}

/// Becomes that user and that group, with the further groups that the system has for the user.
fn become_other(identity: &Identity) -> nix::Result<()> {
    if !identity.is_another() {
        return Ok(());
    }
    match identity.name.as_deref().map(CString::new) {
        Some(Ok(name)) => initgroups(&name, identity.group)?,
        _ => setgroups(&[identity.group])?,
    }
    setresgid(identity.group, identity.group, identity.group)?;
    setresuid(identity.user, identity.user, identity.user)
}

/// The path of a file after `root` has become the root of all files; `None` for a file outside.
pub(crate) fn path_within(root: &Path, path: &Path) -> Option<PathBuf> {
    Some(Path::new("/").join(path.strip_prefix(root).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_another_one_within_a_root() {
        let within = |root: &str, path: &str| path_within(Path::new(root), Path::new(path));
        assert_eq!(within("/srv/waf", "/srv/waf/run/a.sock"), Some("/run/a.sock".into()));
        assert_eq!(within("/", "/run/a.sock"), Some("/run/a.sock".into()));
        assert_eq!(within("/srv/waf", "/run/a.sock"), None);
        assert_eq!(within("/srv/waf", "/srv/waffle/a.sock"), None);
    }
}
