//! `--capability`: which capabilities to announce.

use actors::spop::hello::Capabilities;

use super::BadOption;

/// Returns the named capabilities; without names, pipelining and fragmentation. `async` must be named: with it, HAProxy
/// notices later that a link has ended, and a HAProxy that ends after a reload no longer has every request inspected.
///
/// # Errors
/// When a name is not one of the capabilities that this version has.
pub(super) fn parse_all(names: &[String]) -> Result<Capabilities, BadOption> {
    if names.is_empty() {
        return Ok(Capabilities { asynchronous: false, ..Capabilities::ALL });
    }
    let mut found = Capabilities::default();
    for name in names {
        if !found.insert(name) {
            let known = Capabilities::NAMES.join(", ");
            return Err(BadOption(format!(
                "--capability: {name:?} is not one that this version has ({known})"
            )));
        }
    }
    Ok(found)
}
