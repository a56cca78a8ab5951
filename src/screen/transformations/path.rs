//! `normalizePath` and `normalizePathWin`: dots and doubled slashes taken out of a path.

use memchr::{memchr, memchr2};

use super::Applied;

/// `normalizePath`; for Windows a backslash is a slash.
///
/// A segment that only ends in two dots (`a..`) goes back, too. Of three or more slashes in a row the last one is copied
/// as it is, also if it is a backslash.
pub(super) fn normalize(input: &[u8], windows: bool, out: &mut Vec<u8>) -> Applied {
    let [first, ..] = input else { return Applied::Unchanged };
    let [.., last] = input else { return Applied::Unchanged };
    let has_slash = if windows { memchr2(b'/', b'\\', input) } else { memchr(b'/', input) }.is_some();
    if !has_slash && *last != b'.' {
        return Applied::Unchanged;
    }
    let slashed = |byte: u8| if windows && byte == b'\\' { b'/' } else { byte };
    let is_relative = slashed(*first) != b'/';
    let mut has_hit_root = false;
    let mut rest = input;
    while let [current, tail @ ..] = rest {
        let current = slashed(*current);
        let next = tail.first().map(|&byte| slashed(byte));
        // Where the engine looks for slashes next, and how many bytes from here it has made slashes of backslashes.
        let (mut from, mut converted) = (rest, 2_u8);
        if matches!(next, None | Some(b'/')) {
            match (current, out.as_slice()) {
                (b'/', _) if next.is_some() => {}
                (b'.', [before @ .., b'.']) if !(is_relative && (has_hit_root || before.len() < 2)) => {
                    let end = before.get(..before.len().saturating_sub(1)).unwrap_or_default();
                    let slash = end.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    has_hit_root |= slash == 0;
                    // At the end of the value, the root of an absolute path stays.
                    out.truncate(if next.is_none() && !is_relative { slash.max(1) } else { slash });
                    if next.is_none() {
                        break;
                    }
                    (from, converted) = (tail, 1);
                }
                (b'.', [.., b'.']) => has_hit_root = true,
                (b'.', []) | (b'.', [.., b'/']) => {
                    if next.is_none() {
                        break;
                    }
                    out.pop();
                    (from, converted) = (tail, 1);
                }
                (b'.', _) | (_, []) => {}
                _ => has_hit_root = false,
            }
        }
        let Some((copied, mut behind)) = from.split_first() else { break };
        let mut copied = slashed(*copied);
        if copied == b'/' {
            while let [slash, others @ ..] = behind
                && slashed(*slash) == b'/'
            {
                converted = converted.saturating_sub(1);
                copied = if converted > 0 { b'/' } else { *slash };
                behind = others;
            }
            if is_relative && out.is_empty() {
                rest = behind;
                continue;
            }
        }
        out.push(copied);
        rest = behind;
    }
    if slashed(*last) != b'/' && out.last() == Some(&b'/') {
        out.pop();
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}
