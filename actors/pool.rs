//! The Pool: supervises a fixed number of Workers.
//!
//! The Pool starts each Worker, gets a report when it ends, and starts the next generation when [`RestartPolicy`] allows
//! it. The queue belongs to the Pool and not to a Worker, so the jobs in it outlive every Worker.
//!
//! A worker waits before a restart only when its engine could not be started, or ended without having inspected anything: a
//! death that takes a request with it comes no more often than such requests do, and a delay would be one more loss.
//!
//! When no engine runs and none starts, the Pool has the program rebuild what engines are made from ([`Agent::rebuild`]), and
//! is down: requests are answered at once, also those that wait, health checks fail, and the Pool keeps restarting Workers.
//!
//! When engines run and die of every request for [`FRUITLESS_TIME`], and none that runs has ever given a verdict, the Pool has
//! the program rebuild too, once in [`REBUILD_MEMORY`]; when that does not help either, the Pool is sick: health checks fail.
//! An attacker can bring that about where he is alone, so it costs nobody else a verdict: requests still get an engine, and a
//! verdict is the end of it.
//!
//! Before each Worker has had its engine once, nobody is served yet: an engine that does not start is reported to Root, and
//! that is the end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use slog::{error, info, warn};

use crate::agent::Agent;
use crate::failure::{Failure, FailureKind};
use crate::queue::DOWN;
use crate::restart::{RestartPolicy, Restarts};
use crate::status::{Crash, WorkerState};
use crate::timer::milliseconds;
use crate::worker::{
    Exit, ReloadEngine, StopWorker, Worker, WorkerContext, WorkerEvent, WorkerId, WorkerReport, settle,
};

/// Ends of engines, or failed starts, without a verdict in between before a rebuild, at least. With more than three Workers it
/// is twice their number.
const FRUITLESS: usize = 6;

/// For how long engines must have died of every request before a rebuild, and after that before the pool counts as sick. It
/// counts as well again when no engine has died for that long.
const FRUITLESS_TIME: Duration = Duration::from_secs(3);

/// How long it is remembered that a rebuild has not helped engines that die of every request: it would not help again, and
/// costs whoever asks meanwhile.
const REBUILD_MEMORY: Duration = Duration::from_secs(600);

/// How long an engine may fail to start before that is no passing trouble: what engines are made of is back sooner when it
/// dies.
const HOPE: Duration = Duration::from_millis(250);

/// How often the pool looks whether it is well again.
const REVIEW: Duration = Duration::from_millis(250);

/// The supervisor of the Workers.
pub(crate) struct Pool<A: Agent> {
    context: Arc<WorkerContext<A>>,
    slots: Vec<Slot<A>>,
    /// Gets each [`PoolEvent`].
    root: Recipient<PoolEvent>,
    stopping: bool,
    /// Whether each Worker has had an engine once.
    is_ready: bool,
    /// Ends that count for a rebuild, since the last verdict or rebuild.
    fruitless: usize,
    /// The time of the first of these, and of the last.
    fruitless_since: Option<(Instant, Instant)>,
    /// The number of verdicts when that count began.
    verdicts: u64,
    /// Rebuilds since the last verdict.
    rebuilds: u32,
    /// The last rebuild because engines died of every request.
    rebuilt: Option<Instant>,
}

/// One Worker's place in the Pool.
struct Slot<A: Agent> {
    worker: Option<Addr<Worker<A>>>,
    generation: u64,
    restarts: Restarts,
    /// Whether any generation has had an engine.
    started: bool,
    /// Whether the current generation has an engine.
    runs: bool,
    /// Whether the current generation has given a verdict.
    is_proven: bool,
    /// When the Worker crashed, until a later generation has an engine.
    ended: Option<Instant>,
}

/// What the Pool reports to Root.
#[derive(Clone, Debug, Message, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum PoolEvent {
    /// Each Worker has had an engine once.
    Ready,
    /// Before that an engine did not start: which, and why.
    Failed(String),
    /// Each Worker has ended after [`StopPool`].
    Stopped,
}

impl<A: Agent> Pool<A> {
    /// Starts `size` Workers.
    pub(crate) fn spawn(
        size: usize,
        policy: RestartPolicy,
        context: WorkerContext<A>,
        root: Recipient<PoolEvent>,
    ) -> Addr<Self> {
        let slot = || Slot {
            worker: None,
            generation: 0,
            restarts: Restarts::new(policy),
            started: false,
            runs: false,
            is_proven: false,
            ended: None,
        };
        let slots = std::iter::repeat_with(slot).take(size).collect();
        Self {
            context: Arc::new(context),
            slots,
            root,
            stopping: false,
            is_ready: false,
            fruitless: 0,
            fruitless_since: None,
            verdicts: 0,
            rebuilds: 0,
            rebuilt: None,
        }
        .start()
    }

