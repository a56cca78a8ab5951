//! A Connection: one actor for one link of HAProxy's.
//!
//! All its input and output is one future over the socket's readiness ([`Io`]): flush, read, decode, offer, flush. It
//! stops reading while more than [`HIGH_WATER`] bytes wait to be written. Settled jobs come as messages; actix polls the
//! future after them, so the ACKs of all that settled meanwhile leave in one write.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::{Buf, Bytes, BytesMut};
use slog::{Logger, debug, error, o};

use crate::engine::{Agent, Failure, FailureKind};
use crate::job::{Job, Queue, Reply, Settled};
use crate::peer_log::PeerLog;
use crate::siblings::{Carry, Membership, Siblings};
use crate::spop::{Actions, Budget, Disconnect, Event, Excess, FrameId, Limits, Session, Status};
use crate::stream::Stream;
use crate::unanswered::Unanswered;

/// Unwritten bytes above which nothing more is read.
const HIGH_WATER: usize = 256 * 1024;

/// Room made before a read: never by what a peer announces, always by this.
const READ_ROOM: usize = 16 * 1024;

/// Reads in a row before the other actors of the thread get their turn.
const READS_PER_TURN: usize = 16;

/// How long a peer may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the peer's end of stream after ours, so that it can read the DISCONNECT: closing a socket with
/// unread input resets it.
const LINGER: Duration = Duration::from_secs(1);

/// What the Listener gives each of its Connections.
pub(crate) struct ConnectionContext<A: Agent> {
    pub(crate) agent: Arc<A>,
    pub(crate) queue: Queue<A>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) siblings: Rc<Siblings>,
    pub(crate) deadline: Duration,
    pub(crate) peer_log: Arc<PeerLog>,
    pub(crate) log: Logger,
}

fn going_down() -> Failure {
    Failure::new(FailureKind::Shutdown, "the agent is going down")
}

/// What is to be done with the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Read and answer.
    Serving,
    /// Read what is there already, answer all of it, then disconnect with the code in `farewell`.
    Draining { all_read: bool },
    /// The session is closed: write what is left, then shut our side.
    Flushing,
    /// Our side is shut: wait for the peer's.
    Lingering,
    /// The link is gone: another one brings the answers, as they get ready.
    Orphaned,
}

/// The actor.
pub(crate) struct Connection<A: Agent> {
    context: Rc<ConnectionContext<A>>,
    stream: Stream,
    session: Session,
    phase: Phase,
    farewell: Status,
    input: BytesMut,
    output: BytesMut,
    unanswered: Unanswered,
    /// The one of them that comes in fragments and has not come whole, and when it is due.
    begun: Option<(u64, Instant)>,
    /// With `async`: the other links of the same HAProxy.
    membership: Option<Membership>,
    peer: String,
    log: Logger,
    _presence: Presence,
}

/// Tells the Listener that the Connection with this number is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Gone(pub(crate) u64);

/// Part of a Connection: dropped with it, whatever ends it, it tells the Listener.
pub(crate) struct Presence {
    pub(crate) number: u64,
    pub(crate) listener: Recipient<Gone>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.listener.do_send(Gone(self.number));
    }
}

impl<A: Agent> Connection<A> {
    /// Starts serving the link to `peer`.
    pub(crate) fn spawn(
        stream: Stream,
        peer: String,
        context: Rc<ConnectionContext<A>>,
        presence: Presence,
    ) -> Addr<Self> {
        Self {
            log: context.log.new(o!("peer" => peer.clone())),
            unanswered: Unanswered::new(context.deadline),
            session: Session::new(context.limits, context.budget.clone()),
            context,
            stream,
            phase: Phase::Serving,
            farewell: Status::Normal,
            input: BytesMut::new(),
            output: BytesMut::new(),
            begun: None,
            membership: None,
            peer,
            _presence: presence,
        }
        .start()
    }

