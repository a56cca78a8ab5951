//! The Pool: supervises a fixed number of Workers.
//!
//! The Pool starts each Worker, gets a report when it ends, and starts the next generation when [`RestartPolicy`] allows
//! it. The queue belongs to the Pool and not to a Worker, so the jobs in it outlive every Worker.
//!
//! When engines die one after the other without a single verdict in between, the requests are not to blame: the Pool has
//! the program rebuild what engines are made from ([`Agent::rebuild`]). When a rebuild does not help, or no engine can be
//! started, and no Worker has an engine, the Pool is down: requests are answered at once, health checks fail, and the Pool
//! keeps restarting Workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use slog::{error, info, warn};

use crate::agent::Agent;
use crate::restart::{RestartPolicy, Restarts};
use crate::timer::milliseconds;
use crate::worker::{
    Exit, ReloadEngine, StopWorker, Worker, WorkerContext, WorkerEvent, WorkerId, WorkerReport,
};

/// Crashes of Workers without a verdict in between before a rebuild, at least. With more than three Workers it is twice
/// their number.
const FRUITLESS: usize = 6;

/// The supervisor of the Workers.
pub(crate) struct Pool<A: Agent> {
    context: Arc<WorkerContext<A>>,
    slots: Vec<Slot<A>>,
    /// Gets each [`PoolEvent`].
    root: Recipient<PoolEvent>,
    stopping: bool,
    /// Crashes of Workers since the last verdict or rebuild.
    fruitless: usize,
    /// The number of verdicts when that count began.
    verdicts: u64,
    /// Rebuilds since the last verdict.
    rebuilds: u32,
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
    /// When the Worker crashed, until a later generation has an engine.
    ended: Option<Instant>,
}

/// What the Pool reports to Root.
#[derive(Clone, Copy, Debug, Message, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum PoolEvent {
    /// Each Worker has had an engine once.
    Ready,
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
            ended: None,
        };
        let slots = std::iter::repeat_with(slot).take(size).collect();
        Self {
            context: Arc::new(context),
            slots,
            root,
            stopping: false,
            fruitless: 0,
            verdicts: 0,
            rebuilds: 0,
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
        slot.worker = Some(Worker::spawn(id, Arc::clone(&self.context), ctx.address().recipient()));
    }

    fn worker_started(&mut self, id: WorkerId) {
        let Some(slot) = self.slots.get_mut(id.number - 1) else { return };
        if self.context.queue.admission().set_down(false) {
            warn!(self.context.log, "an engine runs again");
        }
        match slot.ended.take() {
            None => info!(self.context.log, "worker started";
                "worker" => id.number, "generation" => id.generation),
            Some(ended) => warn!(self.context.log, "worker restarted";
                "worker" => id.number, "generation" => id.generation, "after_ms" => milliseconds(ended.elapsed())),
        }
        slot.runs = true;
        if !slot.started {
            slot.started = true;
            if self.slots.iter().all(|slot| slot.started) {
                self.root.do_send(PoolEvent::Ready);
            }
        }
    }

    fn worker_ended(&mut self, id: WorkerId, exit: &Exit, uptime: Duration, ctx: &mut Context<Self>) {
        let Some(slot) = self.slots.get_mut(id.number - 1) else { return };
        slot.worker = None;
        slot.runs = false;
        if self.stopping {
            info!(self.context.log, "worker stopped"; "worker" => id.number, "generation" => id.generation);
            self.finish_when_empty(ctx);
            return;
        }
        let now = Instant::now();
        slot.ended.get_or_insert(now);
        let delay = slot.restarts.next_delay(now);
        let request = match exit {
            Exit::EngineDied { request, .. } => request,
            _ => "none",
        };
        error!(self.context.log, "worker crashed";
            "worker" => id.number, "generation" => id.generation, "reason" => %exit,
            "request" => request, "uptime_ms" => milliseconds(uptime), "restart_in_ms" => milliseconds(delay));
        if let Exit::EngineDied { quarantined: true, request, .. } = exit {
            warn!(self.context.log, "request quarantined, it has crashed two engines"; "request" => request);
        }
        self.escalate_if_fruitless();
        let none_runs = self.slots.iter().all(|slot| !slot.runs);
        let hopeless = self.rebuilds > 1 || matches!(exit, Exit::NoEngine(_));
        if none_runs && hopeless && self.context.queue.admission().set_down(true) {
            error!(self.context.log, "down: no engine runs, requests are not inspected until one does");
        }
        if delay.is_zero() {
            self.start_worker(id.number, ctx);
        } else {
            ctx.run_later(delay, move |pool, ctx| pool.start_worker(id.number, ctx));
        }
    }

    /// Counts a crash, and has the program rebuild when restarts alone have not helped.
    fn escalate_if_fruitless(&mut self) {
        let admission = self.context.queue.admission();
        if admission.verdicts() != self.verdicts {
            (self.verdicts, self.fruitless, self.rebuilds) = (admission.verdicts(), 0, 0);
        }
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS.max(2 * self.slots.len()) {
            self.fruitless = 0;
            self.rebuilds += 1;
            self.context.agent.rebuild();
            error!(self.context.log, "escalated: engines keep dying without a verdict, rebuilding what they are made of";
                "rebuilds" => self.rebuilds);
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
    }
}

impl<A: Agent> Handler<WorkerReport> for Pool<A> {
    type Result = ();

    fn handle(&mut self, report: WorkerReport, ctx: &mut Self::Context) {
        match report.event {
            WorkerEvent::Started => self.worker_started(report.worker),
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
        self.stopping = true;
        for worker in self.slots.iter().filter_map(|slot| slot.worker.as_ref()) {
            worker.do_send(StopWorker);
        }
        self.finish_when_empty(ctx);
    }
}
