//! `--options`: variables in a file, as EnvironmentFile= of systemd has them. Unlike that, an upgrade reads the file anew.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::SettingsError;

/// Reads the variables: a line each, with or without quotes around the value; empty lines, and those that begin with `#` or
/// `;`, are comments. A file with `-` in front may be missing.
///
/// # Errors
/// When the file cannot be read, or a line is no `NAME=VALUE`.
pub(super) fn read(file: &OsStr) -> Result<Vec<(OsString, OsString)>, SettingsError> {
    let (path, may_be_missing) = match file.as_bytes().strip_prefix(b"-") {
        Some(path) => (Path::new(OsStr::from_bytes(path)), true),
        None => (Path::new(file), false),
    };
    let failed = |cause| SettingsError::OptionsFile { path: path.to_owned(), cause };
    match std::fs::read(path) {
        Ok(content) => parse(&content).map_err(failed),
        Err(cause) if may_be_missing && cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(failed(cause)),
    }
}

fn parse(content: &[u8]) -> io::Result<Vec<(OsString, OsString)>> {
    let mut variables = Vec::new();
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        let Some((name, value)) = assignment(line) else {
            let cause = format!("line {} is not NAME=VALUE", index + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
        };
        variables.push((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())));
    }
    Ok(variables)
}

fn assignment(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b'=')?)?;
    let value = value.get(1..)?.trim_ascii();
    let unquoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = unquoted(b"\"").or_else(|| unquoted(b"'")).unwrap_or(value);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    (!name.is_empty() && name.iter().all(is_name)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables_or_comments() {
        let text = b"# a\n\n; b\n A=1 \nB=\"two words\"\nC='x=y'\nD=\nE=\"\n";
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", ""), ("E", "\"")];
        let expected = expected.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        assert_eq!(parse(text).unwrap(), expected);
        for wrong in ["nonsense", "=1", "A B=1", "export A=1"] {
            let error = parse(format!("A=1\n{wrong}\n").as_bytes()).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{wrong}: {error}");
        }
    }
}
