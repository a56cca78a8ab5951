//! Admission: whether a job is likely to be answered in time, by the measured load of the pool, and whether its client has
//! more than its share of that load. Workers decide by the same measurement how many jobs to take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fairness::{Account, AccountIndex, Accounts, ClientKey, is_hogging, is_unfair};
use super::recent::Recent;

/// A job is admitted when it is expected to take at most this share of its deadline, in percent. At 100 % the queue of a
/// loaded pool would be as long as the deadline, and each job that takes a little longer than the mean would make those
/// behind it late.
const BUDGET: u32 = 80;

/// How long jobs that an engine gets together may take in all: the last of them waits for the others.
const TOGETHER: Duration = Duration::from_millis(1);

/// What was measured is forgotten after this many deadlines without a new measurement.
const MEMORY: u32 = 4;

/// The cause in the log of a job that would be late.
pub(crate) const TOO_LATE: &str = "the queue is too long for an answer in time";

/// The cause in the log of a job whose client has more than its share.
pub(crate) const UNFAIR: &str = "fairness: its client has more than its share of what waits";

/// The measured load; shared by Connections, workers and the Pool.
#[derive(Debug)]
pub(crate) struct Admission {
    workers: u64,
    /// A slow job counts as one deadline at most.
    deadline: Duration,
    /// How long a job may be expected to take, in nanoseconds.
    budget: u64,
    /// The least time of a job, in nanoseconds.
    throttle: u64,
    /// The time of each job, whoever sent it.
    service: Recent,
    /// The time of the first job of each client, and of jobs whose client is not known: what to expect of a client from
    /// which nothing was measured. One client's flood is only one of these jobs.
    first: Recent,
    clients: Accounts,
    /// Jobs with a place that are not settled.
    in_flight: AtomicUsize,
    /// What those with a known price load the pool with, in nanoseconds; a job that an engine has counts half, as half of it
    /// is done on average.
    priced: AtomicU64,
    /// Jobs without a known price, in halves.
    unpriced: AtomicU64,
    /// Number of verdicts.
    verdicts: AtomicU64,
    /// No engine runs, and restarts did not help.
    down: AtomicBool,
}

/// One job's part of the load, from its admission until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    /// The index of the client's account.
    account: Option<AccountIndex>,
    /// Half of the expected time in nanoseconds; 0 when nothing is known of the client.
    half: u64,
    /// An engine has it.
    begun: bool,
}

impl Admission {
    /// For a pool of this size that takes at least `throttle` for each job.
    pub(crate) fn new(workers: usize, deadline: Duration, throttle: Duration) -> Self {
        let memory = deadline * MEMORY;
        Self {
            workers: workers as u64,
            deadline,
            budget: (deadline * BUDGET / 100).as_nanos() as u64,
            throttle: throttle.as_nanos() as u64,
            service: Recent::new(memory),
            first: Recent::new(memory),
            clients: Accounts::new(memory),
            in_flight: AtomicUsize::new(0),
            priced: AtomicU64::new(0),
            unpriced: AtomicU64::new(0),
            verdicts: AtomicU64::new(0),
            down: AtomicBool::new(false),
        }
    }

    /// Counts the time that a worker took for one job. Without a place, the job was one that only one worker could take.
    pub(crate) fn served(&self, time: Duration, place: Option<&Place>, now: Instant) {
        let time = (time.min(self.deadline).as_nanos() as u64).max(1);
        self.service.add(time, now);
        let Some(place) = place else { return };
        if place.account().is_none_or(|account| self.clients.measured(account, time, now)) {
            self.first.add(time, now);
        }
    }

    /// The number of jobs that an engine may get together, at least 1.
    pub(crate) fn at_a_time(&self, now: Instant) -> usize {
        let jobs = (TOGETHER.as_nanos() as u64).checked_div(self.expected(&self.service, now));
        jobs.unwrap_or_default().max(1) as usize
    }

