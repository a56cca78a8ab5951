//! `replaceComments`, `removeComments` and `removeCommentsChar`.

use memchr::memmem;

use super::Applied;

/// `replaceComments`: each `/*…*/` becomes one blank; one that does not end reaches to the end.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> Applied {
    let mut rest = input;
    while let Some((before, tail)) = memmem::find(rest, b"/*").and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        out.push(b' ');
        let comment = tail.get(2..).unwrap_or_default();
        rest = memmem::find(comment, b"*/").and_then(|end| comment.get(end + 2..)).unwrap_or_default();
    }
    if rest.len() == input.len() {
        return Applied::Unchanged;
    }
    out.extend_from_slice(rest);
    Applied::Changed
}

/// `removeComments`: `/*…*/` and `<!--…-->`, each of which may end like the other, and what follows `--` or `#`. The byte
/// behind a comment is never looked at: behind one at the end of the value, that is the zero byte at the end.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> Applied {
    let mut rest = input;
    while let [first, tail @ ..] = rest {
        let comment = match rest {
            [b'/', b'*', comment @ ..] | [b'<', b'!', b'-', b'-', comment @ ..] => comment,
            [b'-', b'-', ..] | [b'#', ..] => return Applied::Changed,
            _ => {
                out.push(*first);
                rest = tail;
                continue;
            }
        };
        let end = (0..comment.len()).find_map(|at| match comment.get(at..)? {
            [b'*', b'/', tail @ ..] | [b'-', b'-', b'>', tail @ ..] => Some(tail),
            _ => None,
        });
        let Some(behind) = end else {
            out.push(b' ');
            return Applied::Changed;
        };
        out.push(behind.first().copied().unwrap_or(0));
        rest = behind.get(1..).unwrap_or_default();
    }
    if out == input { Applied::Unchanged } else { Applied::Changed }
}

/// `removeCommentsChar`: the marks of comments, not what stands between them.
pub(super) fn remove_marks(input: &[u8], out: &mut Vec<u8>) -> Applied {
    let mut rest = input;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'<', b'!', b'-', b'-', tail @ ..]
            | [b'-', b'-', b'>', tail @ ..]
            | [b'/', b'*', tail @ ..]
            | [b'*', b'/', tail @ ..]
            | [b'-', b'-', tail @ ..]
            | [b'#', tail @ ..] => tail,
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    if out.len() == input.len() { Applied::Unchanged } else { Applied::Changed }
}
