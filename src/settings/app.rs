//! Applications and their rule files: `NAME=FILE`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::BadOption;

/// The files of each application, in the order in which the names come first.
pub(super) fn parse_all(words: Vec<OsString>) -> Result<Vec<(String, Vec<PathBuf>)>, BadOption> {
    let mut applications = Vec::<(String, Vec<PathBuf>)>::new();
    for word in words {
        let (name, file) = parse(&word).ok_or_else(|| {
            BadOption(format!("--app: {word:?} is not NAME=FILE, with a name of printable characters"))
        })?;
        match applications.iter_mut().find(|(known, _)| *known == name) {
            Some((_, files)) => files.push(file),
            None => applications.push((name, vec![file])),
        }
    }
    Ok(applications)
}

fn parse(word: &OsString) -> Option<(String, PathBuf)> {
    let bytes = word.as_bytes();
    let (name, file) = bytes.split_at_checked(bytes.iter().position(|&byte| byte == b'=')?)?;
    let file = file.get(1..).filter(|file| !file.is_empty())?;
    let name = std::str::from_utf8(name).ok()?;
    let right = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    right.then(|| (name.to_owned(), OsString::from_vec(file.to_vec()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_go_together() {
        let words = ["shop=a.conf", "blog=b=c.conf", "shop=d.conf"].map(OsString::from).to_vec();
        let expected = vec![
            ("shop".to_owned(), vec!["a.conf".into(), "d.conf".into()]),
            ("blog".to_owned(), vec!["b=c.conf".into()]),
        ];
        assert_eq!(parse_all(words), Ok(expected));
        for bad in ["shop", "=a.conf", "shop=", "a b=c", ""] {
            assert!(parse_all(vec![bad.into()]).is_err(), "{bad}");
        }
    }
}
