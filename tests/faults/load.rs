//! Load on an agent: several pipelined links, and what must come of each request.

use crate::subject::{Subject, attack, clean, faulty};
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::{SetAtEnd, wait_until};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Links at a time.
const LINKS: usize = 4;

/// Requests on one link that wait for their ACK.
const WINDOW: usize = 8;

/// How long a load may take; usually it is seconds.
const LONGEST: Duration = Duration::from_secs(90);

/// What must come of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A verdict: 0 or 403.
    Code(i64),
    /// No verdict, and this reason.
    Error(&'static str),
}

/// A request, and what must come of it.
type Task = (Message, Due);

/// What came of a request.
#[derive(Debug)]
struct Outcome {
    due: Due,
    ack: Ack,
    sent: Instant,
    received: Instant,
}

/// What came of all requests.
pub struct Outcomes {
    all: Vec<Outcome>,
    /// When the machine had other things to do: then a thread that asked for nothing but to be woken was not.
    stalls: Vec<(Instant, Instant)>,
}

impl Outcome {
    /// What came instead of a verdict.
    fn error(&self) -> Option<&str> {
        self.ack.error()
    }

    /// Whether it is what was due.
    fn is_right(&self) -> bool {
        match self.due {
            Due::Code(code) => (self.ack.code(), self.error()) == (Some(code), None),
            Due::Error(error) => (self.ack.code(), self.error()) == (None, Some(error)),
        }
    }
}

/// The task with this number that has no fault: every tenth is an attack.
fn healthy(number: u64) -> Task {
    if number % 10 == 3 { (attack(number), Due::Code(403)) } else { (clean(number), Due::Code(0)) }
}

/// `total` tasks from number `first` on, `faults` of them faulty and evenly spread, of these kinds in turn. Each is
/// unlike all others, so that none is caught by the quarantine.
pub fn mix(first: u64, total: usize, faults: usize, kinds: &[(&str, &'static str)]) -> Vec<Task> {
    let block = total / faults;
    (0..total)
        .map(|at| {
            let (number, turn) = (first + at as u64, at / block);
            // Not always at the same place of its block, so that no link gets all of them.
            if turn < faults && at % block == turn * 7 % block {
                let (kind, error) = kinds[turn % kinds.len()];
                return (faulty(kind, number), Due::Error(error));
            }
            healthy(number)
        })
        .collect()
}

/// Sends all of these over several links, and gives what came of each.
pub fn send(subject: &Subject, tasks: Vec<Task>) -> Outcomes {
    let tasks = Mutex::new(tasks.into_iter());
    run(subject, &AtomicUsize::new(0), &|| tasks.lock().unwrap().next(), || {})
}

/// Sends what `next` gives over several links until it gives no more, while `body` runs.
fn run(
    subject: &Subject,
    received: &AtomicUsize,
    next: &(impl Fn() -> Option<Task> + Sync),
    body: impl FnOnce(),
) -> Outcomes {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The watch ends even when something here panics.
        let watch = SetAtEnd(&over);
        let stalls = scope.spawn(|| watch_the_machine(&over));
        let links = [(); LINKS].map(|()| scope.spawn(|| pump(subject.agent.link(), next, received)));
        body();
        let all = links.into_iter().flat_map(|link| link.join().unwrap()).collect();
        drop(watch);
        Outcomes { all, stalls: stalls.join().unwrap() }
    })
}

/// Notes when this thread is not woken in time.
fn watch_the_machine(over: &AtomicBool) -> Vec<(Instant, Instant)> {
    let (nap, late) = (Duration::from_millis(5), Duration::from_millis(25));
    let mut stalls = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        std::thread::sleep(nap);
        if start.elapsed() > late {
            stalls.push((start, Instant::now()));
        }
    }
    stalls
}

/// Load that goes on while something is done to the agent.
pub struct Running<'a>(&'a AtomicUsize);

impl Running<'_> {
    /// Waits until so many more requests were answered.
    pub fn wait_for_more(&self, count: usize) {
        let goal = self.0.load(Ordering::Relaxed) + count;
        wait_until("answers", || self.0.load(Ordering::Relaxed) >= goal);
    }
}