    /// As much input and output as is possible now. `Ready` at the end of the link.
    fn poll_io(&mut self, ctx: &mut Context<Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        for _ in 0..READS_PER_TURN {
            while let Poll::Ready(ticket) = self.unanswered.poll_overdue(task) {
                self.overdue(ticket);
            }
            if let (Phase::Draining { all_read: true }, Some((ticket, _))) = (self.phase, self.begun) {
                self.settle_here(ticket, &going_down());
            }
            if self.phase == Phase::Orphaned {
                return if self.unanswered.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let flushed = self.poll_flush(task)?.is_ready();
            match self.phase {
                Phase::Draining { all_read: true } => {
                    if !self.unanswered.is_empty() {
                        return Poll::Pending;
                    }
                    self.disconnect(&Disconnect::new(self.farewell, "everything is answered"));
                    continue;
                }
                Phase::Flushing if flushed => {
                    ready!(self.stream.poll_shutdown(task))?;
                    self.phase = Phase::Lingering;
                    ctx.run_later(LINGER, |connection, ctx| {
                        if !connection.lives_on() {
                            ctx.stop();
                        }
                    });
                }
                Phase::Flushing => return Poll::Pending,
                _ => {}
            }
            if self.output.len() > HIGH_WATER {
                return Poll::Pending;
            }
            self.input.reserve(READ_ROOM);
            match self.stream.poll_read(task, &mut self.input)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => self.receive(ctx),
                Poll::Pending => {
                    if self.input.is_empty() {
                        // An idle link keeps no buffer.
                        self.input = BytesMut::new();
                    }
                    if self.phase != (Phase::Draining { all_read: false }) {
                        return Poll::Pending;
                    }
                    self.phase = Phase::Draining { all_read: true };
                }
            }
        }
        if self.phase == (Phase::Draining { all_read: false }) {
            self.phase = Phase::Draining { all_read: true };
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Settles what is overdue. A peer that leaves a payload unfinished loses its link too: HAProxy sends all fragments
    /// at once, and uses no link any more on which it was told of an abort.
    fn overdue(&mut self, ticket: u64) {
        if self.begun.is_none_or(|(begun, _)| begun != ticket) {
            let failure = Failure::new(FailureKind::Timeout, "no verdict within the deadline");
            return self.settle_here(ticket, &failure);
        }
        const CAUSE: &str = "the last fragment did not come within the deadline";
        self.settle_here(ticket, &Failure::new(FailureKind::Timeout, CAUSE));
        if self.phase == Phase::Serving {
            self.farewell = Status::Timeout;
            self.phase = Phase::Draining { all_read: true };
            self.context.peer_log.rejection(&self.peer, &Disconnect::new(self.farewell, CAUSE));
        }
    }

    /// Answers a job that a worker may still be at, or that has not come whole.
    fn settle_here(&mut self, ticket: u64, failure: &Failure) {
        let Some(id) = self.unanswered.take(ticket) else {
            return;
        };
        self.context.peer_log.failure(failure, slog::kv!("peer" => &self.peer));
        let actions = self.failed(None, failure);
        if self.begun.take_if(|(begun, _)| *begun == ticket).is_none() {
            self.acknowledge(id, &actions);
        } else if self.session.abort(&actions, &mut self.output).is_err() {
            self.disconnect(&Disconnect::new(Status::TooBig, "not even an error fits in a frame"));
        }
    }

    fn poll_flush(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match ready!(self.stream.poll_write(task, &self.output))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.output.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Deals with the frames that are whole.
    fn receive(&mut self, ctx: &mut Context<Self>) {
        if self.session.is_closed() {
            self.input.clear();
        }
        self.session.set_healthy(!self.context.queue.load().is_down());
        while let Some(event) = self.session.receive(&mut self.input, &mut self.output) {
            match event {
                Event::Open(agreed) => {
                    debug!(self.log, "link open"; "agreed" => ?agreed);
                    let who = self.stream.peer().zip(self.session.engine().cloned());
                    self.membership = who.map(|(peer, engine)| {
                        Membership::join(&self.context.siblings, peer, engine, ctx.address().recipient())
                    });
                }
                Event::Notify { id, payload } => self.offer(id, &payload, ctx),
                Event::Begun(id) => {
                    let begun = self.unanswered.ticket();
                    self.unanswered.insert(begun, id);
                    self.begun = Some(begun);
                }
                Event::TooMuch(id, excess) => self.refuse(id, excess),
                Event::GivenUp => {
                    if let Some((ticket, _)) = self.begun.take() {
                        self.unanswered.take(ticket);
                    }
                }
                Event::HealthCheck => {
                    debug!(self.log, "health check answered");
                    self.context.agent.health_check();
                    self.phase = Phase::Flushing;
                }
                Event::PeerClosed(said) => {
                    debug!(self.log, "HAProxy disconnects";
                        "status" => said.status, "message" => %said.message.escape_ascii());
                    self.phase = Phase::Flushing;
                }
                Event::Rejected(cause) => {
                    self.context.peer_log.rejection(&self.peer, &cause);
                    self.phase = Phase::Flushing;
                }
            }
        }
    }

    /// Hands one NOTIFY to the workers, or settles it here and now.
    fn offer(&mut self, id: FrameId, payload: &Bytes, ctx: &mut Context<Self>) {
        let begun = self.begun.take();
        let request = match self.context.agent.decode(payload) {
            Ok(request) => request,
            Err(failure) => {
                self.context.peer_log.failure(&failure, slog::kv!("peer" => &self.peer));
                self.answer_at_once(begun, id, &self.failed(None, &failure));
                return;
            }
        };
        let (ticket, deadline) = begun.unwrap_or_else(|| self.unanswered.ticket());
        let reply = Reply::new(ctx.address().recipient(), ticket);
        let job = Job { request, deadline, reply };
        match self.context.queue.offer(job, &self.context.agent, Instant::now()) {
            Ok(()) if begun.is_none() => self.unanswered.insert((ticket, deadline), id),
            Ok(()) => {}
            Err((failure, job)) => {
                self.context.peer_log.failure(&failure, &job.request);
                self.answer_at_once(begun, id, &self.failed(Some(&job.request), &failure));
                job.reply.forget();
            }
        }
    }

    /// Answers a payload that was not put together.
    fn refuse(&mut self, id: FrameId, excess: Excess) {
        let failure = match excess {
            Excess::Payload => Failure::new(FailureKind::TooLarge, "it is larger than the largest payload"),
            Excess::Budget => Failure::new(FailureKind::Overload, "too many payloads in fragments at a time"),
        };
        self.context.peer_log.failure(&failure, slog::kv!("peer" => &self.peer));
        let begun = self.begun.take();
        self.answer_at_once(begun, id, &self.failed(None, &failure));
    }

    fn answer_at_once(&mut self, begun: Option<(u64, Instant)>, id: FrameId, actions: &Actions) {
        if let Some((ticket, _)) = begun {
            self.unanswered.take(ticket);
        }
        self.acknowledge(id, actions);
    }

    fn failed(&self, request: Option<&A::Request>, failure: &Failure) -> Actions {
        self.context.agent.answer(request, Err(failure)).into_payload()
    }

    /// Whether the link that has ended still owes answers that another can bring. Those of what has not come whole are
    /// awaited by nobody.
    fn lives_on(&mut self) -> bool {
        if let Some((ticket, _)) = self.begun.take() {
            self.unanswered.take(ticket);
        }
        self.session.close();
        (self.stream, self.input, self.output) = (Stream::Closed, BytesMut::new(), BytesMut::new());
        self.phase = Phase::Orphaned;
        let Some(membership) = &self.membership else { return false };
        membership.leave();
        let lives_on = !self.unanswered.is_empty() && membership.sibling().is_some();
        if lives_on {
            debug!(self.log, "link closed, another brings its answers"; "answers" => self.unanswered.len());
        }
        lives_on
    }

    /// Writes an ACK, or has another link of the same HAProxy write it when this one is closed.
    fn acknowledge(&mut self, id: FrameId, actions: &Actions) {
        if self.session.is_closed() {
            if let Some(membership) = &self.membership {
                membership.leave();
                if let Some(sibling) = membership.sibling() {
                    sibling.do_send(Carry { id, actions: actions.clone() });
                }
            }
            return;
        }
        if self.session.acknowledge(id, actions, &mut self.output).is_ok() {
            return;
        }
        let failure = Failure::new(FailureKind::Engine, "the answer does not fit in a frame");
        error!(self.log, "answer too long for the frame size");
        let short = self.failed(None, &failure);
        if self.session.acknowledge(id, &short, &mut self.output).is_err() {
            self.disconnect(&Disconnect::new(Status::TooBig, "not even an error fits in a frame"));
        }
    }

    fn disconnect(&mut self, cause: &Disconnect) {
        self.session.disconnect(cause, &mut self.output);
        self.unanswered.clear();
        self.phase = Phase::Flushing;
    }

    fn hello_is_due(&mut self, _: &mut Context<Self>) {
        if self.session.awaits_hello() {
            debug!(self.log, "no hello within {:?}", HELLO_TIMEOUT);
            self.disconnect(&Disconnect::new(Status::Timeout, "no hello"));
        }
    }

    /// Settles what the workers did not settle in time and closes the link.
    fn drain_is_due(&mut self, _: &mut Context<Self>) {
        let failure = going_down();
        for ticket in self.unanswered.tickets() {
            self.settle_here(ticket, &failure);
        }
    }
}

impl<A: Agent> Actor for Connection<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(HELLO_TIMEOUT, Self::hello_is_due);
        ctx.spawn(Io);
    }
}

/// The Connection's input and output.
struct Io;

impl<A: Agent> ActorFuture<Connection<A>> for Io {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection<A>,
        ctx: &mut Context<Connection<A>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        match ready!(connection.poll_io(ctx, task)) {
            Ok(()) => debug!(connection.log, "link closed"),
            // HAProxy closes idle links by a reset as often as not.
            Err(error) => debug!(connection.log, "link closed"; "error" => %error),
        }
        if connection.lives_on() {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        ctx.stop();
        Poll::Ready(())
    }
}

impl<A: Agent> Handler<Settled> for Connection<A> {
    type Result = ();

