//! An open-loop SPOP client: it sends at a fixed rate whatever the answers do, as the internet does.
//!
//! One thread sends, one thread per link reads. Both are bounded in count and in time. Latency is counted from the moment
//! at which the sender began to write, so an agent that stops reading cannot hide what it owes.

use super::agent::{Agent, CpuTime};
use super::spop::{Ack, Link, Message};
use super::waiting::{SetAtEnd, uninterrupted};
use super::wire::Frame;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The client's own share of a latency, on a machine whose cores also run the agent and other tests.
pub const TOLERANCE: Duration = Duration::from_millis(50);

/// How often the sender sends what is due since it did last: in one write on the next link, as HAProxy does under load.
/// A write for each frame would cost the client more CPU time than the answers cost the agent.
const TICK: Duration = Duration::from_millis(2);

/// How long after the last request answers are waited for: far longer than any deadline of these tests.
const LATE: Duration = Duration::from_secs(3);

/// What is sent.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Requests per second.
    pub rate: f64,
    /// For how long.
    pub time: Duration,
    /// Over how many links, pipelined.
    pub links: usize,
    /// The agent's `--deadline`.
    pub deadline: Duration,
}

/// What became of one request.
pub struct Fate {
    /// When it was sent.
    pub sent: Instant,
    /// When its first answer came, and the answer.
    pub answer: Option<(Instant, Ack)>,
}

impl Fate {
    /// From the first byte sent to the answer read.
    pub fn latency(&self) -> Option<Duration> {
        self.answer.as_ref().map(|(when, _)| *when - self.sent)
    }
}

/// What became of all of them.
pub struct Outcome {
    pub plan: Plan,
    /// By number, in the order of sending.
    pub fates: Vec<Fate>,
    /// Answers beyond the first to the same request.
    pub repeated: usize,
    /// How far the sender fell behind its own pace.
    pub lag: Duration,
    /// The agent's memory in KiB: before, at most, and after.
    pub memory: (u64, u64, u64),
    /// CPU time from the first request to the last answer.
    pub cpu: CpuTime,
}

/// Floods the agent with these requests.
pub fn flood(agent: &Agent, plan: Plan, request: impl Fn(usize) -> Message) -> Outcome {
    let count = (plan.rate * plan.time.as_secs_f64()) as usize;
    let frames: Vec<Vec<u8>> = (0..count).map(|n| request(n).notify(n as u64, 1).encode()).collect();
    let streams: Vec<TcpStream> = (0..plan.links).map(|_| connect(agent.address())).collect();
    let before = agent.resident_kib();
    let cpu = agent.cpu_time();
    let end = Instant::now() + plan.time + LATE;
    let (done, missing) = (AtomicBool::new(false), AtomicUsize::new(count));

    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(agent.resident_kib());
                thread::sleep(Duration::from_millis(100));
            }
            most
        });
        let end_of_sampling = SetAtEnd(&done);
        let readers: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| read_acks(stream, &missing, end))).collect();
        let (sent, lag) = send(&streams, &frames, plan.rate);
        let mut fates: Vec<Fate> = sent.into_iter().map(|sent| Fate { sent, answer: None }).collect();
        let mut repeated = 0;
        let acks: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        let cpu = agent.cpu_time().since(cpu);
        for (when, ack) in acks {
            let fate = &mut fates[usize::try_from(ack.stream).unwrap()];
            match fate.answer {
                None => fate.answer = Some((when, ack)),
                Some(_) => repeated += 1,
            }
        }
        drop(end_of_sampling);
        let memory = (before, sampler.join().unwrap(), agent.resident_kib());
        Outcome { plan, fates, repeated, lag, memory, cpu }
    })
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    Link::over(stream.try_clone().unwrap()).shake_hands();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream
}

/// Sends each frame when it is due. Gives when each was sent, and how late the latest was.
fn send(streams: &[TcpStream], frames: &[Vec<u8>], rate: f64) -> (Vec<Instant>, Duration) {
    let start = Instant::now();
    let mut sent = Vec::with_capacity(frames.len());
    let mut lag = Duration::ZERO;
    for mut stream in streams.iter().cycle() {
        let Some(rest) = frames.get(sent.len()..).filter(|rest| !rest.is_empty()) else { break };
        let due = start + Duration::from_secs_f64(sent.len() as f64 / rate);
        // The pace itself.
        thread::sleep(due.saturating_duration_since(Instant::now()).max(TICK));
        let now = Instant::now();
        lag = lag.max(now - due);
        let owed = ((now - start).as_secs_f64() * rate) as usize + 1 - sent.len();
        let batch = &rest[..owed.min(rest.len())];
        stream.write_all(&batch.concat()).expect("the agent closed a link");
        sent.extend(batch.iter().map(|_| now));
    }
    (sent, lag)
}

