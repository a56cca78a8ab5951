//! The settings of the process itself: background, number in a file, user and group, root of its files.

use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

use super::BadOption;
use super::arguments::Arguments;
use super::listen::ListenAddress;
use crate::isolation::process::sandbox::Ids;

/// The settings of the process itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The agent runs in the background (`--daemon`).
    pub daemon: bool,
    /// The file for the number of the process (`--pid-file`).
    pub pid_file: Option<PathBuf>,
    /// Who the process becomes once its addresses are bound (`--user`, `--group`).
    pub identity: Option<Identity>,
    /// The folder that becomes the root of all files (`--chroot`).
    pub chroot: Option<PathBuf>,
}

/// Who a process becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user; that of the process when only a group was chosen.
    pub user: Uid,
    /// The group.
    pub group: Gid,
    /// The user's name, if it has one: the further groups of a user are found by it.
    pub name: Option<String>,
}

impl Identity {
    /// Whether this is another user or group than that of the process.
    #[must_use]
    pub fn is_another(&self) -> bool {
        self.user != geteuid() || self.group != getegid()
    }
}

/// Checks the options of the process, for one that listens on these addresses.
///
/// # Errors
/// The first of these options that is wrong.
pub(super) fn check(arguments: &Arguments, listen: &[ListenAddress]) -> Result<ProcessSettings, BadOption> {
    let identity = identity(arguments.user.as_deref(), arguments.group.as_deref())?;
    if identity.as_ref().is_some_and(|identity| !identity.user.is_root()) && arguments.engine_user.is_some() {
        let cause =
            "--engine-user: an agent that becomes another user (--user) cannot give engines a third one";
        return Err(BadOption(cause.to_owned()));
    }
    if arguments.chroot.is_some() && arguments.isolation.as_deref() == Some("thread") {
        let cause =
            "--chroot: with --isolation thread each reload starts the program anew, and it is not in there";
        return Err(BadOption(cause.to_owned()));
    }
    if let Some(option) = [("--daemon", arguments.daemon), ("--chroot", arguments.chroot.is_some())]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    {
        are_absolute(arguments, listen, option)?;
    }
    Ok(ProcessSettings {
        daemon: arguments.daemon,
        pid_file: arguments.pid_file.clone(),
        identity,
        chroot: arguments.chroot.clone(),
    })
}

/// Checks that all files are named from the root on, as the folder of the process becomes `/` because of `option`.
///
/// # Errors
/// The first file that is not.
fn are_absolute(arguments: &Arguments, listen: &[ListenAddress], option: &str) -> Result<(), BadOption> {
    let rules = arguments.rules.iter().map(|path| ("--rules", path.clone()));
    let applications = super::app::parse_all(&arguments.app)?;
    let applications = applications.into_iter().flat_map(|(_, files)| files).map(|path| ("--app", path));
    let sockets = listen.iter().filter_map(|address| match address {
        ListenAddress::Unix(socket) => Some(("--listen", socket.path.clone())),
        ListenAddress::Tcp(_) => None,
    });
    let certificates = arguments.tls.as_deref().map(super::tls::parse).transpose()?;
    let certificates = certificates
        .into_iter()
        .flat_map(|files| [Some(files.certificate), Some(files.key), files.client_ca].into_iter().flatten());
    let rules = rules.chain(certificates.map(|path| ("--tls", path)));
    let others = [
        ("--apps", &arguments.apps),
        ("--block-page", &arguments.block_page),
        ("--pid-file", &arguments.pid_file),
        ("--chroot", &arguments.chroot),
    ];
    let others = others.into_iter().filter_map(|(name, path)| Some((name, path.clone()?)));
    for (name, path) in rules.chain(applications).chain(sockets).chain(others) {
        if !path.is_absolute() {
            let path: &Path = &path;
            return Err(BadOption(format!(
                "{name}: {path:?} does not begin with /, and with {option} the agent's folder becomes /"
            )));
        }
    }
    Ok(())
}

/// Who the process becomes.
///
/// # Errors
/// When there is no such user or group, or the process may not become it.
fn identity(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, BadOption> {
    let found = match user {
        Some(name) => {
            Some(Ids::find(name).ok_or_else(|| BadOption(format!("--user: there is no user {name:?}")))?)
        }
        None => None,
    };
    let chosen = match group {
        Some(name) => {
            Some(find_group(name).ok_or_else(|| BadOption(format!("--group: there is no group {name:?}")))?)
        }
        None => None,
    };
    if found.is_none() && chosen.is_none() {
        return Ok(None);
    }
    let user_id = found.map_or_else(geteuid, |ids| ids.user);
    let group_id = chosen.or(found.map(|ids| ids.group)).unwrap_or_else(getegid);
    let name = User::from_uid(user_id).ok().flatten().map(|user| user.name);
    let identity = Identity { user: user_id, group: group_id, name };
    if identity.is_another() && !geteuid().is_root() {
        let (option, value) = user.map_or(("--group", group), |user| ("--user", Some(user)));
        return Err(BadOption(format!(
            "{option}: only an agent that starts as root can become {:?}",
            value.unwrap_or_default()
        )));
    }
    Ok(Some(identity))
}

/// The group of this name or number.
pub(super) fn find_group(name: &str) -> Option<Gid> {
    match name.parse() {
        Ok(number) => Some(Gid::from_raw(number)),
        Err(_) => Some(Group::from_name(name).ok()??.gid),
    }
}
