//! Root: starts the tree from the bottom up and stops it from the top down.
//!
//! Start: the Pool first; when each Worker has its engine, the Listeners. Stop: the Listeners accept no more links, and
//! their Connections answer what comes until nothing is left; when the last Connection is gone, the Pool.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use slog::{Logger, debug, error, info};

use crate::agent::Agent;
use crate::agent_check::{AgentCheck, StopAgentCheck, TellAll, Told};
use crate::connection::ConnectionContext;
use crate::listener::{Close, Listener, ListenerClosed};
use crate::observer::Observer;
use crate::peer_log::PeerLog;
use crate::pool::{Pool, PoolEvent, ReloadPool, StopPool};
use crate::pulse::Pulse;
use crate::queue::Admission;
use crate::queue::Queue;
use crate::restart::RestartPolicy;
use crate::spop::reassembly::LARGEST_AT_A_TIME;
use crate::spop::{Budget, Limits};
use crate::stats::Stats;
use crate::status::Board;
use crate::stream::{Acceptor, Socket};
use crate::timer::milliseconds;
use crate::worker::WorkerContext;

/// How long the Workers may take to end once no request is left. A Worker that is stuck in its engine delays the end of the
/// program by this time and no longer.
const WORKER_GRACE: Duration = Duration::from_secs(2);

/// How long the tree goes on once everybody who makes agent checks has been told that it stops.
const TOLD_PAUSE: Duration = Duration::from_millis(100);

/// The settings of the tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeSettings {
    /// Number of Workers, at least 1.
    pub workers: usize,
    /// The most jobs that may wait for a Worker, at least 1.
    pub queue: usize,
    /// The pause of a Worker before each job (`-t`).
    pub throttle: Duration,
    /// The longest time from the arrival of a request to its answer.
    pub deadline: Duration,
    /// When a Worker that crashed is restarted.
    pub restart: RestartPolicy,
    /// What a link may ask for.
    pub limits: Limits,
    /// How long requests in flight may take once the tree is told to stop.
    pub grace: Duration,
}

/// The actor at the top of the tree.
pub struct Root<A: Agent> {
    settings: TreeSettings,
    agent: Arc<A>,
    pub(crate) queue: Queue<A>,
    peer_log: Arc<PeerLog>,
    stats: Arc<Stats>,
    board: Arc<Board>,
    log: Logger,
    /// The sockets, until their Listeners start.
    acceptors: Vec<Acceptor>,
    /// The socket for agent checks, until its actor starts.
    check_acceptor: Option<Acceptor>,
    agent_check: Option<Addr<AgentCheck<A>>>,
    pub(crate) listeners: Vec<Addr<Listener<A>>>,
    open_listeners: usize,
    pub(crate) pool: Option<Addr<Pool<A>>>,
    pub(crate) pulse: Pulse,
    owner: Option<Recipient<TreeEvent>>,
    stopping: bool,
    /// When the tree was told to leave.
    left: Option<Instant>,
}

/// What the tree reports to the program.
#[derive(Clone, Debug, Message, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum TreeEvent {
    /// Each Worker has its engine, and links are accepted.
    Ready,
    /// Before that an engine did not start: which, and why. The tree stops by itself; [`TreeEvent::Stopped`] follows.
    Failed(String),
    /// The Pool and each Listener have answered a [`Ping`](crate::Ping).
    Alive {
        /// The number of verdicts since the start.
        verdicts: u64,
    },
    /// Every actor of the tree has ended after [`Stop`], or a Worker that does not end was left behind.
    Stopped,
}

impl<A: Agent> Root<A> {
    /// A tree that will listen on these sockets, in the reactor of the current thread. It starts with [`Root::spawn`].
    ///
    /// # Errors
    /// When a socket cannot be put into the reactor.
    pub fn new(settings: TreeSettings, agent: Arc<A>, sockets: Vec<Socket>, log: Logger) -> io::Result<Self> {
        let admission = Arc::new(Admission::new(settings.workers, settings.deadline, settings.throttle));
        Ok(Self {
            settings,
            agent,
            queue: Queue::new(settings.queue, settings.workers, admission),
            peer_log: Arc::new(PeerLog::new(log.clone())),
            stats: Arc::default(),
            board: Arc::new(Board::new(settings.workers)),
            log,
            check_acceptor: None,
            agent_check: None,
            acceptors: sockets.into_iter().map(Acceptor::new).collect::<io::Result<_>>()?,
            listeners: Vec::new(),
            open_listeners: 0,
            pool: None,
            pulse: Pulse::default(),
            owner: None,
            stopping: false,
            left: None,
        })
    }