    /// Admits a job that any worker may take, with `waiting` others in front of it, if it is likely to be answered within its
    /// deadline and its client has not more than its share. The first in the queue is always likely to be.
    ///
    /// # Errors
    /// The cause for the log.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: Option<ClientKey>,
        waiting: usize,
        now: Instant,
    ) -> Result<Place, &'static str> {
        let index = client.map(|client| self.clients.index(client, now));
        let account = index.and_then(|index| self.clients.get(index));
        let price = account.and_then(Account::mean);
        let own = account.map_or(0, Account::in_flight);
        if account.is_some_and(Account::is_known_well)
            && price.is_some_and(|price| is_hogging(price, own, self.workers, self.budget))
        {
            return Err(UNFAIR);
        }
        if waiting > 0 || self.in_flight.load(Ordering::Relaxed) as u64 >= self.workers {
            let time = self.price(price, now);
            let load = self.load(now);
            if own > 0 && self.is_unfair(time.saturating_mul(own + 1), load.saturating_add(time)) {
                return Err(UNFAIR);
            }
            if waiting > 0 && load / self.workers + time > self.budget {
                return Err(TOO_LATE);
            }
        }
        Ok(Place::new(self, index, price, now))
    }

    /// Whether a job is likely to be answered within its deadline that only one worker may take; `waiting` others are for
    /// the same worker. The first is always.
    pub(crate) fn admits_to_one(&self, waiting: usize, now: Instant) -> bool {
        let turns = waiting as u64 + 2;
        waiting == 0 || self.expected(&self.service, now).saturating_mul(turns) <= self.budget
    }

    /// What the pool is loaded with, as the engines' time in nanoseconds.
    fn load(&self, now: Instant) -> u64 {
        let unpriced = self.unpriced.load(Ordering::Relaxed).saturating_mul(self.price(None, now)) / 2;
        self.priced.load(Ordering::Relaxed).saturating_add(unpriced)
    }

    /// What the pool is loaded with, in percent of what is likely to be answered in time.
    pub(crate) fn percent_of_budget(&self, now: Instant) -> u8 {
        let most = self.budget.saturating_mul(self.workers).max(1);
        (u128::from(self.load(now)) * 100 / u128::from(most)).min(100) as u8
    }

    fn is_unfair(&self, own: u64, all: u64) -> bool {
        is_unfair(own, all, self.budget.saturating_mul(self.workers))
    }

    /// The expected time of a job in nanoseconds, by the mean of its client's jobs if that is known.
    fn price(&self, price: Option<u64>, now: Instant) -> u64 {
        price.map_or_else(|| self.expected(&self.first, now), |price| price.max(self.throttle))
    }

    fn expected(&self, recent: &Recent, now: Instant) -> u64 {
        recent.mean(now).max(self.throttle)
    }

    /// Counts a verdict.
    pub(crate) fn count_verdict(&self) {
        self.verdicts.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of verdicts since the start.
    pub(crate) fn verdicts(&self) -> u64 {
        self.verdicts.load(Ordering::Relaxed)
    }

    /// Whether the pool is down: no engine runs, and requests are answered at once.
    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Sets whether the pool is down, and returns whether that is a change.
    pub(crate) fn set_down(&self, down: bool) -> bool {
        self.down.swap(down, Ordering::Relaxed) != down
    }
}

impl Place {
    fn new(
        admission: &Arc<Admission>,
        account: Option<AccountIndex>,
        price: Option<u64>,
        now: Instant,
    ) -> Self {
        let half = price.map_or(0, |price| (price.max(admission.throttle) / 2).max(1));
        let place = Self { admission: Arc::clone(admission), account, half, begun: false };
        admission.in_flight.fetch_add(1, Ordering::Relaxed);
        place.account().into_iter().for_each(|account| admission.clients.admitted(account, now));
        place.load_by(2, AtomicU64::fetch_add);
        place
    }

