//! The environment: which variables belong to options, and which were probably meant to.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::BadOption;
use super::arguments::{Kind, OPTIONS};
use super::{listen, log};
use crate::rules::check::suggestion::closest;

/// The prefix of the program's environment variables.
const PREFIX: &str = "MODSECURITY_SPOA_";

/// The variable of an option.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

/// A variable that has the program's prefix but belongs to no option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name. Bytes that are not UTF-8 are replaced in it.
    pub name: String,
    /// The variable of an option with nearly the same name.
    pub similar: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown environment variable {}", self.name.escape_debug())?;
        self.similar.iter().try_for_each(|similar| write!(f, ", did you mean {similar}?"))
    }
}

/// The variables with the program's prefix, by their names with it.
pub(super) struct Found(HashMap<OsString, OsString>);

/// Finds the variables with the program's prefix.
pub(super) fn with_prefix(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Found {
    let ours = environment.into_iter().filter(|(name, _)| name.as_bytes().starts_with(PREFIX.as_bytes()));
    // For a service called modsecurity-spoa Kubernetes sets MODSECURITY_SPOA_PORT=tcp://…, which is not the option --port.
    let port = variable("port");
    Found(ours.filter(|(name, value)| *name != *port || !value.to_string_lossy().contains("://")).collect())
}

impl Found {
    /// The value of the variable of this option.
    pub(super) fn peek(&self, name: &str) -> Option<OsString> {
        self.0.get(OsStr::new(&variable(name))).cloned()
    }

    /// Has these variables take the place of those of the same names.
    pub(super) fn count_before(&mut self, variables: Vec<(OsString, OsString)>) {
        self.0.extend(with_prefix(variables).0);
    }

    /// Takes the variable of this option out, and returns its value.
    pub(super) fn take(&mut self, name: &str) -> Option<OsString> {
        self.0.remove(OsStr::new(&variable(name)))
    }

    /// The variables that nobody took, in alphabetical order.
    pub(super) fn unknown(self) -> Vec<UnknownVariable> {
        let names = self.0.into_keys().map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !is_of_kubernetes(name)).collect();
        names.sort();
        names.into_iter().map(|name| UnknownVariable { similar: similar(&name), name }).collect()
    }
}

/// Whether Kubernetes sets this variable for a service called modsecurity-spoa.
fn is_of_kubernetes(name: &str) -> bool {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    name.starts_with("PORT_") || name.starts_with("SERVICE_")
}

/// The variable of the option that was probably meant.
fn similar(name: &str) -> Option<String> {
    let option = name.strip_prefix(PREFIX)?.replace('_', "-");
    closest(&option, OPTIONS.iter().map(|(known, _)| *known)).map(variable)
}

/// The options that the environment gives.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<&'static str>);

impl Variables {
    /// Notes that the environment gives this option.
    pub(super) fn gives(&mut self, name: &'static str) {
        self.0.push(name);
    }

    /// The error, with the variable named in front instead of the option that it gives.
    pub(super) fn blamed(&self, BadOption(cause): BadOption) -> BadOption {
        BadOption(self.named(cause))
    }

    /// The text, with the variable in front instead of the option that it gives.
    pub(super) fn named(&self, text: String) -> String {
        let named = self.0.iter().find_map(|&name| {
            let rest = text.strip_prefix("--")?.strip_prefix(name)?;
            let ends = rest.is_empty() || rest.starts_with([':', ' ']);
            ends.then(|| format!("{}{rest}", variable(name)))
        });
        named.unwrap_or(text)
    }
}

/// The command-line arguments that mean the same as the variable of option `name`.
///
/// # Errors
/// When the variable of a switch is neither 1 nor 0.
pub(super) fn spelled_out(name: &str, kind: Kind, value: &OsStr) -> Result<Vec<OsString>, BadOption> {
    let option = format!("--{name}");
    // In one word where the value begins with a hyphen, which clap would take for another option's; in two words
    // otherwise, as clap leaves out an equals sign at the beginning of a value.
    let with = |value: &[u8]| match value.first() {
        Some(b'-') => vec![OsString::from_vec([option.as_bytes(), b"=", value].concat())],
        _ => vec![OsString::from(&option), OsString::from_vec(value.to_vec())],
    };
    match kind {
        Kind::Value => Ok(with(value.as_bytes())),
        Kind::List => {
            let mut items = Vec::<Vec<u8>>::new();
            for part in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                match items.last_mut().filter(|_| is_attribute(name, part)) {
                    Some(item) => item.extend([b",", part].concat()),
                    None if part.is_empty() => {}
                    None => items.push(part.to_vec()),
                }
            }
            Ok(items.iter().flat_map(|item| with(item)).collect())
        }
        Kind::Switch => match value.to_string_lossy().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(vec![OsString::from(option)]),
            "" | "0" | "false" | "no" | "off" => Ok(vec![]),
            other => Err(BadOption(format!("{}: {other:?} is neither 1 nor 0", variable(name)))),
        },
    }
}

/// Whether a part between two commas belongs to the item before it.
fn is_attribute(name: &str, part: &[u8]) -> bool {
    match name {
        "log" => part.starts_with(log::ATTRIBUTE.as_bytes()),
        "listen" => listen::ATTRIBUTES.iter().any(|attribute| part.starts_with(attribute.as_bytes())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_path_of_a_socket_is_no_item_of_its_own() {
        let value = OsStr::new("unix:/run/x, mode=666,,127.0.0.1:1,unix@/run/y,user=root,group=root");
        let words = spelled_out("listen", Kind::List, value).unwrap();
        let items: Vec<_> = words.iter().skip(1).step_by(2).collect();
        assert_eq!(items, ["unix:/run/x,mode=666", "127.0.0.1:1", "unix@/run/y,user=root,group=root"]);
    }

    #[test]
    fn a_slip_finds_what_was_meant() {
        for (written, meant) in [
            ("MODSECURITY_SPOA_WORKER", Some("MODSECURITY_SPOA_WORKERS")),
            ("MODSECURITY_SPOA_WORKRES", Some("MODSECURITY_SPOA_WORKERS")),
            ("MODSECURITY_SPOA_ON-ERROR", Some("MODSECURITY_SPOA_ON_ERROR")),
            ("MODSECURITY_SPOA_port", Some("MODSECURITY_SPOA_PORT")),
            ("MODSECURITY_SPOA_RULE", Some("MODSECURITY_SPOA_RULES")),
            ("MODSECURITY_SPOA_SOMETHING", None),
        ] {
            assert_eq!(similar(written).as_deref(), meant, "{written}");
        }
    }
}
