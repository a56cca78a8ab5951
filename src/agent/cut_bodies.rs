//! The warning that bodies are longer than what HAProxy sends of them: whatever an attacker puts behind that is not
//! inspected, and no verdict says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slog::{Logger, warn};

use super::policy::Truncated;
use crate::message::request::Request;

/// Time between two warnings.
const INTERVAL: Duration = Duration::from_secs(60);

/// The bodies since the last warning.
#[derive(Debug, Default)]
pub(super) struct CutBodies {
    requests: AtomicU64,
    /// Bytes of the largest of them, as it was announced.
    largest: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl CutBodies {
    /// Counts a request, when its body was cut and is inspected all the same.
    pub(super) fn request(&self, request: &Request, policy: Truncated) {
        if request.truncated && policy == Truncated::Inspect {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.largest.fetch_max(request.announced, Ordering::Relaxed);
        }
    }

    /// Logs the first body at once, and then what came, once in [`INTERVAL`]. To be called about once a second.
    pub(super) fn review(&self, log: &Logger, now: Instant) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| now.duration_since(at) < INTERVAL)
            || self.requests.load(Ordering::Relaxed) == 0
        {
            return;
        }
        *warned = Some(now);
        let requests = self.requests.swap(0, Ordering::Relaxed);
        let largest = self.largest.swap(0, Ordering::Relaxed);
        warn!(log, # "bodies_cut", "bodies were cut and only their beginning inspected: raise HAProxy's tune.bufsize and --max-frame-size, or use \
            --truncated deny"; "requests" => requests, "largest_bytes" => largest);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use slog::{Drain, KV, Logger, Never, OwnedKVList, Record, Serializer, o};

    use super::*;

    /// The values of each line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Values(String);

    impl Serializer for Values {
        fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
            self.0 = format!("{key}={value} {}", self.0);
            Ok(())
        }
    }

    impl Drain for Lines {
        type Ok = ();
        type Err = Never;

        fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            let mut values = Values(String::new());
            record.kv().serialize(record, &mut values).unwrap();
            self.0.lock().unwrap().push(values.0);
            Ok(())
        }
    }

    #[test]
    fn each_minute_has_one_line_and_no_body_is_left_out() {
        let (lines, cut, start) = (Lines::default(), CutBodies::default(), Instant::now());
        let log = Logger::root(lines.clone().fuse(), o!());
        let told = |seconds: u64, requests: u64, largest: u64| {
            cut.requests.fetch_add(requests, Ordering::Relaxed);
            cut.largest.fetch_max(largest, Ordering::Relaxed);
            cut.review(&log, start + Duration::from_secs(seconds));
            std::mem::take(&mut *lines.0.lock().unwrap())
        };
        assert!(told(0, 0, 0).is_empty());
        assert_eq!(told(1, 2, 500), ["requests=2 largest_bytes=500 "]);
        assert!(told(2, 3, 900).is_empty() && told(60, 1, 700).is_empty());
        assert_eq!(told(61, 0, 0), ["requests=4 largest_bytes=900 "]);
        assert!(told(200, 0, 0).is_empty());
        assert_eq!(told(201, 1, 20), ["requests=1 largest_bytes=20 "]);
    }
}
