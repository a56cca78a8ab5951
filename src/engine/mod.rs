//! What the agent does with a message: decode it, let ModSecurity inspect the request, answer, log.

pub mod answer;
pub mod decode;
pub mod headers;
pub mod id;
pub mod load;
pub mod modsecurity3;
pub mod request;
pub mod text;
pub mod verdict;

use std::sync::Arc;

use actors::spop::ActionList;
use actors::{Agent, Failure, StartError};
use bytes::Bytes;
use slog::{Logger, info};

use crate::ffi::v3;
use answer::OnError;
use id::IdSource;
use modsecurity3::ModSecurity3;
use request::Request;
use text::Text;
use verdict::Verdict;

/// Lines that the matches of one request may take in the log. The line of a denial names all rules in any case.
const MAX_MATCH_LINES: usize = 16;

/// The agent that HAProxy talks to: the top of the tree's [`Agent`].
pub struct ModSecurityAgent {
    library: Arc<v3::Engine>,
    on_error: OnError,
    ids: IdSource,
}

impl ModSecurityAgent {
    /// An agent with the rules that were loaded into `library`.
    #[must_use]
    pub fn new(library: v3::Engine, on_error: OnError) -> Self {
        Self { library: Arc::new(library), on_error, ids: IdSource::default() }
    }
}

impl Agent for ModSecurityAgent {
    type Request = Request;
    type Verdict = Verdict;
    type Engine = ModSecurity3;

    fn start_engine(&self, _worker: usize, _log: &Logger) -> Result<ModSecurity3, StartError> {
        Ok(ModSecurity3::new(Arc::clone(&self.library)))
    }

    fn rebuild(&self) {}

    fn fingerprint(&self, request: &Request) -> u64 {
        request.fingerprint()
    }

    fn decode(&self, payload: &Bytes) -> Result<Request, Failure> {
        decode::decode(payload, self.ids.next())
    }

    fn answer(&self, request: Option<&Request>, outcome: Result<&Verdict, &Failure>) -> ActionList {
        answer::answer(request, outcome, self.on_error)
    }

    fn record(&self, request: &Request, verdict: &Verdict, log: &Logger) {
        if let Some(intervention) = &verdict.intervention {
            info!(log, "request denied"; request, "status" => intervention.status,
                "rules" => verdict.rule_ids(), "message" => %Text(&intervention.message));
        }
        for found in verdict.matches.iter().take(MAX_MATCH_LINES) {
            info!(log, "rule matched"; "id" => &request.id, "rule" => found.rule,
                "message" => %Text(&found.message), "data" => %Text(&found.data), "source" => &found.source);
        }
        let unsaid = verdict.matches.len().saturating_sub(MAX_MATCH_LINES) as u64 + verdict.more_matches;
        if unsaid > 0 {
            info!(log, "more rules matched"; "id" => &request.id, "rules" => unsaid);
        }
    }
}
