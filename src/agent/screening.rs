//! What the log says of the screen: how many requests are proven clean, why others are not, and when it was wrong.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};

use crate::message::HttpMessage;
use crate::message::verdict::{Screened, Verdict};

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);

/// Reasons that are counted each by itself.
const MAX_REASONS: usize = 256;

/// Reasons that a line names.
const NAMED: usize = 8;

/// The requests since the last line.
#[derive(Debug, Default)]
pub(super) struct Screening(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    proven: u64,
    agreed: u64,
    open: u64,
    reasons: HashMap<String, u64>,
    /// Requests with rules of which the screen is off, and why it is off for the last of them.
    without: Option<(u64, String)>,
    logged: Option<Instant>,
}

impl Screening {
    /// Counts what the screen said of a message, and logs it when it was wrong.
    pub(super) fn record(&self, message: &HttpMessage, verdict: &Verdict, log: &Logger) {
        if verdict.screened == Screened::NotAsked {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &verdict.screened {
            Screened::NotAsked => {}
            Screened::Proven => counts.proven += 1,
            Screened::Agreed => counts.agreed += 1,
            Screened::Open(reason) => {
                counts.open += 1;
                if counts.reasons.len() < MAX_REASONS || counts.reasons.contains_key(reason) {
                    *counts.reasons.entry(reason.clone()).or_default() += 1;
                }
            }
            Screened::Off(reason) => {
                let requests = counts.without.as_ref().map_or(0, |(requests, _)| *requests);
                counts.without = Some((requests + 1, reason.clone()));
            }
            Screened::Wrong => {
                error!(log, # "screen_wrong", "screen was wrong and is off until rules are loaded"; message,
                "rules" => verdict.rule_ids(), "matches" => verdict.matches.len(),
                "score" => verdict.anomaly_score.unwrap_or_default())
            }
        }
    }

    /// Logs the first requests at once, and then what came, once in [`INTERVAL`]. To be called about once a second.
    pub(super) fn review(&self, log: &Logger, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let screened = counts.proven + counts.agreed + counts.open;
        let is_early = counts.logged.is_some_and(|at| now.duration_since(at) < INTERVAL);
        if is_early || screened == 0 && counts.without.is_none() {
            return;
        }
        let Counts { proven, agreed, open, reasons, without, .. } = std::mem::take(&mut *counts);
        counts.logged = Some(now);
        if let Some((requests, reason)) = without {
            warn!(log, # "screen_off", "screen is off for these rules"; "requests" => requests, "reason" => reason);
        }
        if let Some(percent) = ((proven + agreed) * 100).checked_div(screened) {
            let mut reasons: Vec<_> = reasons.into_iter().collect();
            reasons.sort_by(|(one, most), (other, more)| more.cmp(most).then(one.cmp(other)));
            let named = reasons.iter().take(NAMED).map(|(reason, count)| format!("{reason}: {count}"));
            info!(log, # "requests_screened", "requests screened"; "proven" => proven, "proven_and_compared" => agreed, "not_proven" => open,
                "proven_percent" => percent,
                "reasons" => named.collect::<Vec<_>>().join(", "));
        }
    }
}
