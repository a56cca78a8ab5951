//! Whom admission lets in: a simulation of the pool in which time is only a number, around the real [`Admission`].

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::{Admission, Place, TOO_LATE, UNFAIR};
use super::fairness::ClientKey;

const DEADLINE: Duration = Duration::from_millis(500);

/// One request of the simulation.
#[derive(Clone, Copy)]
struct Offer {
    at: Duration,
    client: Option<u32>,
    takes: Duration,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Inspected,
    Unfair,
    TooLate,
    Overdue,
}

/// `rate` requests a second for some time, from each of these clients in turn.
fn stream(
    (from, seconds): (f64, f64),
    rate: u32,
    takes_ms: u64,
    clients: impl Iterator<Item = u32> + Clone,
) -> impl Iterator<Item = Offer> + Clone {
    let count = (seconds * f64::from(rate)) as u32;
    let at = move |number| Duration::from_secs_f64(from + f64::from(number) / f64::from(rate));
    (0..count).zip(clients.cycle()).map(move |(number, client)| Offer {
        at: at(number),
        client: Some(client),
        takes: Duration::from_millis(takes_ms),
    })
}

/// A pool of workers that take what waits in order.
struct Pool {
    admission: Arc<Admission>,
    start: Instant,
    workers: Vec<Worker>,
    waiting: VecDeque<(usize, Place)>,
    fates: Vec<Fate>,
}

#[derive(Default)]
struct Worker {
    /// The request, its place and when it began.
    at: Option<(usize, Place, Duration)>,
}

impl Pool {
    fn new(workers: usize) -> Self {
        Self {
            admission: Arc::new(Admission::new(workers, DEADLINE, Duration::ZERO)),
            start: Instant::now(),
            workers: std::iter::repeat_with(Worker::default).take(workers).collect(),
            waiting: VecDeque::new(),
            fates: Vec::new(),
        }
    }

    /// Offers all of these and returns what became of each.
    fn run(&mut self, offers: impl IntoIterator<Item = Offer>) -> Vec<(Offer, Fate)> {
        let mut offers: Vec<_> = offers.into_iter().collect();
        offers.sort_by_key(|offer| offer.at);
        self.fates = vec![Fate::Overdue; offers.len()];
        for (number, offer) in offers.iter().enumerate() {
            self.work(&offers, offer.at);
            let client = offer.client.map(|client| ClientKey::V4(Ipv4Addr::from_bits(client)));
            match self.admission.admit(client, self.waiting.len(), self.start + offer.at) {
                Ok(place) => self.waiting.push_back((number, place)),
                Err(UNFAIR) => self.fates[number] = Fate::Unfair,
                Err(cause) => {
                    assert_eq!(cause, TOO_LATE);
                    self.fates[number] = Fate::TooLate;
                }
            }
            self.work(&offers, offer.at);
        }
        self.work(&offers, Duration::from_secs(3600));
        assert!(self.waiting.is_empty());
        offers.into_iter().zip(self.fates.drain(..)).collect()
    }

    /// Lets the workers work until this moment.
    fn work(&mut self, offers: &[Offer], until: Duration) {
        loop {
            let ends = self.workers.iter_mut().filter_map(|worker| {
                let (number, _, begin) = worker.at.as_ref()?;
                Some((*begin + offers[*number].takes, worker))
            });
            let Some((end, worker)) = ends.min_by_key(|(end, _)| *end).filter(|(end, _)| *end <= until)
            else {
                // Nobody ends: whoever is idle takes what came at this moment.
                return self.take(offers, until.min(offers.last().map_or(until, |offer| offer.at)));
            };
            if let Some((number, place, begin)) = worker.at.take() {
                self.admission.served(end - begin, Some(&place), self.start + end);
                let in_time = end <= offers[number].at + DEADLINE;
                self.fates[number] = if in_time { Fate::Inspected } else { Fate::Overdue };
            }
            self.take(offers, end);
        }
    }

    fn take(&mut self, offers: &[Offer], now: Duration) {
        for worker in self.workers.iter_mut().filter(|worker| worker.at.is_none()) {
            while let Some((number, mut place)) = self.waiting.pop_front() {
                if now >= offers[number].at + DEADLINE {
                    continue;
                }
                place.begin();
                if place.is_unfair(self.waiting.len(), self.start + now) {
                    self.fates[number] = Fate::Unfair;
                    continue;
                }
                worker.at = Some((number, place, now));
                break;
            }
        }
    }
}

/// The share of requests that were inspected in time, of those that take this long, in percent.
fn inspected(fates: &[(Offer, Fate)], takes_ms: u64) -> usize {
    let of = fates.iter().filter(|(offer, _)| offer.takes == Duration::from_millis(takes_ms));
    let (all, good) =
        of.fold((0, 0), |(all, good), (_, fate)| (all + 1, good + usize::from(*fate == Fate::Inspected)));
    good * 100 / all
}

/// The time of engines that went into verdicts, per second.
fn work_done(fates: &[(Offer, Fate)], seconds: f64) -> f64 {
    let done = fates.iter().filter(|(_, fate)| *fate == Fate::Inspected);
    done.map(|(offer, _)| offer.takes.as_secs_f64()).sum::<f64>() / seconds
}

