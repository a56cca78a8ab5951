//! The Listener: accepts links on one address and spawns a Connection for each.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use slog::{error, info};

use crate::agent::Agent;
use crate::connection::{Connection, ConnectionContext, Drain, Gone, Presence};
use crate::stream::Acceptor;
use crate::timer::run_later;

/// Links accepted in a row before the other actors of the thread get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Descriptors that links leave to each Worker, to start an engine with when its own has died.
const DESCRIPTORS_PER_WORKER: u64 = 4;

/// Descriptors that links leave to the rest of the program: zygotes, log files, /proc.
const DESCRIPTORS: u64 = 16;

/// The pause when the system has no descriptor or memory for another link.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepting works again when it has not failed for this time. At the limit of descriptors it fails and succeeds in turns,
/// and each turn would be a log line.
const CALM: Duration = Duration::from_secs(2);

/// Accepting fails, and the log says so until [`CALM`] has passed without another failure.
struct AcceptFailure {
    last: Instant,
    /// A link was accepted since the last failure.
    accepted: bool,
}

/// The actor.
pub(crate) struct Listener<A: Agent> {
    acceptor: Option<Acceptor>,
    context: Rc<ConnectionContext<A>>,
    connections: HashMap<u64, Addr<Connection<A>>>,
    next_number: u64,
    /// Descriptors that links leave to Workers.
    reserve: u64,
    /// Accepting failed, and [`ACCEPT_PAUSE`] is not over.
    paused: bool,
    failure: Option<AcceptFailure>,
    /// Set by [`Close`]: who gets [`ListenerClosed`] when the last Connection is gone.
    closed: Option<Recipient<ListenerClosed>>,
}

/// Tells Root that a Listener and all its Connections are gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ListenerClosed;

impl<A: Agent> Listener<A> {
    /// Starts accepting. Links leave what `workers` Workers need of the descriptors.
    pub(crate) fn spawn(acceptor: Acceptor, context: Rc<ConnectionContext<A>>, workers: usize) -> Addr<Self> {
        info!(context.log, # "listening", "listening"; "address" => acceptor.address());
        Self {
            acceptor: Some(acceptor),
            context,
            connections: HashMap::new(),
            next_number: 1,
            reserve: DESCRIPTORS + DESCRIPTORS_PER_WORKER.saturating_mul(workers as u64),
            paused: false,
            failure: None,
            closed: None,
        }
        .start()
    }

    fn poll_accept(&mut self, ctx: &mut Context<Self>, task: &mut Task<'_>) -> Poll<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = self.acceptor.as_ref().filter(|_| !self.paused) else {
                return Poll::Pending;
            };
            let next = match acceptor.check_descriptors(self.reserve) {
                Ok(()) => ready!(acceptor.poll_accept(task)),
                Err(error) => Err(error),
            };
            match next {
                Ok((stream, peer)) => {
                    if let Some(failure) = &mut self.failure {
                        failure.accepted = true;
                        self.take_stock();
                    }
                    self.context.stats.links.increment();
                    let number = self.next_number;
                    self.next_number += 1;
                    let presence = Presence { number, listener: ctx.address().recipient() };
                    let connection = Connection::spawn(stream, peer, Rc::clone(&self.context), presence);
                    self.connections.insert(number, connection);
                }
                Err(error) => self.accept_failed(&error, ctx),
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Either the peer has closed the link already, or the system is out of descriptors or memory, which needs a pause.
    fn accept_failed(&mut self, error: &io::Error, ctx: &mut Context<Self>) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected
        ) {
            return;
        }
        if self.failure.is_none() {
            error!(self.context.log, # "accept_failed", "cannot accept links, retrying";
                "error" => %error, "links" => self.connections.len());
        }
        self.failure = Some(AcceptFailure { last: Instant::now(), accepted: false });
        self.paused = true;
        run_later(ctx, ACCEPT_PAUSE, |listener, _| listener.paused = false);
        run_later(ctx, CALM, |listener, _| listener.take_stock());
    }

    /// Logs that accepting works again, when it does.
    fn take_stock(&mut self) {
        let is_over = |failure: &AcceptFailure| failure.accepted && failure.last.elapsed() >= CALM;
        if self.failure.as_ref().is_some_and(is_over) {
            info!(self.context.log, # "accepting_again", "accepting links again"; "links" => self.connections.len());
            self.failure = None;
        }
    }

    fn finish_when_empty(&mut self, ctx: &mut Context<Self>) {
        if let Some(closed) = self.closed.as_ref().filter(|_| self.connections.is_empty()) {
            closed.do_send(ListenerClosed);
            ctx.stop();
        }
    }
}

impl<A: Agent> Actor for Listener<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Accept);
    }
}

/// The Listener's accept loop.
struct Accept;

impl<A: Agent> ActorFuture<Listener<A>> for Accept {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        listener: &mut Listener<A>,
        ctx: &mut Context<Listener<A>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        listener.poll_accept(ctx, task)
    }
}

impl<A: Agent> Handler<Gone> for Listener<A> {
    type Result = ();

    fn handle(&mut self, gone: Gone, ctx: &mut Self::Context) {
        self.connections.remove(&gone.0);
        self.finish_when_empty(ctx);
    }
}

/// Tells a Listener to accept no more links, to drain its Connections, and to report when the last is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Close {
    pub(crate) grace: Duration,
    pub(crate) closed: Recipient<ListenerClosed>,
}

impl<A: Agent> Handler<Close> for Listener<A> {
    type Result = ();

    fn handle(&mut self, close: Close, ctx: &mut Self::Context) {
        self.acceptor = None;
        self.closed = Some(close.closed);
        for connection in self.connections.values() {
            connection.do_send(Drain { grace: close.grace });
        }
        self.finish_when_empty(ctx);
    }
}
