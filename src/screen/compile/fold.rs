//! Operators and transformations on values that are the same for every request.

/// Whether the operator matches the value; `None`: that is not decided here.
pub(super) fn matches(name: &str, argument: &str, is_negated: bool, value: &str) -> Option<bool> {
    let numbers = || Some((number(value)?, number(argument)?));
    let found = match name {
        "unconditionalmatch" => Some(true),
        "nomatch" => Some(false),
        "eq" => numbers().map(|(left, right)| left == right),
        "ge" => numbers().map(|(left, right)| left >= right),
        "gt" => numbers().map(|(left, right)| left > right),
        "le" => numbers().map(|(left, right)| left <= right),
        "lt" => numbers().map(|(left, right)| left < right),
        "streq" => Some(value == argument),
        "within" => Some(argument.contains(value)),
        "contains" => Some(value.contains(argument)),
        "beginswith" => Some(value.starts_with(argument)),
        "endswith" => Some(value.ends_with(argument)),
        _ => None,
    };
    found.map(|found| found != is_negated)
}

/// The number at the start of a text, as both engines read it (`atoi`); `None` for one beyond 31 bits, where they differ.
pub(in crate::screen) fn number(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
    let digits = digits.get(..end)?;
    let number: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if is_negative { -number } else { number }).filter(|number| number.abs() < 1 << 31)
}

/// The value behind these transformations; `None`: that is not decided here.
pub(super) fn transformed(names: &[String], value: &str) -> Option<String> {
    let mut value = value.to_owned();
    for name in names {
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match name.to_ascii_lowercase().as_str() {
            "lowercase" => value.make_ascii_lowercase(),
            "urldecode" | "urldecodeuni" if !value.contains(['%', '+']) => {}
            "length" => value = value.len().to_string(),
            known if is_plain && KEEP_PLAIN.contains(&known) => {}
            _ => return None,
        }
    }
    Some(value)
}

/// Transformations that leave letters, digits and underscores as they are.
const KEEP_PLAIN: [&str; 17] = [
    "urldecode",
    "urldecodeuni",
    "htmlentitydecode",
    "jsdecode",
    "cssdecode",
    "escapeseqdecode",
    "utf8tounicode",
    "removenulls",
    "removewhitespace",
    "compresswhitespace",
    "trim",
    "trimleft",
    "trimright",
    "normalizepath",
    "normalisepath",
    "replacecomments",
    "removecomments",
];
