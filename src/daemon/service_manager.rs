//! What the service manager, and whoever asks it for a reload, is told of the service.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use slog::{Logger, warn};

use super::notify::{Notifier, State, monotonic_usec};
use super::reload_outcome::{self, Outcome};

/// How often the status is told, at least.
const STATUS_PERIOD: Duration = Duration::from_secs(5);

/// The service manager.
pub(crate) struct ServiceManager {
    notifier: Notifier,
    /// The file with the outcome of the last reload.
    outcomes: Option<PathBuf>,
    /// When the reload that is under way began, in microseconds of the monotonic clock; at first, when this process did.
    begun: u64,
    /// That the last reload or upgrade failed, and why.
    failure: Option<String>,
    /// The number of verdicts at the last look, and the time of it.
    seen: Option<(u64, Instant)>,
    /// Verdicts a second before that.
    rate: f64,
    /// Another process speaks for the service, or it is about to end.
    is_silent: bool,
    log: Logger,
}

impl ServiceManager {
    /// The one that the environment names, if there is one. To be called before the rules are read. A process that is an heir
    /// tells nothing until it is [`ready`](Self::ready): the manager listens to its predecessor.
    pub(crate) fn find(is_heir: bool, log: &Logger) -> Self {
        let notifier = Notifier::from_environment().unwrap_or_else(|error| {
            warn!(log, # "service_manager_unreachable", "cannot talk to the service manager"; "error" => ?error.to_string());
            Notifier::nobody()
        });
        if !is_heir {
            // A process that has replaced another one is watched from the start.
            notifier.tell(&[State::Watchdog, State::Status("reading the rules")]);
        }
        Self {
            notifier,
            outcomes: reload_outcome::path(),
            begun: monotonic_usec(),
            failure: None,
            seen: None,
            rate: 0.0,
            is_silent: is_heir,
            log: log.clone(),
        }
    }

    /// How often it is to be told that the tree answers; `None`: never.
    pub(crate) fn period(&self) -> Option<Duration> {
        let watchdog = self.notifier.watchdog().map_or(STATUS_PERIOD, |longest| longest / 3);
        self.notifier.is_on().then(|| watchdog.min(STATUS_PERIOD).max(Duration::from_millis(10)))
    }

    /// The service serves, with the rules as this process has found them.
    pub(crate) fn ready(&mut self) {
        self.is_silent = false;
        self.reloaded(None);
    }

    /// A reload has begun.
    pub(crate) fn reloading(&mut self) {
        self.begun = monotonic_usec();
        self.tell(&[State::Reloading, State::Status("reloading the rules")]);
    }

    /// The reload is over; with a cause, the old rules stay.
    pub(crate) fn reloaded(&mut self, failure: Option<String>) {
        let outcome = Outcome { begun: self.begun, failure: failure.clone() };
        if let Some(Err(error)) = self.outcomes.as_deref().map(|path| outcome.write(path)) {
            warn!(self.log, # "reload_outcome_untold", "cannot tell who asked how the reload went"; "error" => ?error.to_string());
        }
        self.failure = failure.map(|cause| format!("the last reload failed, the old rules stay: {cause}"));
        self.tell(&[State::Ready, State::Status(&self.status())]);
    }

    /// The tree answers, and has given this many verdicts.
    pub(crate) fn alive(&mut self, verdicts: u64) {
        let now = Instant::now();
        let (before, then) = *self.seen.get_or_insert((verdicts, now));
        if now - then >= STATUS_PERIOD {
            self.seen = Some((verdicts, now));
            self.rate = verdicts.saturating_sub(before) as f64 / (now - then).as_secs_f64();
        }
        self.tell(&[State::Watchdog, State::Status(&self.status())]);
    }

    /// There is no new process; this one goes on.
    pub(crate) fn upgrade_failed(&mut self, cause: &str) {
        self.failure = Some(format!("the last upgrade failed, the old process goes on: {cause}"));
        self.tell(&[State::Status(&self.status())]);
    }

    /// Another process is the service from now on.
    pub(crate) fn handed_over(&mut self, pid: u32) {
        self.tell(&[State::MainPid(pid), State::Ready]);
        self.is_silent = true;
    }

    fn tell(&self, states: &[State<'_>]) {
        if !self.is_silent {
            self.notifier.tell(states);
        }
    }

    /// The service is about to end.
    pub(crate) fn stopping(&mut self) {
        self.tell(&[State::Stopping, State::Status("stopping, answering what is in flight")]);
        self.is_silent = true;
    }

    fn status(&self) -> String {
        let rate = format!("serving, {:.0} verdicts a second", self.rate);
        match &self.failure {
            Some(failure) => format!("{rate}; {failure}"),
            None => rate,
        }
    }
}
