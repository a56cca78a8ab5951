//! Fairness among clients: accounts of what each client has in flight, and of the time that its requests take an engine.
//!
//! A client's load is the number of its jobs that are not settled times the measured time of one. When jobs wait, a client
//! may load the pool with [`GREED`] times what is left free, and is refused above that: the dynamic threshold by which
//! switches share a buffer (Choudhury and Hahne, 1998). So one client alone may fill three quarters of the queue, and a
//! quarter stays free for all others; the more clients fill it, the less each of them may have; and nobody has to know how
//! many clients there are. As jobs leave a lane in order, a client's part of what waits is its part of the engines' time.
//!
//! The accounts are a table of fixed size with a keyed hash: a peer can neither make it grow nor aim at the account of
//! another client. A client that has had nothing in flight for a few deadlines is forgotten: if it then sends other requests,
//! they are not judged by those that it sent before.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many times what is left free one client may have.
const GREED: u64 = 3;

/// The part of the whole queue that a client may always have is one divided by this number: a page and what belongs to it.
const LEAST_PART: u64 = 32;

/// The mean time of a client's requests is that of about this many. With fewer, one slow request from an address that many
/// share would make all that come after it look slow.
const SAMPLES: u32 = 64;

/// Accounts that a client's may be among, and the number of such sets: when all of a set are in use, clients share one.
const WAYS: u16 = 4;
const SETS: u16 = 1024;

/// A client as far as fairness is concerned: an IPv4 address, or the 64 bits of an IPv6 address that are the network's. The
/// rest of an IPv6 address is the client's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl From<IpAddr> for ClientKey {
    /// An IPv4 address within IPv6 (`::ffff:0:0/96`, or `64:ff9b::/96` of RFC 6052) counts as the IPv4 address.
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => match address.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Self::V4(Ipv4Addr::from_bits(address.to_bits() as u32)),
                _ => Self::V6((address.to_bits() >> 64) as u64),
            },
        }
    }
}

/// Names an account in [`Accounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountIndex(u16);

/// One client's account.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The hash of the client; 0: nobody's.
    owner: AtomicU64,
    /// Jobs that were admitted and are not settled.
    in_flight: AtomicU32,
    /// Measurements in the mean, up to [`SAMPLES`].
    samples: AtomicU32,
    /// The mean time of a job, in nanoseconds.
    mean: AtomicU64,
    /// When a job was admitted or measured last, in milliseconds since the table was made.
    last: AtomicU64,
}

impl Account {
    /// The number of jobs that were admitted and are not settled.
    pub(super) fn in_flight(&self) -> u64 {
        u64::from(self.in_flight.load(Ordering::Relaxed))
    }

    /// The mean time of the client's jobs in nanoseconds, if any was measured.
    pub(super) fn mean(&self) -> Option<u64> {
        (self.samples.load(Ordering::Relaxed) > 0).then(|| self.mean.load(Ordering::Relaxed))
    }

    /// Whether the mean is that of several jobs: one may have been slow because the machine was busy.
    pub(super) fn is_known_well(&self) -> bool {
        self.samples.load(Ordering::Relaxed) >= 3
    }

    /// Counts a job that was settled.
    pub(super) fn settled(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The accounts of all clients.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Its keys are random, so nobody outside knows which clients share an account.
    hash: RandomState,
    start: Instant,
    /// A client is forgotten after this time, in milliseconds.
    memory: u64,
    accounts: Box<[Account]>,
}

impl Accounts {
    /// Accounts that nobody has yet. A client without a job for the time `memory` is forgotten.
    pub(super) fn new(memory: Duration) -> Self {
        let accounts = std::iter::repeat_with(Account::default).take(usize::from(SETS * WAYS)).collect();
        Self { hash: RandomState::new(), start: Instant::now(), memory: memory.as_millis() as u64, accounts }
    }

    /// The account with this index.
    pub(super) fn get(&self, index: AccountIndex) -> Option<&Account> {
        self.accounts.get(usize::from(index.0))
    }

    /// The index of the client's account: the one that it has, or one that nobody uses any more. When there is none in its
    /// set, it shares one with another client.
    pub(super) fn index(&self, client: ClientKey, now: Instant) -> AccountIndex {
        let hash = self.hash.hash_one(client) | 1;
        let first = (hash >> 32) as u16 % SETS * WAYS;
        let places = (first..first + WAYS).map(AccountIndex);
        let is_forgotten = |account: &Account| {
            account.in_flight() == 0
                && self.now(now).saturating_sub(account.last.load(Ordering::Relaxed)) > self.memory
        };
        for place in places.clone() {
            let Some(account) = self.get(place) else { break };
            if account.owner.load(Ordering::Relaxed) == hash {
                if is_forgotten(account) {
                    account.samples.store(0, Ordering::Relaxed);
                }
                return place;
            }
        }
        for place in places {
            let Some(account) = self.get(place) else { break };
            let owner = account.owner.load(Ordering::Relaxed);
            let is_free = owner == 0 || is_forgotten(account);
            let take = || account.owner.compare_exchange(owner, hash, Ordering::Relaxed, Ordering::Relaxed);
            if is_free && take().is_ok() {
                account.samples.store(0, Ordering::Relaxed);
                return place;
            }
        }
        AccountIndex(first + (hash >> 16) as u16 % WAYS)
    }

