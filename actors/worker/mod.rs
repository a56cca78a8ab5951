//! A Worker: one actor with one guarded thread that owns an engine.
//!
//! The thread takes jobs from the queue and settles each. A panic in the engine is caught: the job is settled as a crash,
//! and the thread ends. However the thread ends, a drop guard reports it to the actor, and the actor to the Pool.

mod batch;

use std::any::Any;
use std::fmt;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use slog::{Logger, o};

use crate::agent::Agent;
use crate::engine::{Engine, StartError};
use crate::failure::{Failure, FailureKind};
use crate::peer_log::PeerLog;
use crate::queue::{Job, Outcome, Queue};
use crate::stats::{EndCause, Stage, Stats};
use crate::status::{Board, WorkerState};
use batch::Record;

/// Names one thread of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerId {
    /// From 1 to the size of the pool.
    pub(crate) number: usize,
    /// 1 for the first thread, one more after each restart.
    pub(crate) generation: u64,
}

/// What the Pool gives each of its Workers.
pub(crate) struct WorkerContext<A: Agent> {
    /// Makes engines and answers.
    pub(crate) agent: Arc<A>,
    /// Holds the jobs.
    pub(crate) queue: Queue<A>,
    /// The pause before each job (`-t`).
    pub(crate) throttle: Duration,
    /// The longest time from the arrival of a request to its answer.
    pub(crate) time: Duration,
    /// Logs failures, within bounds.
    pub(crate) peer_log: Arc<PeerLog>,
    /// Counts.
    pub(crate) stats: Arc<Stats>,
    /// Shows what Workers do.
    pub(crate) board: Arc<Board>,
    /// The program's log.
    pub(crate) log: Logger,
}

/// What a Worker reports to the Pool.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WorkerReport {
    /// The worker and its generation.
    pub(crate) worker: WorkerId,
    /// What happened to it.
    pub(crate) event: WorkerEvent,
}

/// What happens to a Worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEvent {
    /// The engine is ready.
    Started,
    /// There is a first verdict.
    Proven,
    /// The thread has ended.
    Ended {
        /// The reason.
        exit: Exit,
        /// The life time of the thread.
        uptime: Duration,
    },
}

/// Why a worker's thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The Worker was told to stop.
    Stopped,
    /// The engine could not start.
    NoEngine {
        /// Why.
        cause: String,
        /// The system lacks something that one more engine needs.
        is_shortage: bool,
    },
    /// The thread panicked outside the engine.
    Panicked(String),
    /// The engine died, or had to be ended.
    EngineDied {
        /// How the engine died, or why it was ended.
        cause: String,
        /// The request that is lost with it, as the log names it.
        request: Option<String>,
        /// How long the request is in quarantine from now on.
        held: Option<Duration>,
    },
}

impl Exit {
    /// The engine died and took no request with it.
    fn idle_end(cause: String) -> Self {
        Self::EngineDied { cause, request: None, held: None }
    }

    /// The cause, for the counters.
    pub(crate) fn cause(&self) -> EndCause {
        match self {
            Self::EngineDied { request: Some(_), .. } => EndCause::Request,
            Self::EngineDied { request: None, .. } | Self::Stopped => EndCause::Idle,
            Self::NoEngine { .. } => EndCause::Start,
            Self::Panicked(_) => EndCause::Panic,
        }
    }

    fn no_engine(error: &StartError) -> Self {
        Self::NoEngine { cause: error.to_string(), is_shortage: error.is_shortage() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::NoEngine { cause, .. } => write!(f, "engine did not start: {cause}"),
            Self::Panicked(message) => write!(f, "panic: {message}"),
            Self::EngineDied { cause, .. } => f.write_str(cause),
        }
    }
}

/// The actor of one thread: it lives from the start of the thread to its end.
pub(crate) struct Worker<A: Agent> {
    id: WorkerId,
    context: Arc<WorkerContext<A>>,
    pool: Recipient<WorkerReport>,
    /// A message in it tells the thread to reload its engine; dropping it tells the thread to stop.
    control: Option<Sender<ReloadEngine>>,
}