    /// Counts that a worker has taken the job.
    pub(crate) fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.load_by(1, AtomicU64::fetch_sub);
        }
    }

    /// Whether the job's client has more than its share now that a worker has taken the job, while `waiting` others wait. At
    /// the job's admission it may not have been known how long the jobs of its client take.
    pub(crate) fn is_unfair(&self, waiting: usize, now: Instant) -> bool {
        let admission = &self.admission;
        let Some(account) = self.account().filter(|_| waiting > 0) else { return false };
        let own = account.in_flight();
        let others = (admission.in_flight.load(Ordering::Relaxed) as u64).saturating_sub(own);
        let load = admission.price(account.mean(), now).saturating_mul(own);
        own > 1 && others > 0 && admission.is_unfair(load, admission.load(now))
    }

    fn account(&self) -> Option<&Account> {
        self.admission.clients.get(self.account?)
    }

    fn load_by(&self, halves: u64, change: fn(&AtomicU64, u64, Ordering) -> u64) {
        match self.half {
            0 => change(&self.admission.unpriced, halves, Ordering::Relaxed),
            half => change(&self.admission.priced, half * halves, Ordering::Relaxed),
        };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load_by(if self.begun { 1 } else { 2 }, AtomicU64::fetch_sub);
        self.account().into_iter().for_each(Account::settled);
        self.admission.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(workers: usize, throttle: Duration) -> Arc<Admission> {
        Arc::new(Admission::new(workers, Duration::from_millis(500), throttle))
    }

    /// Places until one is refused, at most this many.
    fn fill(admission: &Arc<Admission>, client: Option<ClientKey>, most: usize, now: Instant) -> Vec<Place> {
        let mut places = Vec::new();
        while places.len() < most {
            let waiting = places.len().saturating_sub(usize::try_from(admission.workers).unwrap());
            let Ok(place) = admission.admit(client, waiting, now) else { break };
            places.push(place);
        }
        places
    }

    #[test]
    fn admission_follows_the_measured_time_and_the_queue() {
        let (admission, now) = (admission(4, Duration::ZERO), Instant::now());
        let measure = |time, count| {
            let place = admission.admit(None, 0, now).unwrap();
            (0..count).for_each(|_| admission.served(time, Some(&place), now));
        };
        assert_eq!(fill(&admission, None, 10_000, now).len(), 10_000, "nothing is measured yet");
        measure(Duration::from_millis(10), 100);
        // 400 ms of 4 workers, less the job's own time.
        assert!((150..=160).contains(&fill(&admission, None, 10_000, now).len()));
        measure(Duration::from_secs(60), 100);
        assert_eq!(
            fill(&admission, None, 100, now).len(),
            5,
            "slow jobs count, but the first always gets its chance"
        );
        measure(Duration::from_millis(10), 64);
        assert!(
            (150..=160).contains(&fill(&admission, None, 10_000, now).len()),
            "forgotten as fast as learned"
        );
        assert_eq!(admission.priced.load(Ordering::Relaxed) + admission.unpriced.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn as_many_jobs_go_together_as_fit_in_a_millisecond() {
        let (admission, now) = (admission(4, Duration::ZERO), Instant::now());
        assert_eq!(admission.at_a_time(now), 1, "nothing is measured yet");
        admission.served(Duration::from_micros(90), None, now);
        assert_eq!(admission.at_a_time(now), 11);
        (0..64).for_each(|_| admission.served(Duration::from_millis(2), None, now));
        assert_eq!(admission.at_a_time(now), 1);
    }

    #[test]
    fn the_throttle_is_known_before_anything_is_measured() {
        let (admission, now) = (admission(1, Duration::from_millis(100)), Instant::now());
        // One at the worker, and three that wait: the last is expected after 400 ms.
        assert_eq!(fill(&admission, None, 100, now).len(), 4);
        assert!(admission.admits_to_one(2, now) && !admission.admits_to_one(3, now));
    }
}
