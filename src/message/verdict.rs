//! What an engine found, whatever engine.

use crate::message::id::Ticket;

/// The outcome of an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What to do instead of letting the request through; `None` when it is clean.
    pub intervention: Option<Intervention>,
    /// The rule that intervened, if it wants to be logged.
    pub deciding: Option<i64>,
    /// The message of the rule that intervened, or of the last that matched; bytes of the request's may be in it.
    pub message: Vec<u8>,
    /// The ids of the rules that matched and want to be logged, each once, in their order. Bounded.
    pub rules: Vec<i64>,
    /// What matched, rule by rule and place by place. Bounded.
    pub matches: Vec<RuleMatch>,
    /// How many more there were.
    pub more_matches: u64,
    /// The score that the Core Rule Set came to.
    pub anomaly_score: Option<i64>,
    /// The engine keeps the transaction for its response.
    pub is_parked: bool,
    /// How to come back to it.
    pub ticket: Option<Ticket>,
    /// Of a response: the request that it answers, if its transaction was there.
    pub answers: Option<RequestSummary>,
    /// The response had no transaction any more, and was inspected on its own.
    pub has_no_request: bool,
    /// The response's body as rules have rewritten it.
    pub rewritten: Option<Vec<u8>>,
}

/// What the log says of the request that a response answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSummary {
    /// Who sent it.
    pub client: String,
    /// Its path and query.
    pub uri: Vec<u8>,
}

/// What to do with a request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The HTTP status, from 100 to 599.
    pub status: u16,
    /// What else than a page with this status.
    pub action: Action,
}

/// How a request is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is denied.
    Deny,
    /// The client is sent elsewhere.
    Redirect(Vec<u8>),
    /// The connection is closed without an answer.
    Drop,
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
        let (status, action) = match url {
            Some(url) if visible(&url) => (status, Action::Redirect(url)),
            Some(_) => (None, Action::Deny),
            None => (status, Action::Deny),
        };
        Self { status: status.unwrap_or(Self::DEFAULT_STATUS), action }
    }
}

impl Action {
    /// The value of `action`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Redirect(_) => "redirect",
            Self::Drop => "drop",
        }
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
    /// Its tags, separated by commas.
    pub tags: Vec<u8>,
    /// 0 (emergency) to 7 (debug), if it has one.
    pub severity: Option<u8>,
}

impl RuleMatch {
    /// The severity by the name that rules give it.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        let severity = self.severity.and_then(|severity| SEVERITIES.get(usize::from(severity)));
        severity.copied().unwrap_or("none")
    }
}

/// As syslog counts them, and ModSecurity.
const SEVERITIES: [&str; 8] =
    ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

impl Verdict {
    /// A denial that is not a rule's.
    #[must_use]
    pub fn denied(status: u16, message: &str) -> Self {
        let intervention = Some(Intervention { status, action: Action::Deny });
        Self { intervention, message: message.as_bytes().to_vec(), ..Self::default() }
    }

    /// The score as the log has it.
    #[must_use]
    pub fn score(&self) -> String {
        self.anomaly_score.map_or_else(|| "none".to_owned(), |score| score.to_string())
    }

    /// The ids of the rules that matched, separated by commas.
    #[must_use]
    pub fn rule_ids(&self) -> String {
        let ids: Vec<_> = self.rules.iter().map(ToString::to_string).collect();
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
        assert_eq!((good.status, matches!(good.action, Action::Redirect(_))), (301, true));
        for url in [&b"/a\r\nSet-Cookie: b"[..], b"", b"/\xff", b"/a b"] {
            let bad = Intervention::new(302, Some(url.to_vec()));
            assert_eq!((bad.status, bad.action), (403, Action::Deny));
        }
    }
}
