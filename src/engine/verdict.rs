//! What an engine found, whatever engine.

/// The outcome of an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What to do instead of letting the request through; `None` when it is clean.
    pub intervention: Option<Intervention>,
    /// The rules that matched and want to be logged, in their order. Bounded.
    pub matches: Vec<RuleMatch>,
    /// How many more rules matched.
    pub more_matches: u64,
}

/// What to do with a request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The HTTP status, from 100 to 599.
    pub status: u16,
    /// Where to redirect to; without it the request is denied.
    pub location: Option<Vec<u8>>,
    /// The message of the rule that decided; bytes of the request's may be in it.
    pub message: Vec<u8>,
}

impl Intervention {
    /// The status of a denial whose rule gives none, or one that is no HTTP status.
    pub const DEFAULT_STATUS: u16 = 403;

    /// What an engine's `status` and `url` amount to. A denial never looks like none, and a redirect that cannot stand
    /// in a `Location` header (visible ASCII) is a denial: a rule may build it of the request's own bytes, and a line
    /// break among them would write headers of the client's choosing.
    #[must_use]
    pub fn new(status: i32, url: Option<Vec<u8>>) -> Self {
        let status = u16::try_from(status).ok().filter(|status| (100..=599).contains(status));
        let visible = |url: &[u8]| !url.is_empty() && url.iter().all(u8::is_ascii_graphic);
        let (status, location) = match url {
            Some(url) if !visible(&url) => (None, None),
            url => (status, url),
        };
        Self { status: status.unwrap_or(Self::DEFAULT_STATUS), location, message: Vec::new() }
    }
}

/// One rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// Its id.
    pub rule: i64,
    /// Where it stands: `file:line`.
    pub source: String,
    /// Its `msg`; bytes of the request's may be in it.
    pub message: Vec<u8>,
    /// Its `logdata`; bytes of the request's may be in it.
    pub data: Vec<u8>,
}

impl Verdict {
    /// The ids of the rules that matched, separated by commas.
    #[must_use]
    pub fn rule_ids(&self) -> String {
        let ids: Vec<_> = self.matches.iter().map(|found| found.rule.to_string()).collect();
        ids.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_always_has_a_status_of_http() {
        for (given, status) in
            [(403, 403), (451, 451), (0, 403), (-1, 403), (99, 403), (600, 403), (70_000, 403)]
        {
            assert_eq!(Intervention::new(given, None).status, status);
        }
    }

    #[test]
    fn a_location_that_could_write_headers_is_a_denial() {
        let good = Intervention::new(301, Some(b"https://example.com/?a=%0d".to_vec()));
        assert_eq!((good.status, good.location.is_some()), (301, true));
        for url in [&b"/a\r\nSet-Cookie: b"[..], b"", b"/\xff", b"/a b"] {
            let bad = Intervention::new(302, Some(url.to_vec()));
            assert_eq!((bad.status, bad.location), (403, None));
        }
    }
}
