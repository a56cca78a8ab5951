//! `--name`: what HAProxy finds the agent by that has a request's transaction.

use rustix::system::uname;

use super::{BadOption, ListenAddress};

/// The longest name in bytes: HAProxy's rules compare it, and every answer has it.
const LONGEST: usize = 64;

/// Returns this name; without one, that of the host and of the first address to listen on, with `_` for what a name of a server
/// in HAProxy's configuration cannot have (`[A-Za-z0-9_:.-]`).
///
/// # Errors
/// When the name is empty, too long, or has other characters.
pub(super) fn parse(name: Option<&str>, listen: &[ListenAddress]) -> Result<String, BadOption> {
    let Some(name) = name else {
        let host = uname().nodename().to_string_lossy().into_owned();
        let end = match listen.first() {
            Some(ListenAddress::Tcp(address)) => address.port().to_string(),
            Some(ListenAddress::Unix(socket)) => {
                socket.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            None => String::new(),
        };
        let whole = format!("{host}:{end}");
        return Ok(whole.chars().map(|c| if is_in_names(c) { c } else { '_' }).take(LONGEST).collect());
    };
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(is_in_names) {
        return Err(BadOption(format!(
            "--name: {name:?} is not 1 to {LONGEST} letters, digits, or any of _ : . -"
        )));
    }
    Ok(name.to_owned())
}

fn is_in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_:.-".contains(c)
}