    /// What can be seen of the tree.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let (depth, health) = (self.queue.clone(), self.queue.clone());
        Observer {
            stats: Arc::clone(&self.stats),
            board: Arc::clone(&self.board),
            depth: Arc::new(move || depth.depth()),
            is_healthy: Arc::new(move || health.is_healthy()),
            queue_limit: self.settings.queue,
        }
    }

    /// Answers HAProxy's agent checks on this socket once the tree is ready.
    ///
    /// # Errors
    /// When the socket cannot be put into the reactor.
    pub fn with_agent_check(mut self, socket: Socket) -> io::Result<Self> {
        self.check_acceptor = Some(Acceptor::new(socket)?);
        Ok(self)
    }

    /// Starts the tree on the current thread's arbiter. `owner` gets each [`TreeEvent`].
    pub fn spawn(mut self, owner: Recipient<TreeEvent>) -> Addr<Self> {
        self.owner = Some(owner);
        self.start()
    }

    pub(crate) fn tell(&self, event: TreeEvent) {
        if let Some(owner) = &self.owner {
            owner.do_send(event);
        }
    }

    fn listen(&mut self) {
        let bytes = self.settings.limits.max_payload.saturating_mul(LARGEST_AT_A_TIME);
        let context = Rc::new(ConnectionContext {
            agent: Arc::clone(&self.agent),
            queue: self.queue.clone(),
            limits: self.settings.limits,
            budget: Budget::new(bytes),
            siblings: Rc::default(),
            deadline: self.settings.deadline,
            peer_log: Arc::clone(&self.peer_log),
            stats: Arc::clone(&self.stats),
            board: Arc::clone(&self.board),
            log: self.log.clone(),
        });
        self.board.set_listeners(self.acceptors.iter().map(Acceptor::address).collect());
        for acceptor in self.acceptors.drain(..) {
            self.listeners.push(Listener::spawn(acceptor, Rc::clone(&context), self.settings.workers));
        }
        self.open_listeners = self.listeners.len();
        self.agent_check = self
            .check_acceptor
            .take()
            .map(|acceptor| AgentCheck::spawn(acceptor, self.queue.clone(), self.log.clone()));
        info!(self.log, # "ready", "ready"; "workers" => self.settings.workers, "queue" => self.settings.queue,
            "deadline_ms" => milliseconds(self.settings.deadline),
            "max_frame_size_bytes" => self.settings.limits.max_frame_size);
        self.tell(TreeEvent::Ready);
    }

    /// Stops the tree from the top down, once.
    fn stop(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.acceptors.clear();
        self.board.set_listeners(Vec::new());
        // A tree that leaves says so to its end; the place of another is taken, who answers from now on.
        if let (None, Some(check)) = (self.left, self.agent_check.take()) {
            check.do_send(StopAgentCheck);
        }
        let used = self.left.map_or(Duration::ZERO, |left| left.elapsed());
        for listener in &self.listeners {
            let (grace, closed) = (self.settings.grace.saturating_sub(used), ctx.address().recipient());
            listener.do_send(Close { grace, closed });
        }
        if self.listeners.is_empty() {
            self.stop_pool(ctx);
        }
    }

    fn stop_pool(&mut self, ctx: &mut Context<Self>) {
        if let Some(pool) = &self.pool {
            pool.do_send(StopPool);
        }
        ctx.run_later(WORKER_GRACE, |root, ctx| {
            error!(root.log, # "worker_left_behind", "a worker does not stop, leaving it behind");
            root.end(ctx);
        });
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        self.peer_log.flush();
        self.agent.review(&self.log);
        self.tell(TreeEvent::Stopped);
        ctx.stop();
    }
}

impl<A: Agent> Actor for Root<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let context = WorkerContext {
            agent: Arc::clone(&self.agent),
            queue: self.queue.clone(),
            throttle: self.settings.throttle,
            time: self.settings.deadline,
            peer_log: Arc::clone(&self.peer_log),
            stats: Arc::clone(&self.stats),
            board: Arc::clone(&self.board),
            log: self.log.clone(),
        };
        let root = ctx.address().recipient();
        self.pool = Some(Pool::spawn(self.settings.workers, self.settings.restart, context, root));
        ctx.run_interval(Duration::from_secs(1), |root, _| {
            root.board.beat();
            root.queue.quarantine().forget(Instant::now());
            root.peer_log.flush();
            root.agent.review(&root.log);
        });
    }
}

impl<A: Agent> Handler<PoolEvent> for Root<A> {
    type Result = ();

    fn handle(&mut self, event: PoolEvent, ctx: &mut Self::Context) {
        match event {
            PoolEvent::Ready | PoolEvent::Failed(_) if self.stopping => {}
            PoolEvent::Ready => self.listen(),
            PoolEvent::Failed(cause) => {
                self.tell(TreeEvent::Failed(cause));
                self.stopping = true;
                self.acceptors.clear();
                self.stop_pool(ctx);
            }
            PoolEvent::Stopped => self.end(ctx),
        }
    }
}

impl<A: Agent> Handler<ListenerClosed> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: ListenerClosed, ctx: &mut Self::Context) {
        self.open_listeners -= 1;
        if self.open_listeners == 0 {
            debug!(self.log, # "links_closed", "all links are closed");
            self.stop_pool(ctx);
        }
    }
}

/// Tells the tree that [`Agent::start_engine`] makes engines with new rules from now on: each Worker reloads its engine
/// between two jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ReloadEngines;

impl<A: Agent> Handler<ReloadEngines> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: ReloadEngines, _: &mut Self::Context) {
        if let Some(pool) = &self.pool {
            pool.do_send(ReloadPool);
        }
    }
}

/// Tells the tree to make known that it stops, and then to stop as after [`Stop`], all within [`TreeSettings::grace`]: health
/// checks fail from now on, and the tree waits until each HAProxy that makes agent checks has been told, half of the grace
/// at most. Meanwhile it serves.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

impl<A: Agent> Handler<Leave> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
        if self.stopping || self.left.is_some() {
            return;
        }
        self.left = Some(Instant::now());
        self.queue.leave();
        self.board.set_listeners(Vec::new());
        match &self.agent_check {
            Some(check) => {
                check.do_send(TellAll { root: ctx.address().recipient() });
                ctx.run_later(self.settings.grace / 2, |root, ctx| root.stop(ctx));
            }
            None => self.stop(ctx),
        }
    }
}

impl<A: Agent> Handler<Told> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: Told, ctx: &mut Self::Context) {
        // HAProxy has read the line, and what it has already sent is on its way.
        let pause = if self.settings.grace > 4 * TOLD_PAUSE { TOLD_PAUSE } else { Duration::ZERO };
        ctx.run_later(pause, |root, ctx| root.stop(ctx));
    }
}

/// Tells the tree to answer the requests that it has read, and to end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl<A: Agent> Handler<Stop> for Root<A> {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.stop(ctx);
    }
}