/// Reads ACKs until none is missing on any link, this one is closed, or it is too late.
fn read_acks(mut stream: &TcpStream, missing: &AtomicUsize, end: Instant) -> Vec<(Instant, Ack)> {
    let (mut acks, mut input, mut buffer) = (Vec::new(), Vec::new(), vec![0; 65536]);
    while missing.load(Ordering::Relaxed) > 0 && Instant::now() < end {
        let read = match uninterrupted(|| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => panic!("the agent broke a link: {error}"),
        };
        let now = Instant::now();
        input.extend_from_slice(&buffer[..read]);
        let mut rest = input.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let Some((frame, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize) else {
                break;
            };
            acks.push((now, Ack::read(&Frame::decode(frame))));
            // Below zero, if an answer is repeated: then this goes on for a while, and finds more of them.
            missing.fetch_sub(1, Ordering::Relaxed);
            rest = after;
        }
        input = rest.to_vec();
    }
    acks
}

/// How many verdicts a second the agent gives to clients that each wait for their answer.
pub fn closed_loop(agent: &Agent, clients: usize, time: Duration, request: &Message) -> f64 {
    let end = Instant::now() + time;
    let ask = || {
        let mut link = agent.link();
        std::iter::repeat_with(|| link.ask(request)).take_while(|_| Instant::now() < end).count()
    };
    let verdicts: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    verdicts as f64 / time.as_secs_f64()
}

impl Outcome {
    /// Verdicts within the deadline, per second, between the first quarter and the end of the sending: without the calm
    /// before the queue is full and after it.
    pub fn goodput(&self) -> f64 {
        let (Some(first), Some(last)) = (self.fates.first(), self.fates.last()) else { return 0.0 };
        let (from, to) = (first.sent + self.plan.time / 4, last.sent);
        let good = self.fates.iter().filter(|fate| {
            let inside = |(when, ack): &(Instant, Ack)| ack.error().is_none() && (from..to).contains(when);
            self.in_time(fate) && fate.answer.as_ref().is_some_and(inside)
        });
        good.count() as f64 / (to - from).as_secs_f64()
    }

    fn in_time(&self, fate: &Fate) -> bool {
        fate.latency().is_some_and(|latency| latency <= self.plan.deadline + TOLERANCE)
    }

    /// The share of requests without any answer in time, from 0 to 1.
    pub fn unanswered(&self) -> f64 {
        let none = self.fates.iter().filter(|fate| !self.in_time(fate)).count();
        none as f64 / self.fates.len() as f64
    }

    /// How many requests were answered by each kind of error; verdicts are under "".
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for (_, ack) in self.fates.iter().filter_map(|fate| fate.answer.as_ref()) {
            *kinds.entry(ack.error().unwrap_or("")).or_default() += 1;
        }
        kinds
    }

    /// Median and maximum in milliseconds of the answers for which `wanted` holds.
    pub fn latency(&self, wanted: impl Fn(&Ack) -> bool) -> (f64, f64) {
        let fates = self.fates.iter().filter(|fate| fate.answer.as_ref().is_some_and(|(_, ack)| wanted(ack)));
        let mut all: Vec<_> = fates.filter_map(Fate::latency).collect();
        all.sort_unstable();
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        (ms(all.get(all.len() / 2)), ms(all.last()))
    }

    /// The head of the table of which [`Outcome::row`] is a row.
    pub fn head() -> String {
        format!(
            "{:>5} {:>9} {:>9} {:>8} {:>8} {:>8} {:>14} {:>14} {:>7} {:>8} {:>6} {:>17} {:>8}",
            "load",
            "offered/s",
            "goodput/s",
            "overl./s",
            "tmout/s",
            "other/s",
            "verdict ms",
            "error ms",
            "unansw.",
            "RSS KiB",
            "lag ms",
            "CPU % f./eng./cl.",
            "µs front"
        )
    }

    /// What is worth knowing, in one line.
    pub fn row(&self, load: &str) -> String {
        let span = self.plan.time.as_secs_f64();
        let kinds = self.kinds();
        let per_second = |kind: &str| kinds.get(kind).copied().unwrap_or(0) as f64 / span;
        let errors: f64 = kinds.keys().filter(|kind| !kind.is_empty()).map(|kind| per_second(kind)).sum();
        let (verdict, verdict_max) = self.latency(|ack| ack.error().is_none());
        let (error, error_max) = self.latency(|ack| ack.error().is_some());
        let (overload, timeout) = (per_second("overload"), per_second("timeout"));
        let mut row = String::new();
        write!(row, "{load:>5} {:>9.0} {:>9.1}", self.fates.len() as f64 / span, self.goodput()).unwrap();
        write!(row, " {overload:>8.1} {timeout:>8.1} {:>8.1}", errors - overload - timeout).unwrap();
        write!(row, " {verdict:>6.1}/{verdict_max:>7.1} {error:>6.1}/{error_max:>7.1}").unwrap();
        write!(row, " {:>6.2}% {:>8}", self.unanswered() * 100.0, self.memory.1).unwrap();
        write!(row, " {:>6.1}", self.lag.as_secs_f64() * 1000.0).unwrap();
        let percent = |time: f64| time / span * 100.0;
        let CpuTime { front, engines, client } = self.cpu;
        write!(row, " {:>5.0}/{:>5.0}/{:>5.0}", percent(front), percent(engines), percent(client)).unwrap();
        write!(row, " {:>8.1}", front / self.fates.len() as f64 * 1e6).unwrap();
        row
    }
}
