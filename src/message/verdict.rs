//! The verdict of an engine, the same for both versions.

use crate::message::id::Ticket;

/// The outcome of an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What to do instead of letting the message through; `None` when the message is clean.
    pub intervention: Option<Intervention>,
    /// The id of the rule that intervened, unless the rule asks not to be logged.
    pub deciding: Option<i64>,
    /// The `msg` of the rule that intervened, or of the last rule that matched; it may contain bytes of the peer.
    pub message: Vec<u8>,
    /// The ids of the rules that matched and ask to be logged, each once, in the order of their first matches. Their
    /// number is bounded.
    pub rules: Vec<i64>,
    /// The matches, in order: one for each rule and each place where it matched. Their number is bounded.
    pub matches: Vec<RuleMatch>,
    /// The number of further matches, which `matches` leaves out.
    pub more_matches: u64,
    /// The anomaly score of the Core Rule Set, if the rules have computed one.
    pub anomaly_score: Option<i64>,
    /// The engine keeps the transaction for its response.
    pub is_parked: bool,
    /// The ticket by which the response finds the parked transaction.
    pub ticket: Option<Ticket>,
    /// Of a response: the request that the response answers, if the transaction was found.
    pub answers: Option<RequestSummary>,
    /// Of a response: the transaction was gone, so the response was inspected on its own.
    pub has_no_request: bool,
    /// The response's body as rules have rewritten it.
    pub rewritten: Option<Vec<u8>>,
    /// Audit records that were lost since the engine's last verdict, that of this message among them.
    pub audit_losses: AuditLosses,
    /// What the screen said of the request.
    pub screened: Screened,
}

/// What the screen said of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Screened {
    /// It was not asked.
    #[default]
    NotAsked,
    /// No request is proven with these rules, for this reason.
    Off(String),
    /// It is not proven, for this reason.
    Open(String),
    /// It is proven clean, and no engine was asked.
    Proven,
    /// It is proven clean, and the engine found nothing.
    Agreed,
    /// It was proven clean, and the engine found something.
    Wrong,
}

/// Audit records that an engine could not write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditLosses {
    /// How many.
    pub records: u64,
    /// Why the last one was lost, in the engine's words, which may quote the peer.
    pub cause: String,
}

impl AuditLosses {
    /// Adds later ones.
    pub fn add(&mut self, later: Self) {
        if later.records > 0 {
            *self = Self { records: self.records.saturating_add(later.records), cause: later.cause };
        }
    }
}

/// The request that a response answers, as the log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSummary {
    /// The name of the application whose rules are used, when HAProxy sent one.
    pub application: Option<Vec<u8>>,
    /// The Host header, if there is one.
    pub host: Option<Vec<u8>>,
    /// The client's address and port.
    pub client: String,
    /// The request's path and query.
    pub uri: Vec<u8>,
}

/// What to do with a message that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// The HTTP status, from 100 to 599.
    pub status: u16,
    /// How the message is kept from passing.
    pub action: Action,
}

/// How a message is kept from passing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// HAProxy answers with the status and a page.
    Deny,
    /// The client is sent elsewhere.
    Redirect(Vec<u8>),
    /// The connection is closed without an answer.
    Drop,
}

impl Intervention {
    /// The status of a denial whose rule gives none, or one that is no HTTP status.
    pub const DEFAULT_STATUS: u16 = 403;

    /// Makes an intervention of an engine's `status` and `url`.
    ///
    /// A status that is no HTTP status becomes 403, so that no denial looks like a pass. A URL that cannot stand in a
    /// `Location` header (visible ASCII) becomes a denial: a rule may build the URL from bytes of the request, and a line
    /// break among them would let the client write headers.
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
    /// The value of HAProxy's variable `action`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Redirect(_) => "redirect",
            Self::Drop => "drop",
        }
    }
}

/// One match of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// The id of the rule.
    pub rule: i64,
    /// The place of the rule: `file:line`.
    pub source: String,
    /// The rule's `msg`, which may contain bytes of the peer.
    pub message: Vec<u8>,
    /// The rule's `logdata`, which may contain bytes of the peer.
    pub data: Vec<u8>,
    /// The rule's tags, separated by commas.
    pub tags: Vec<u8>,
    /// The rule's severity, from 0 (emergency) to 7 (debug), if the rule has one.
    pub severity: Option<u8>,
}

impl RuleMatch {
    /// The name of the severity, as rules write it; `none` for a rule without a severity.
    #[must_use]
    pub fn severity(&self) -> &'static str {
        let severity = self.severity.and_then(|severity| SEVERITIES.get(usize::from(severity)));
        severity.copied().unwrap_or("none")
    }
}

/// The names of the severities in the order of their numbers, which are syslog's.
const SEVERITIES: [&str; 8] =
    ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

impl Verdict {
    /// A denial by the agent itself, not by a rule.
    #[must_use]
    pub fn denied(status: u16, message: &str) -> Self {
        let intervention = Some(Intervention { status, action: Action::Deny });
        Self { intervention, message: message.as_bytes().to_vec(), ..Self::default() }
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