    fn start_worker(&mut self, number: usize, ctx: &mut Context<Self>) {
        let Some(slot) = number.checked_sub(1).and_then(|index| self.slots.get_mut(index)) else {
            return;
        };
        if self.stopping {
            return;
        }
        slot.generation += 1;
        let id = WorkerId { number, generation: slot.generation };
        self.context.board.set_state(number, WorkerState::Starting, Some(id.generation));
        slot.worker = Some(Worker::spawn(id, Arc::clone(&self.context), ctx.address().recipient()));
    }

    fn worker_started(&mut self, id: WorkerId) {
        let Some(slot) = self.slots.get_mut(id.number - 1) else { return };
        self.context.queue.open_own(id.number);
        self.context.board.set_state(id.number, WorkerState::Idle, None);
        if self.context.queue.admission().set_down(false) {
            warn!(self.context.log, # "engine_runs_again", "an engine runs again");
        }
        match slot.ended.take() {
            None => info!(self.context.log, # "worker_started", "worker started";
                "worker" => id.number, "generation" => id.generation),
            Some(ended) => warn!(self.context.log, # "worker_restarted", "worker restarted";
                "worker" => id.number, "generation" => id.generation, "after_ms" => milliseconds(ended.elapsed())),
        }
        slot.runs = true;
        slot.restarts.started();
        if !slot.started {
            slot.started = true;
            if self.slots.iter().all(|slot| slot.started) {
                self.is_ready = true;
                self.root.do_send(PoolEvent::Ready);
            }
        }
    }

    fn worker_ended(&mut self, id: WorkerId, exit: &Exit, uptime: Duration, ctx: &mut Context<Self>) {
        let Some(slot) = self.slots.get_mut(id.number - 1) else { return };
        slot.worker = None;
        let (ran, was_proven) = (std::mem::take(&mut slot.runs), std::mem::take(&mut slot.is_proven));
        if self.stopping {
            self.context.board.set_state(id.number, WorkerState::Stopped, None);
            info!(self.context.log, # "worker_stopped", "worker stopped"; "worker" => id.number, "generation" => id.generation);
            self.finish_when_empty(ctx);
            return;
        }
        if let (Exit::NoEngine { .. }, false) = (exit, self.is_ready) {
            self.stop_workers();
            self.root.do_send(PoolEvent::Failed(format!("worker {}: {exit}", id.number)));
            return;
        }
        let now = Instant::now();
        let ended = *slot.ended.get_or_insert(now);
        let request = match exit {
            Exit::EngineDied { request, .. } => request.as_deref(),
            _ => None,
        };
        let delay = match exit {
            Exit::NoEngine { .. } => slot.restarts.delay_of_failed_start(),
            _ if request.is_some() || was_proven => Duration::ZERO,
            _ => slot.restarts.next_delay(now),
        };
        self.context.board.set_state(id.number, WorkerState::Waiting, None);
        self.context.stats.ends(exit.cause()).increment();
        self.context.board.crashed(Crash {
            at: SystemTime::now(),
            worker: id.number,
            generation: id.generation,
            cause: exit.cause(),
            reason: exit.to_string(),
            request: request.map(str::to_owned),
        });
        error!(self.context.log, # "worker_crashed", "worker crashed";
            "worker" => id.number, "generation" => id.generation, "reason" => %exit,
            "request" => request.unwrap_or("none"), "uptime_ms" => milliseconds(uptime),
            "restart_in_ms" => milliseconds(delay));
        if let (Exit::EngineDied { held: Some(held), .. }, Some(request)) = (exit, request) {
            warn!(self.context.log, # "request_quarantined", "request quarantined, it has crashed two engines";
                "held_ms" => milliseconds(*held), "request" => request);
        }
        self.escalate_if_fruitless(exit, now);
        let none_runs = self.slots.iter().all(|slot| !slot.runs);
        // A reload that failed says nothing of the start that comes next, nor does a start that fails for a moment: jobs can
        // wait for the next one.
        let cannot_start = matches!(exit, Exit::NoEngine { .. }) && !ran && now - ended >= HOPE;
        let hopeless = self.rebuilds > 1 || cannot_start;
        if none_runs && hopeless && self.context.queue.admission().set_down(true) {
            error!(self.context.log, # "down", "down: no engine runs, requests are not inspected until one does");
            for job in self.context.queue.drain() {
                settle(&self.context, job, &Failure::new(FailureKind::Crash, DOWN));
            }
        }
        if delay.is_zero() {
            self.start_worker(id.number, ctx);
        } else {
            self.context.queue.close_own(id.number);
            ctx.run_later(delay, move |pool, ctx| pool.start_worker(id.number, ctx));
        }
    }

    /// Counts an end after which a rebuild may help, and has the program rebuild when restarts alone have not helped.
    fn escalate_if_fruitless(&mut self, exit: &Exit, now: Instant) {
        let verdicts = self.context.queue.admission().verdicts();
        if verdicts != self.verdicts {
            (self.verdicts, self.rebuilds) = (verdicts, 0);
            (self.fruitless, self.fruitless_since) = (0, None);
        }
        let is_by_request = matches!(exit, Exit::EngineDied { request: Some(_), .. });
        let is_fruitless = match exit {
            // Each engine that runs may be as bad as this one, unless it has shown that it is not.
            _ if is_by_request => !self.slots.iter().any(|slot| slot.is_proven),
            Exit::NoEngine { is_shortage: true, .. } => false,
            _ => !self.slots.iter().any(|slot| slot.runs),
        };
        if !is_fruitless {
            return;
        }
        self.fruitless += 1;
        let since = self.fruitless_since.map_or(now, |(since, _)| since);
        self.fruitless_since = Some((since, now));
        let is_enough = self.fruitless >= FRUITLESS.max(2 * self.slots.len());
        if !is_enough || (is_by_request && now - since < FRUITLESS_TIME) {
            return;
        }
        if is_by_request && self.rebuilt.is_some_and(|rebuilt| now - rebuilt < REBUILD_MEMORY) {
            if self.context.queue.set_sick(true) {
                error!(self.context.log, # "down", "down: engines die of every request, and a rebuild does not help");
            }
            return;
        }
        (self.fruitless, self.fruitless_since) = (0, None);
        self.rebuilds += 1;
        if is_by_request {
            self.rebuilt = Some(now);
        }
        self.context.agent.rebuild();
        self.context.stats.rebuilds.increment();
        error!(self.context.log, # "escalated", "escalated: engines keep dying without a verdict, rebuilding what they are made of";
            "rebuilds" => self.rebuilds);
    }

    /// Looks whether the pool is well again: there was a verdict, or no engine has died for a while.
    fn review(&mut self) {
        let has_verdict = self.context.queue.admission().verdicts() != self.verdicts;
        let is_calm = self.fruitless_since.is_none_or(|(_, last)| last.elapsed() >= FRUITLESS_TIME);
        if (has_verdict || is_calm) && self.context.queue.set_sick(false) {
            warn!(self.context.log, # "engine_runs_again", "an engine runs again");
        }
        if is_calm {
            // Deaths of long ago say nothing of the engines that run now.
            (self.fruitless, self.fruitless_since) = (0, None);
        }
    }

    /// Lets each Worker finish the job at hand and end.
    fn stop_workers(&mut self) {
        self.stopping = true;
        for worker in self.slots.iter().filter_map(|slot| slot.worker.as_ref()) {
            worker.do_send(StopWorker);
        }
    }

    fn finish_when_empty(&mut self, ctx: &mut Context<Self>) {
        if self.slots.iter().all(|slot| slot.worker.is_none()) {
            self.root.do_send(PoolEvent::Stopped);
            ctx.stop();
        }
    }
}

impl<A: Agent> Actor for Pool<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for number in 1..=self.slots.len() {
            self.start_worker(number, ctx);
        }
        ctx.run_interval(REVIEW, |pool, _| pool.review());
    }
}

impl<A: Agent> Handler<WorkerReport> for Pool<A> {
    type Result = ();

    fn handle(&mut self, report: WorkerReport, ctx: &mut Self::Context) {
        match report.event {
            WorkerEvent::Started => self.worker_started(report.worker),
            WorkerEvent::Proven => {
                if let Some(slot) = self.slots.get_mut(report.worker.number - 1) {
                    slot.is_proven = true;
                }
                self.review();
            }
            WorkerEvent::Ended { exit, uptime } => self.worker_ended(report.worker, &exit, uptime, ctx),
        }
    }
}

/// Tells the Pool to have each Worker reload its engine.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReloadPool;

impl<A: Agent> Handler<ReloadPool> for Pool<A> {
    type Result = ();

    fn handle(&mut self, _: ReloadPool, _: &mut Self::Context) {
        for worker in self.slots.iter().filter_map(|slot| slot.worker.as_ref()) {
            worker.do_send(ReloadEngine);
        }
    }
}

/// Tells the Pool to let each Worker finish the job at hand and end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopPool;

impl<A: Agent> Handler<StopPool> for Pool<A> {
    type Result = ();

    fn handle(&mut self, _: StopPool, ctx: &mut Self::Context) {
        self.stop_workers();
        self.finish_when_empty(ctx);
    }
}
