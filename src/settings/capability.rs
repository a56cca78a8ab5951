//! `-c`: which capabilities to announce.

use actors::spop::hello::Capabilities;

use super::BadOption;

/// Without any name all but `async`, which has its price (deploy/guide/links.md), otherwise just those named.
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
