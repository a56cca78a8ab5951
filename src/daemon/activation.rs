//! Socket activation, as sd_listen_fds(3) describes it: the service manager has bound the sockets, and passes them on from
//! descriptor 3.

use std::env;

use super::inherited::{Bound, InheritError};
use crate::ffi::descriptor::adopt;

/// The number of the first descriptor.
const FIRST: i32 = 3;

/// The most sockets that are taken over.
const MOST: i32 = 256;

/// The variables by which the manager says which descriptors there are. They are for this process and no child of it.
pub(crate) const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Takes over the sockets that the service manager passes on; none without a manager.
///
/// To be called once, before this process opens anything.
///
/// # Errors
/// The first descriptor that is no listening socket, with its name.
pub(crate) fn received() -> Result<Vec<Bound>, InheritError> {
    let is_own = env::var(VARIABLES[0]).is_ok_and(|pid| pid == std::process::id().to_string());
    let count = env::var(VARIABLES[1]).ok().and_then(|count| count.parse().ok()).filter(|_| is_own);
    let names = env::var(VARIABLES[2]).unwrap_or_default();
    let mut names = names.split(':');
    let numbers = FIRST..FIRST + count.unwrap_or(0).clamp(0, MOST);
    let take = |number| {
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
        let taken = adopt(number).and_then(|descriptor| Bound::inherit(descriptor, true));
        taken.map_err(|cause| InheritError {
            whose: format!("descriptor {number} of the service manager ({})", name.escape_debug()),
            cause,
        })
    };
    numbers.map(take).collect()
}
