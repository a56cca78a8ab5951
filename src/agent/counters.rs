//! What HAProxy was told, by application and verdict, and what the latest denials were.

use std::time::SystemTime;

use actors::Latest;
use actors::stats::Counter;

use super::rule_hits::RuleHits;
use crate::message::HttpMessage;
use crate::message::verdict::{Action, Verdict};

/// Denials that are remembered.
const DENIALS: usize = 50;

/// Rules of one denial that are remembered.
const RULES: usize = 8;

/// Bytes of each text of a denial that are remembered.
const TEXT: usize = 200;

/// The verdicts in metrics: `detected` is a denial in which HAProxy wants detection only.
pub const VERDICTS: [&str; 5] = ["allow", "deny", "redirect", "drop", "detected"];

/// A message that was denied. Whatever a peer may have put its secrets in is left out: the query, the headers but the host,
/// the body, and what of them the rule matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When.
    pub at: SystemTime,
    /// What was denied: `request` or `response`.
    pub kind: &'static str,
    /// The identifier of the transaction, by which the log has more about it.
    pub id: String,
    /// The client of a request, with its port.
    pub client: String,
    /// The application that the message names.
    pub application: String,
    /// The Host header.
    pub host: String,
    /// The method of a request.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The verdict, one of [`VERDICTS`].
    pub verdict: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The first rules that matched.
    pub rules: Vec<i64>,
    /// The message of the deciding rule.
    pub message: String,
}

/// The counters, shared by all connections and workers.
#[derive(Debug)]
pub struct Counters {
    /// The names in metrics, in alphabetical order; behind them one for unknown ones.
    applications: Vec<Vec<u8>>,
    /// By application, kind of message, and verdict.
    told: Vec<Counter>,
    /// The matches of each rule.
    pub rules: RuleHits,
    /// Messages of whose body HAProxy sent only the beginning.
    pub truncated: Counter,
    /// Audit records that could not be written.
    pub audit_losses: Counter,
    /// The latest denials.
    pub denials: Latest<Denial>,
}

impl Counters {
    /// For these applications.
    pub(super) fn new<'a>(known: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        let mut applications: Vec<_> = known.into_iter().cloned().collect();
        applications.sort_unstable();
        // Before the named ones: that of messages that name none.
        applications.insert(0, Vec::new());
        applications.dedup();
        let cells = (applications.len() + 1) * 2 * VERDICTS.len();
        Self {
            applications,
            told: (0..cells).map(|_| Counter::default()).collect(),
            rules: RuleHits::default(),
            truncated: Counter::default(),
            audit_losses: Counter::default(),
            denials: Latest::new(DENIALS),
        }
    }

    /// The number of the counter of such an answer.
    pub(super) fn class(&self, message: &HttpMessage, verdict: &Verdict) -> u32 {
        let name = message.application().unwrap_or_default();
        let application = self.applications.binary_search_by(|known| known.as_slice().cmp(name));
        let application = application.unwrap_or(self.applications.len());
        let kind = usize::from(matches!(message, HttpMessage::Response(_)));
        let class = (application * 2 + kind) * VERDICTS.len() + place(message, verdict);
        u32::try_from(class).unwrap_or(u32::MAX)
    }

    /// Counts that HAProxy was told a verdict of this class.
    pub(super) fn count(&self, class: u32) {
        usize::try_from(class)
            .ok()
            .and_then(|class| self.told.get(class))
            .into_iter()
            .for_each(Counter::increment);
    }

    /// Counts the matches of a verdict, and remembers a denial.
    pub(super) fn record(&self, message: &HttpMessage, verdict: &Verdict) {
        verdict.matches.iter().for_each(|found| self.rules.count(found.rule));
        self.audit_losses.add(verdict.audit_losses.records);
        if let Some(intervention) = &verdict.intervention {
            let word = VERDICTS.get(place(message, verdict)).copied().unwrap_or_default();
            self.denials.push(denial(message, verdict, word, intervention.status));
        }
    }

    /// Each counter of answers: the application, whether it was a response, the verdict, the number.
    pub fn told(&self) -> impl Iterator<Item = (String, bool, &'static str, u64)> {
        let names = self.applications.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        let names = names.chain(["(other)".to_owned()]);
        let rows = names.flat_map(|name| [(name.clone(), false), (name, true)]);
        let rows =
            rows.flat_map(|(name, is_response)| VERDICTS.map(|verdict| (name.clone(), is_response, verdict)));
        rows.zip(&self.told)
            .map(|((name, is_response, verdict), count)| (name, is_response, verdict, count.get()))
    }
}

/// The verdict's place in [`VERDICTS`].
fn place(message: &HttpMessage, verdict: &Verdict) -> usize {
    match verdict.intervention.as_ref().map(|intervention| &intervention.action) {
        None => 0,
        Some(_) if message.options().detect_only => 4,
        Some(Action::Deny) => 1,
        Some(Action::Redirect(_)) => 2,
        Some(Action::Drop) => 3,
    }
}

fn denial(message: &HttpMessage, verdict: &Verdict, word: &'static str, status: u16) -> Denial {
    let mut denial = Denial {
        at: SystemTime::now(),
        kind: "request",
        id: message.transaction(),
        client: String::new(),
        application: text(message.application().unwrap_or_default()),
        host: String::new(),
        method: String::new(),
        path: String::new(),
        verdict: word,
        status,
        rules: verdict.rules.iter().take(RULES).copied().collect(),
        message: text(&verdict.message),
    };
    match message {
        HttpMessage::Request(request) => {
            denial.client = request.client.to_string();
            denial.host = text(request.headers.first("host").unwrap_or_default());
            denial.method = text(&request.method);
            denial.path = text(path(&request.uri));
        }
        HttpMessage::Response(_) => {
            denial.kind = "response";
            if let Some(request) = &verdict.answers {
                denial.client.clone_from(&request.client);
                denial.host = text(request.host.as_deref().unwrap_or_default());
                denial.path = text(path(&request.uri));
            }
        }
    }
    denial
}

/// The path of a URI.
fn path(uri: &[u8]) -> &[u8] {
    uri.split(|byte| matches!(byte, b'?' | b'#' | b';')).next().unwrap_or_default()
}

/// The beginning of what a peer sent, with control characters escaped.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..TEXT).unwrap_or(bytes));
    let mut text: String = text.chars().flat_map(escaped).collect();
    if bytes.len() > TEXT {
        text.push('…');
    }
    text
}

/// A character, or its escape when it would not be seen, or would change how the text around it is seen.
fn escaped(character: char) -> Vec<char> {
    let is_invisible = matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if character.is_control() || is_invisible {
        character.escape_unicode().collect()
    } else {
        vec![character]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_query_and_no_invisible_character_is_shown() {
        assert_eq!(text(path(b"/login?password=secret")), "/login");
        assert_eq!(text(path(b"/a;jsessionid=secret")), "/a");
        assert_eq!(text("a\u{202e}b\nc".as_bytes()), "a\\u{202e}b\\u{a}c");
        assert_eq!(text(&[b'a'; 300]).chars().count(), TEXT + 1);
    }

    #[test]
    fn each_application_has_counters_and_unknown_ones_have_one() {
        let counters = Counters::new(&[b"shop".to_vec(), b"blog".to_vec()]);
        let names: Vec<_> = counters.told().map(|(name, ..)| name).step_by(2 * VERDICTS.len()).collect();
        assert_eq!(names, ["", "blog", "shop", "(other)"]);
        counters.count(u32::MAX);
        counters.count(11);
        let counted: Vec<_> = counters.told().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [("blog".to_owned(), false, "deny", 1)]);
    }
}
