//! The Pool: keeps as many Workers alive as it was told to.
//!
//! It starts each Worker, hears of each end, and starts the next generation when [`RestartPolicy`] allows it. The queue
//! is the Pool's, not a Worker's, so what waits in it outlives any of them.
//!
//! Engines that die one after the other without a single verdict in between are not the requests' fault: then what
//! engines are made of is rebuilt. While that does not help and no engine runs, or none can be started at all, the pool
//! is down: requests are answered at once, health checks fail, and it keeps trying.

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

/// Ends of Workers without a verdict in between that are borne, at least.
const FRUITLESS: usize = 6;

/// The supervisor of the Workers.
pub(crate) struct Pool<A: Agent> {
    context: Arc<WorkerContext<A>>,
    slots: Vec<Slot<A>>,
    /// Who wants to know when all Workers have started for the first time, and when all have ended.
    root: Recipient<PoolEvent>,
    stopping: bool,
    /// Ends of Workers since the last verdict.
    fruitless: usize,
    /// Verdicts when that count began.
    verdicts: u64,
    /// Rebuilds since the last verdict.
    rebuilds: u32,
}

/// One Worker's place in the Pool.
struct Slot<A: Agent> {
    worker: Option<Addr<Worker<A>>>,
    generation: u64,
    restarts: Restarts,
    /// Whether any generation has started.
    started: bool,
    /// Whether this one has an engine.
    runs: bool,
    /// When the last one ended, until the next has started.
    ended: Option<Instant>,
}

/// What Root hears from the Pool.
#[derive(Clone, Copy, Debug, Message, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum PoolEvent {
    /// Each Worker has started once.
    Ready,
    /// Each Worker has ended, as it was told to.
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

    /// Counts an end, and does more than start another Worker when that has been in vain.
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

/// Tells the Pool to let its Workers finish the jobs at hand and end.
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
