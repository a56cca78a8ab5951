//! `--app`: applications and their rule files, as `NAME=FILE`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::BadOption;
use crate::rules::sources::is_name_of_application;

/// Groups the rule files by application, in the order in which the names first appear.
///
/// # Errors
/// When an argument is not `NAME=FILE`, or the name has other than printable ASCII characters.
pub(super) fn parse_all(args: &[OsString]) -> Result<Vec<(String, Vec<PathBuf>)>, BadOption> {
    let mut applications = Vec::<(String, Vec<PathBuf>)>::new();
    for arg in args {
        let (name, file) = parse(arg).ok_or_else(|| {
            BadOption(format!("--app: {arg:?} is not NAME=FILE, with a name of printable characters"))
        })?;
        match applications.iter_mut().find(|(known, _)| *known == name) {
            Some((_, files)) => files.push(file),
            None => applications.push((name, vec![file])),
        }
    }
    Ok(applications)
}

fn parse(arg: &OsStr) -> Option<(String, PathBuf)> {
    let bytes = arg.as_bytes();
    let (name, file) = bytes.split_at_checked(bytes.iter().position(|&byte| byte == b'=')?)?;
    let file = file.get(1..).filter(|file| !file.is_empty())?;
    let name = std::str::from_utf8(name).ok()?;
    is_name_of_application(name).then(|| (name.to_owned(), OsString::from_vec(file.to_vec()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_go_together() {
        let args = ["shop=a.conf", "blog=b=c.conf", "shop=d.conf"].map(OsString::from);
        let expected = vec![
            ("shop".to_owned(), vec!["a.conf".into(), "d.conf".into()]),
            ("blog".to_owned(), vec!["b=c.conf".into()]),
        ];
        assert_eq!(parse_all(&args), Ok(expected));
        for bad in ["shop", "=a.conf", "shop=", "a b=c", ""] {
            assert!(parse_all(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