impl<A: Agent> Worker<A> {
    /// Starts the actor, which starts the thread. `pool` gets a report when the engine is ready, and when the thread ends.
    pub(crate) fn spawn(
        id: WorkerId,
        context: Arc<WorkerContext<A>>,
        pool: Recipient<WorkerReport>,
    ) -> Addr<Self> {
        Self { id, context, pool, control: None }.start()
    }
}

impl<A: Agent> Actor for Worker<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Room for one is enough: a reload takes the newest rules, whenever it was asked for.
        let (control, reloads) = channel::bounded(1);
        self.control = Some(control);
        let mut guard =
            Guard { actor: ctx.address().recipient(), id: self.id, started: Instant::now(), exit: None };
        let (give_guard, take_guard) = channel::bounded(1);
        let context = Arc::clone(&self.context);
        let log = context.log.new(o!("worker" => self.id.number));
        let thread = thread::Builder::new().name(format!("worker-{}", self.id.number));
        let spawned = thread.spawn(move || {
            let Ok(mut guard): Result<Guard, _> = take_guard.recv() else { return };
            let body = AssertUnwindSafe(|| run(&context, &guard, &reloads, &log));
            guard.exit = Some(catch_unwind(body).unwrap_or_else(|panic| Exit::Panicked(text_of(&*panic))));
            // Before the guard reports the end: whoever gets the report may end the process, which waits for engines only when
            // the last hold on them is given up, and this thread must not have that hold.
            drop(context);
        });
        match spawned {
            // The channel has room for the guard, and the thread waits for it.
            Ok(_) => give_guard.send(guard).unwrap_or_default(),
            Err(error) => {
                let cause =
                    format!("the system gives it no thread: {error} (systemd's TasksMax=, ulimit -u)");
                guard.exit = Some(Exit::NoEngine { cause, is_shortage: true });
            }
        }
    }
}

impl<A: Agent> Handler<WorkerReport> for Worker<A> {
    type Result = ();

    fn handle(&mut self, report: WorkerReport, ctx: &mut Self::Context) {
        let ended = matches!(report.event, WorkerEvent::Ended { .. });
        self.pool.do_send(report);
        if ended {
            ctx.stop();
        }
    }
}

/// Tells a Worker to end when the job at hand is settled.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopWorker;

impl<A: Agent> Handler<StopWorker> for Worker<A> {
    type Result = ();

    fn handle(&mut self, _: StopWorker, _: &mut Self::Context) {
        self.control = None;
    }
}

/// Tells a Worker to reload its engine between two jobs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReloadEngine;

impl<A: Agent> Handler<ReloadEngine> for Worker<A> {
    type Result = ();

    fn handle(&mut self, reload: ReloadEngine, _: &mut Self::Context) {
        if let Some(control) = &self.control {
            // Full: a reload is already due.
            let _ = control.try_send(reload);
        }
    }
}

/// Reports the end of the thread when it is dropped, whatever ended the thread.
struct Guard {
    actor: Recipient<WorkerReport>,
    id: WorkerId,
    started: Instant,
    exit: Option<Exit>,
}

impl Guard {
    fn report(&self, event: WorkerEvent) {
        self.actor.do_send(WorkerReport { worker: self.id, event });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let exit = self.exit.take().unwrap_or_else(|| Exit::Panicked("no message".to_owned()));
        self.report(WorkerEvent::Ended { exit, uptime: self.started.elapsed() });
    }
}

