//! What a peer speaks that does not speak SPOP: the wrong port was given to it.

/// The protocol that a link begins with, by its first four bytes; `None` when they are those of no protocol that is often
/// sent to the wrong port. None of these could begin a link of SPOP: read as the length of a frame they are above any limit.
#[must_use]
pub(super) fn protocol(start: &[u8]) -> Option<&'static str> {
    Some(match start.first_chunk::<4>()? {
        // RFC 9110, section 9.3; RFC 5789; PRI begins HTTP/2 (RFC 9113, section 3.4).
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"CONN" | b"OPTI" | b"TRAC" | b"PATC" | b"PRI " => {
            "HTTP"
        }
        // A record of a handshake (RFC 8446, section 5.1).
        [0x16, 0x03, _, _] => "TLS",
        // HAProxy's proxy-protocol.txt, versions 1 and 2.
        b"PROX" | b"\r\n\r\n" => "the PROXY protocol (send-proxy)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for (start, told) in [
            (&b"GET / HTTP/1.1\r\n"[..], Some("HTTP")),
            (b"PRI * HTTP/2.0\r\n", Some("HTTP")),
            (b"\x16\x03\x01\x02\x00\x01", Some("TLS")),
            (b"PROXY TCP4 ", Some("the PROXY protocol (send-proxy)")),
            (b"\0\0\0\x40\x01", None),
            (b"GET", None),
            (b"", None),
        ] {
            assert_eq!(protocol(start), told, "{start:?}");
        }
    }
}
