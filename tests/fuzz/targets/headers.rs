//! The two forms of a header list. A list that is understood is the list that was sent, to the last byte.

#![no_main]

use actors::spop::value::encode_bytes;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use modsecurity_spoa::message::headers::Headers;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let binary = Headers::Binary(bytes.clone());
    if let Some(list) = whole(&binary) {
        let again = Headers::Binary(written(&list));
        assert_eq!(whole(&again).as_ref(), Some(&list));
        // A number has one encoding, so the bytes are the same too.
        assert_eq!(written(&list), data);
        first(&binary, &list);
        // Lines cannot say all that lengths can.
        if list.iter().all(is_line) {
            assert_eq!(whole(&Headers::Text(lines(&list))), Some(list));
        }
    }
    let text = Headers::Text(bytes);
    if let Some(list) = whole(&text) {
        for (name, value) in &list {
            assert!(!name.is_empty() && !name.contains(&b':'));
            assert!(!name.contains(&b'\n') && !value.contains(&b'\n'));
        }
        // Nothing is lost: as many headers as there are colons that begin a value.
        let lines = data.split(|&byte| byte == b'\n').filter(|line| line.contains(&b':')).count();
        assert_eq!(list.len(), lines);
        first(&text, &list);
        // In the other form it is the same list.
        assert_eq!(whole(&Headers::Binary(written(&list))), Some(list));
    }
});

type List<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The headers, when the list is one. What is found before an error is at most what the check allows.
fn whole(headers: &Headers) -> Option<List<'_>> {
    let found: Result<List<'_>, _> = headers.iter().collect();
    assert_eq!(headers.check(), found.as_ref().map(drop).map_err(|cause| *cause));
    if let Err(cause) = found {
        assert!(!cause.to_string().is_empty());
        // After its error it ends.
        assert!(headers.iter().position(|header| header.is_err()).unwrap() + 1 == headers.iter().count());
    }
    found.ok()
}

fn written(list: &List<'_>) -> Bytes {
    let mut out = Vec::new();
    for (name, value) in list {
        encode_bytes(name, &mut out);
        encode_bytes(value, &mut out);
    }
    out.extend_from_slice(&[0, 0]);
    out.into()
}

/// Whether a header is the same after it was a line of text.
fn is_line((name, value): &(&[u8], &[u8])) -> bool {
    let apart = |byte: &u8| matches!(byte, b':' | b'\n');
    !name.iter().any(apart)
        && !value.contains(&b'\n')
        && !value.ends_with(b"\r")
        && !value.first().is_some_and(u8::is_ascii_whitespace)
}

fn lines(list: &List<'_>) -> Bytes {
    let mut out = Vec::new();
    for (name, value) in list {
        out.extend([*name, b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

fn first(headers: &Headers, list: &List<'_>) {
    let host = list.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, value)| *value);
    assert_eq!(headers.first("Host"), host);
}