/// What the thread does: starts one engine, and takes jobs for it until the Worker is told to stop or the engine dies.
fn run<A: Agent>(
    context: &WorkerContext<A>,
    guard: &Guard,
    reloads: &Receiver<ReloadEngine>,
    log: &Logger,
) -> Exit {
    let mut engine = match context.agent.start_engine(guard.id.number, log) {
        Ok(engine) => engine,
        Err(error) => return Exit::no_engine(&error),
    };
    guard.report(WorkerEvent::Started);
    let [own, returned, shared] = context.queue.receivers(guard.id.number);
    let mut end = engine.end();
    let mut is_outdated = false;
    let mut record = Record { is_fresh: true, has_verdict: false };
    loop {
        if std::mem::take(&mut is_outdated) {
            match engine.reload() {
                Ok(()) => (end, record.is_fresh) = (engine.end(), true),
                Err(error) => return Exit::no_engine(&error),
            }
        } else if engine.recycle() {
            (end, record.is_fresh) = (engine.end(), true);
        }
        let more_to_do = engine.housekeeping().map_or_else(channel::never, channel::after);
        let (job, is_own) = crossbeam::channel::select_biased! {
            recv(reloads) -> reload => match reload {
                Ok(ReloadEngine) => {
                    is_outdated = true;
                    continue;
                }
                Err(_) => return Exit::Stopped,
            },
            recv(end) -> _ => {
                let cause = engine.cause_of_end().map(|cause| cause.text);
                return Exit::idle_end(cause.unwrap_or_else(|| "the engine ended".to_owned()));
            }
            recv(own) -> job => (job, true),
            recv(returned) -> job => (job, false),
            recv(shared) -> job => (job, false),
            recv(more_to_do) -> _ => continue,
        };
        let Ok(job) = job else { return Exit::Stopped };
        let start = Instant::now();
        let job = batch::due(job, start).and_then(|job| batch::unless_held(context, job, start));
        let Some((job, is_suspect)) = job else { continue };
        waited(context, &job, start);
        let mut others = 0;
        if !context.throttle.is_zero() {
            if start + context.throttle >= job.deadline {
                // The job would be late after the pause, and a job with more time can use the pause.
                settle(context, job, &Failure::new(FailureKind::Timeout, "overdue before its turn"));
                continue;
            }
            let until = start + context.throttle;
            loop {
                match reloads.recv_deadline(until) {
                    Ok(ReloadEngine) => is_outdated = true,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Exit::Stopped,
                }
            }
        } else if !is_own {
            others = context.queue.admission().at_a_time(start).min(engine.at_a_time()).saturating_sub(1);
        }
        // A suspect is tried in an engine that has inspected nothing: then its death is no other request's late damage. Without
        // such an engine it is inspected all the same, and proves nothing.
        if is_suspect && !is_own && !record.is_fresh && engine.renew() {
            (end, record.is_fresh) = (engine.end(), true);
        }
        let others: Vec<_> = context.queue.more(others).filter_map(|job| batch::due(job, start)).collect();
        let others = others.into_iter().filter_map(|job| {
            let (job, is_suspect) = batch::unless_held(context, job, start)?;
            if is_suspect {
                context.queue.give_back(job);
                return None;
            }
            waited(context, &job, start);
            Some(job)
        });
        let jobs = iter::once(job).chain(others);
        let was_proven = record.has_verdict;
        let place = batch::Seat { worker: guard.id.number, is_only_here: is_own };
        let processed = batch::process(context, &mut engine, &mut record, jobs, place, start, log);
        context.board.set_state(guard.id.number, WorkerState::Idle, None);
        if record.has_verdict && !was_proven {
            guard.report(WorkerEvent::Proven);
        }
        if let Err(exit) = processed {
            return exit;
        }
    }
}

/// Measures how long the job has waited for a worker.
fn waited<A: Agent>(context: &WorkerContext<A>, job: &Job<A>, now: Instant) {
    let left = job.deadline.saturating_duration_since(now);
    context.stats.stage(Stage::Queue).observe(context.time.saturating_sub(left));
}

/// Answers a job with a failure, without an engine.
pub(crate) fn settle<A: Agent>(context: &WorkerContext<A>, job: Job<A>, failure: &Failure) {
    let actions = context.agent.answer(job.dialect, Some(&*job.request), Err(failure)).into_payload();
    job.reply.settle(actions, Outcome::Failed(failure.kind));
    context.peer_log.failure(failure, &*job.request);
}

/// A request's key-value pairs as one text.
fn description(request: &impl slog::KV) -> String {
    struct Pairs(Vec<String>);
    impl slog::Serializer for Pairs {
        fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
            self.0.push(format!("{key}={value}"));
            Ok(())
        }
    }
    let mut pairs = Pairs(Vec::new());
    // A pair that cannot be written is left out.
    let _ =
        request.serialize(&slog::record!(slog::Level::Error, "", &format_args!(""), slog::b!()), &mut pairs);
    // slog serializes the last pair first.
    pairs.0.reverse();
    pairs.0.join(" ")
}

/// The message of a panic, with control characters escaped: it may quote the request.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "no message".to_owned(), |text| text.escape_debug().to_string())
}