    fn handle(&mut self, settled: Settled, _: &mut Self::Context) {
        let Some(id) = self.unanswered.take(settled.ticket) else {
            return;
        };
        let actions = settled.actions.unwrap_or_else(|| {
            let is_stopping = matches!(self.phase, Phase::Draining { .. }) && self.farewell == Status::Normal;
            let kind = if is_stopping { FailureKind::Shutdown } else { FailureKind::Crash };
            let failure = Failure::new(kind, "the worker went away");
            self.context.peer_log.failure(&failure, slog::kv!("peer" => &self.peer));
            self.failed(None, &failure)
        });
        self.acknowledge(id, &actions);
    }
}

impl<A: Agent> Handler<Carry> for Connection<A> {
    type Result = ();

    fn handle(&mut self, carry: Carry, _: &mut Self::Context) {
        self.acknowledge(carry.id, &carry.actions);
    }
}

/// Tells a Connection to answer what it has read, disconnect and close; what is not settled after `grace` is given up.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain {
    pub(crate) grace: Duration,
}

impl<A: Agent> Handler<Drain> for Connection<A> {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Draining { all_read: false };
            ctx.run_later(drain.grace, Self::drain_is_due);
        }
        // A peer that never reads must not hold up the end.
        ctx.run_later(drain.grace + LINGER, |_, ctx| ctx.stop());
    }
}
