//! The agent of the tests: an engine that does what its requests say.

use super::*;

/// The name of the one message, and what it asks the engine to do.
#[derive(Clone)]
pub struct Order(String);

impl KV for Order {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_str("order", &self.0)
    }
}

/// Does what the first word of its order says: `panic`, `die`, `killed` (from outside), `vanish` (before it begins), `blight`
/// (the next order in this engine kills it), `fail`, `wait` (until the gate opens), `doomed` (panics then), `dawdle` (until
/// those behind it are somebody else's), or nothing. An order in [`TestAgent::deadly`] kills it, whatever it says.
pub struct Obedient {
    pub(super) gate: Arc<Gate>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) amid: Arc<Mutex<BTreeSet<String>>>,
    pub(super) deadly: Arc<Mutex<BTreeSet<String>>>,
    pub(super) is_blighted: bool,
    pub(super) was_killed: bool,
}

impl Obedient {
    fn obey(&mut self, order: &str) -> Result<(), EngineError> {
        let dead = |cause: &'static str| Err(EngineError::Dead(Failure::new(FailureKind::Crash, cause)));
        if self.is_blighted {
            return dead("late damage");
        }
        let is_deadly = self.deadly.lock().unwrap().contains(order);
        match order.split(' ').next().unwrap() {
            "vanish" if is_deadly => {
                Err(EngineError::DeadBefore(Failure::new(FailureKind::Crash, "vanished, as ordered")))
            }
            _ if is_deadly => dead("deadly"),
            "panic" => panic!("as ordered"),
            "fail" => Err(EngineError::Request("as ordered".to_owned())),
            "die" => Err(EngineError::Dead(Failure::new(FailureKind::Timeout, "took too long, as ordered"))),
            "killed" => {
                self.was_killed = true;
                dead("killed, as ordered")
            }
            "blight" => {
                self.is_blighted = true;
                Ok(())
            }
            "wait" => {
                self.gate.pass();
                Ok(())
            }
            "doomed" => {
                self.gate.pass();
                panic!("as ordered");
            }
            _ => Ok(()),
        }
    }
}

impl Engine for Obedient {
    type Request = Order;
    type Verdict = ();

    fn inspect(&mut self, orders: &[&Order], outcome: &mut dyn FnMut(usize, Result<(), EngineError>)) {
        for (place, order) in orders.iter().enumerate() {
            let word = order.0.split(' ').next().unwrap();
            if place > 0 && place + 1 < orders.len() {
                self.amid.lock().unwrap().insert(word.to_owned());
            }
            if word == "dawdle" {
                (place + 1..orders.len()).for_each(|place| outcome(place, Err(EngineError::NotBegun)));
                return outcome(place, Ok(()));
            }
            let inspected = self.obey(&order.0);
            let is_dead = matches!(inspected, Err(EngineError::Dead(_) | EngineError::DeadBefore(_)));
            outcome(place, inspected);
            if is_dead {
                return;
            }
        }
    }

    fn at_a_time(&self) -> usize {
        8
    }

    fn reload(&mut self) -> Result<(), StartError> {
        if std::mem::take(&mut *self.reloads.to_fail.lock().unwrap()) {
            return Err(StartError::new("false reload"));
        }
        *self.reloads.done.lock().unwrap() += 1;
        self.is_blighted = false;
        Ok(())
    }

    fn cause_of_end(&self) -> Option<CauseOfEnd> {
        self.was_killed.then(|| CauseOfEnd { text: "killed, as ordered".to_owned(), may_be_request: false })
    }
}

/// The reloads of all engines.
#[derive(Default)]
pub struct Reloads {
    pub done: Mutex<usize>,
    /// Whether the next one fails.
    pub to_fail: Mutex<bool>,
}

/// Closed until it is opened; knows how many wait.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        let _open = self.changed.wait_while(state, |state| !state.0).unwrap();
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_all();
    }

    pub fn await_waiting(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (_held, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| state.1 < count).unwrap();
        assert!(!timeout.timed_out(), "{count} engines wait at the gate");
    }
}

/// Answers `done` or the kind of failure in the variable `x`.
pub struct TestAgent {
    pub(super) gate: Arc<Gate>,
    /// Engines that fail to start before one does.
    pub false_starts: Mutex<usize>,
    /// They fail because the system lacks something.
    pub is_short: Mutex<bool>,
    /// Orders that kill.
    pub deadly: Arc<Mutex<BTreeSet<String>>>,
    /// How often a fingerprint was computed.
    pub fingerprints: Mutex<usize>,
    /// How often it was told to rebuild.
    pub rebuilds: Mutex<usize>,
    /// The first words of orders that an engine had with others before and behind them.
    pub amid: Arc<Mutex<BTreeSet<String>>>,
    pub reloads: Arc<Reloads>,
}

impl Agent for TestAgent {
    type Request = Order;
    type Verdict = ();
    type Dialect = ();
    type Engine = Obedient;

    fn start_engine(&self, _: usize, _: &Logger) -> Result<Obedient, StartError> {
        let mut left = self.false_starts.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            let is_short = *self.is_short.lock().unwrap();
            return Err(if is_short {
                StartError::shortage("shortage")
            } else {
                StartError::new("false start")
            });
        }
        Ok(Obedient {
            gate: Arc::clone(&self.gate),
            reloads: Arc::clone(&self.reloads),
            amid: Arc::clone(&self.amid),
            deadly: Arc::clone(&self.deadly),
            is_blighted: false,
            was_killed: false,
        })
    }

    fn rebuild(&self) {
        *self.rebuilds.lock().unwrap() += 1;
    }

    fn fingerprint(&self, order: &Order) -> u64 {
        *self.fingerprints.lock().unwrap() += 1;
        let mut hasher = DefaultHasher::new();
        order.0.hash(&mut hasher);
        hasher.finish()
    }

    /// The number at the end of an order is that of the worker that must have it.
    fn affinity(&self, order: &Order) -> Option<usize> {
        order.0.rsplit_once(" for ")?.1.parse().ok()
    }

    /// The number behind `from`.
    fn client(&self, order: &Order) -> Option<ClientKey> {
        Some(ClientKey::V6(order.0.rsplit_once(" from ")?.1.parse().ok()?))
    }

    fn read(&self, payload: &Bytes) -> ((), Result<Order, Failure>) {
        let order = match Messages::new(payload).next() {
            Some(Ok(message)) => Ok(Order(String::from_utf8_lossy(message.name).into_owned())),
            Some(Err(cause)) => Err(Failure::new(FailureKind::Invalid, cause.to_string())),
            None => Err(Failure::new(FailureKind::Invalid, "no message")),
        };
        ((), order)
    }

    fn dialect(&self, _: &Bytes) {}

    fn answer(&self, (): (), _: Option<&Order>, outcome: Result<&(), &Failure>) -> ActionList {
        let mut actions = ActionList::new();
        let text = outcome.map_or_else(|failure| failure.kind.as_str(), |()| "done");
        actions.set_var(Scope::Transaction, "x", Value::String(text.as_bytes()));
        actions
    }

    fn record(&self, _: &Order, (): &(), _: &Logger) {}
}