/// Keeps the agent busy with clean requests and attacks until `body` is done; gives what came of each.
pub fn send_during(subject: &Subject, body: impl FnOnce(&Running<'_>)) -> Outcomes {
    let (over, received, number) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let next = || healthy(number.fetch_add(1, Ordering::Relaxed) as u64);
    run(subject, &received, &|| (!over.load(Ordering::Relaxed)).then(next), || {
        // The load ends even when `body` panics.
        let (_end, running) = (SetAtEnd(&over), Running(&received));
        running.wait_for_more(200);
        body(&running);
        running.wait_for_more(200);
    })
}

/// Keeps the agent busy with this one clean request until `body` is done; gives what came of it each time.
pub fn send_popular_during(
    subject: &Subject,
    popular: &Message,
    body: impl FnOnce(&Running<'_>),
) -> Outcomes {
    let (over, received) = (AtomicBool::new(false), AtomicUsize::new(0));
    let next = || (!over.load(Ordering::Relaxed)).then(|| (popular.clone(), Due::Code(0)));
    run(subject, &received, &next, || {
        let (_end, running) = (SetAtEnd(&over), Running(&received));
        running.wait_for_more(200);
        body(&running);
        running.wait_for_more(200);
    })
}

/// Sends over one link until there is nothing more to send, and waits for every ACK.
fn pump(mut link: Link, next: impl Fn() -> Option<Task>, received: &AtomicUsize) -> Vec<Outcome> {
    let (mut waiting, mut outcomes, mut stream) = (HashMap::new(), Vec::new(), 0);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < LONGEST, "after {LONGEST:?} the load is not over");
        while waiting.len() < WINDOW {
            let Some((message, due)) = next() else { break };
            stream += 1;
            waiting.insert(stream, (due, Instant::now()));
            link.send(&message.notify(stream, 1));
        }
        if waiting.is_empty() {
            return outcomes;
        }
        let (ack, now) = (link.expect_ack(), Instant::now());
        let (due, sent) = waiting.remove(&ack.stream).expect("an ACK that nobody waits for");
        outcomes.push(Outcome { due, ack, sent, received: now });
        received.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outcomes {
    /// Checks that every request had what was due, except that so many at most may have this error instead of a verdict.
    #[track_caller]
    pub fn expect_right_but_for(&self, lost: usize, error: &str) {
        let mut wrong: Vec<_> = self.all.iter().filter(|outcome| !outcome.is_right()).collect();
        let slowest = self.all.iter().map(|outcome| self.wait_of(outcome)).max().unwrap_or_default();
        println!("{} requests, {} without what was due, slowest {slowest:?}", self.all.len(), wrong.len());
        let all = wrong.len();
        wrong.retain(|outcome| !matches!(outcome.due, Due::Code(_)) || outcome.error() != Some(error));
        assert!(wrong.is_empty(), "{} wrong, such as {:?}", wrong.len(), wrong[0]);
        assert!(all <= lost, "{all} without a verdict, where {lost} may be");
    }

    /// Checks that every request had what was due.
    #[track_caller]
    pub fn expect_right(&self) {
        self.expect_right_but_for(0, "");
    }

    /// Checks that no request waited longer. Time in which the machine stalled does not count.
    #[track_caller]
    pub fn expect_waits_below(&self, longest: Duration) {
        let slow = self.all.iter().filter(|outcome| self.wait_of(outcome) > longest).count();
        let worst = self.all.iter().max_by_key(|outcome| self.wait_of(outcome)).unwrap();
        let wait = self.wait_of(worst);
        assert!(slow == 0, "{slow} of {} waited {longest:?}, the worst {wait:?}: {worst:?}", self.all.len());
    }

    /// The requests that had each kind of error; those with a verdict are under "".
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for outcome in &self.all {
            *kinds.entry(outcome.error().unwrap_or_default()).or_default() += 1;
        }
        kinds
    }

    /// How long after this moment the first request had its verdict that was sent then or later. Time in which the machine
    /// stalled does not count.
    pub fn first_verdict_after(&self, moment: Instant) -> Duration {
        let later = self.all.iter().filter(|outcome| outcome.sent >= moment && outcome.error().is_none());
        let first = later.min_by_key(|outcome| outcome.received).expect("a verdict");
        let stalled = self.stalled(moment, first.received);
        (first.received - moment).saturating_sub(stalled)
    }

    fn wait_of(&self, outcome: &Outcome) -> Duration {
        (outcome.received - outcome.sent).saturating_sub(self.stalled(outcome.sent, outcome.received))
    }

    /// The time in which the machine stalled between these two moments.
    fn stalled(&self, from: Instant, to: Instant) -> Duration {
        let overlap =
            |&(start, end): &(Instant, Instant)| end.min(to).saturating_duration_since(start.max(from));
        self.stalls.iter().map(overlap).sum()
    }
}