    /// Counts a job that was admitted. Only such jobs keep an account in use: refused ones cost their sender nothing.
    pub(super) fn admitted(&self, account: &Account, now: Instant) {
        account.in_flight.fetch_add(1, Ordering::Relaxed);
        account.last.store(self.now(now), Ordering::Relaxed);
    }

    /// Counts the time that a job of this account took, in nanoseconds. Returns whether it is the first that was measured.
    pub(super) fn measured(&self, account: &Account, time: u64, now: Instant) -> bool {
        // Two workers may overwrite each other's measurement, which hardly changes a mean.
        let samples = account.samples.load(Ordering::Relaxed).saturating_add(1).min(SAMPLES);
        let share = u64::from(samples);
        let mean = if samples == 1 { 0 } else { account.mean.load(Ordering::Relaxed) };
        account.mean.store(mean - mean / share + time / share, Ordering::Relaxed);
        account.samples.store(samples, Ordering::Relaxed);
        account.last.store(self.now(now), Ordering::Relaxed);
        samples == 1
    }

    fn now(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

/// Whether a client whose jobs take `time` each, with `own` of them in flight, has all the workers that it may have. Behind two
/// jobs that each take more than half of `budget`, the time that a job may be expected to take, nobody else is in time: then
/// one client gets half of the workers, even while others are idle.
pub(super) fn is_hogging(time: u64, own: u64, workers: u64, budget: u64) -> bool {
    time > budget / 2 && own >= (workers / 2).max(1)
}

/// Whether a client that has `load` has more than its share, when `all` is the load of all clients and `room` what may
/// wait. All of them are times of engines in nanoseconds.
pub(super) fn is_unfair(load: u64, all: u64, room: u64) -> bool {
    // Before the first of a client's jobs is measured, they may be priced too low in the sum.
    let free = room.saturating_sub(all.max(load));
    load > (GREED.saturating_mul(free)).max(room / LEAST_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_a_network_of_ipv6() {
        let key = |address: &str| ClientKey::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_eq!(key("64:ff9b::192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("64:ff9b::192.0.2.1"), key("64:ff9b::192.0.2.2"));
    }

    #[test]
    fn clients_have_accounts_of_their_own_until_all_are_in_use() {
        let (accounts, now) = (Accounts::new(Duration::from_secs(2)), Instant::now());
        let client = |number| ClientKey::V6(number);
        let admit = |number| {
            let index = accounts.index(client(number), now);
            accounts.admitted(accounts.get(index).unwrap(), now);
            index
        };
        let mut indices: Vec<_> = (0..500).map(admit).collect();
        assert!((0..500).all(|number| accounts.index(client(number), now) == indices[number as usize]));
        indices.sort_unstable();
        indices.dedup();
        assert!(indices.len() > 490, "{} accounts for 500 clients", indices.len());
        for number in 0..1_000_000 {
            assert!(accounts.get(accounts.index(client(number), now)).is_some());
        }
    }

    #[test]
    fn a_client_is_forgotten_when_it_has_nothing_in_flight() {
        let (accounts, now) = (Accounts::new(Duration::from_secs(2)), Instant::now());
        let mean = |after| {
            accounts.get(accounts.index(ClientKey::V6(1), now + Duration::from_secs(after))).unwrap().mean()
        };
        let account = accounts.get(accounts.index(ClientKey::V6(1), now)).unwrap();
        accounts.admitted(account, now);
        assert!(accounts.measured(account, 100, now) && !accounts.measured(account, 300, now));
        assert_eq!(mean(1), Some(200));
        assert_eq!(mean(10), Some(200), "it still waits");
        account.settled();
        assert_eq!(mean(20), None);
    }

    #[test]
    fn a_client_with_very_slow_requests_gets_half_of_the_workers() {
        let hogs = |time, workers| (0..10).find(|&own| is_hogging(time, own, workers, 400));
        assert_eq!([1, 2, 3, 4, 5].map(|workers| hogs(201, workers)), [1, 1, 1, 2, 2].map(Some));
        assert_eq!(hogs(200, 2), None);
    }

    #[test]
    fn the_more_waits_the_less_one_client_may_have() {
        assert!(!is_unfair(750, 750, 1000) && is_unfair(751, 751, 1000), "alone");
        assert!(!is_unfair(300, 900, 1000) && is_unfair(301, 900, 1000), "beside others");
        assert!(!is_unfair(31, 5000, 1000) && is_unfair(32, 5000, 1000), "nothing is free");
    }
}
