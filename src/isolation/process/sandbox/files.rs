//! The files that an engine may open, and the rest that Landlock (landlock(7)) can refuse, as far as the kernel has it.
//!
//! What the zygote opened stays open, the logs among that: an engine can append to them, and open none again.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};

use super::Width;
use crate::rules::directives::needs::{Content, Needs};

/// The newest version of which all restrictions are used, if the kernel has them.
const VERSION: ABI = ABI::V6;

/// What libraries read at any time: who a user is, what time it is here, random numbers. An XML document may be in any
/// encoding: where libxml2 was built without ICU (Debian 13), the C library loads the module of that encoding.
const READABLE: &[&str] = &[
    "/etc/group",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/usr/lib/gconv",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu/gconv",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu/gconv",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/urandom",
];

/// What the resolver reads besides, the libraries that it loads among that.
const READABLE_WITH_NETWORK: [&str; 5] = ["/etc", "/lib", "/lib64", "/usr/lib", "/run/systemd/resolve"];

/// Where name servers listen.
const DNS: u16 = 53;

/// Confines the calling process to the files that the rules need, for good. Does nothing on a kernel without Landlock.
///
/// # Errors
/// When the kernel has it and refuses.
pub(super) fn confine(width: Width, needs: &Needs) -> io::Result<()> {
    restrict(width, needs).map_err(io::Error::other)
}

fn restrict(width: Width, needs: &Needs) -> Result<(), RulesetError> {
    let ruleset = Ruleset::default().scope(Scope::from_all(VERSION))?;
    // Whoever writes a program for a rule decides on its files.
    if width == Width::Programs {
        ruleset.create()?.restrict_self()?;
        return Ok(());
    }
    let ruleset = ruleset.handle_access(AccessFs::from_all(VERSION))?;
    let mut ruleset = ruleset.handle_access(AccessNet::from_all(VERSION))?.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in READABLE {
        ruleset = allow(ruleset, Path::new(path), read)?;
    }
    for folder in &needs.read {
        ruleset = allow(ruleset, folder, read)?;
    }
    for folder in &needs.folders {
        ruleset = allow(ruleset, &folder.path, written(folder.content))?;
    }
    if width == Width::Network {
        for path in READABLE_WITH_NETWORK {
            ruleset = allow(ruleset, Path::new(path), read | AccessFs::Execute)?;
        }
        ruleset = ruleset.add_rule(NetPort::new(DNS, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()?;
    Ok(())
}

/// What engines do in a folder: nothing that they have written can be removed but bodies.
fn written(content: Content) -> BitFlags<AccessFs> {
    match content {
        Content::AuditRecords => {
            make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir})
        }
        Content::Collections => make_bitflags!(AccessFs::{ReadFile | WriteFile | MakeReg}),
        Content::Bodies => {
            make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | MakeReg | RemoveFile | Refer})
        }
    }
}

/// Allows this in a file or folder, and below. What is not there, and what cannot be found, is not allowed.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(found) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(VERSION) };
    ruleset.add_rule(PathBeneath::new(found, access))
}