const FLOODER: u32 = 7;

#[test]
fn one_client_with_slow_requests_leaves_the_others_what_they_need() {
    for workers in [1, 2, 5] {
        for (rate, takes_ms) in [(40, 112), (400, 112), (40, 450), (2000, 20), (3000, 3)] {
            let flood = stream((0.0, 10.0), rate, takes_ms, FLOODER..FLOODER + 1);
            let clean = stream((0.0, 10.0), 50, 2, 1000..1050);
            let fates = Pool::new(workers).run(flood.chain(clean));
            let (good, work) = (inspected(&fates, 2), work_done(&fates, 10.0));
            println!(
                "{workers} workers, {rate} a second of {takes_ms} ms: {good} % of the clean ones, {work:.2} s a second"
            );
            assert!(good >= 95, "{workers} workers, {rate} a second of {takes_ms} ms: {good} %");
            // Who sends very slow requests gets half of the workers.
            let for_slow = if takes_ms > 200 { (workers / 2).max(1) } else { workers } as f64;
            let offered = (f64::from(rate) * takes_ms as f64 / 1000.0).min(for_slow) + 0.1;
            assert!(work >= offered.min(workers as f64) * 0.9, "engines are idle: {work:.2} s a second");
        }
    }
}

#[test]
fn a_burst_that_comes_at_once_does_not_outlast_the_first_measurement() {
    // Nothing is known of the flooder when all of this comes at the same moment.
    let flood = stream((0.5, 0.001), 40_000, 112, FLOODER..FLOODER + 1);
    let clean = stream((0.0, 2.0), 50, 2, 1000..1050);
    let fates = Pool::new(2).run(flood.chain(clean));
    assert_eq!(inspected(&fates, 2), 100);
}

#[test]
fn who_looks_harmless_first_gains_a_moment() {
    let trick = |second: u32| {
        let from = f64::from(second) * 3.0;
        let harmless = stream((from, 0.2), 500, 1, FLOODER..FLOODER + 1);
        harmless.chain(stream((from + 0.3, 0.001), 300_000, 112, FLOODER..FLOODER + 1))
    };
    let clean = stream((0.0, 30.0), 50, 2, 1000..1050);
    for workers in [1, 2, 5] {
        let good = inspected(&Pool::new(workers).run((0..10).flat_map(trick).chain(clean.clone())), 2);
        println!("{workers} workers: {good} % of the clean ones");
        assert!(good >= 95, "{workers} workers: {good} %");
    }
}

#[test]
fn after_a_flood_a_burst_is_admitted_at_once() {
    let mut pool = Pool::new(2);
    let flood = stream((0.0, 5.0), 40, 112, FLOODER..FLOODER + 1);
    let clean = stream((0.0, 5.0), 50, 2, 1000..1050);
    let burst = stream((5.0, 0.001), 100_000, 2, 5000..5100);
    let fates = pool.run(flood.chain(clean).chain(burst));
    let burst: Vec<_> = fates.into_iter().filter(|(offer, _)| offer.client >= Some(5000)).collect();
    assert_eq!((burst.len(), inspected(&burst, 2)), (100, 100));
}

#[test]
fn what_is_not_known_by_client_is_forgotten_as_fast_as_it_is_learned() {
    let nobody = |offer| Offer { client: None, ..offer };
    let mut pool = Pool::new(2);
    pool.run(stream((0.0, 5.0), 40, 112, 0..1).map(nobody));
    let calm = pool.run(stream((5.5, 0.32), 200, 2, 0..1).map(nobody));
    assert_eq!(inspected(&calm, 2), 100);
    let burst = pool.run(stream((6.0, 0.001), 200_000, 2, 0..1).map(nobody));
    assert_eq!(inspected(&burst, 2), 100, "200 that take 200 ms in all");
}

#[test]
fn a_client_that_is_alone_keeps_the_engines_busy() {
    for takes_ms in [2, 20, 112] {
        let fates =
            Pool::new(2).run(stream((0.0, 5.0), 4000 / takes_ms as u32, takes_ms, FLOODER..FLOODER + 1));
        let work = work_done(&fates, 5.0);
        assert!(work >= 1.9, "{takes_ms} ms: {work:.2} of 2 s a second");
    }
}

#[test]
fn many_behind_one_address_are_not_refused_while_there_is_room() {
    // 90 % of what the engines can do, two thirds of it from one address.
    let crowd = stream((0.0, 5.0), 600, 2, FLOODER..FLOODER + 1);
    let others = stream((0.0, 5.0), 300, 2, 1000..1050);
    assert_eq!(inspected(&Pool::new(2).run(crowd.chain(others)), 2), 100);
}

#[test]
fn many_clients_with_slow_requests_get_no_more_than_quick_ones_leave() {
    let bots = stream((0.0, 10.0), 100, 112, 0..20);
    let clean = stream((0.0, 10.0), 50, 2, 1000..1050);
    let good = inspected(&Pool::new(2).run(bots.chain(clean)), 2);
    assert!(good >= 90, "{good} %");
}
