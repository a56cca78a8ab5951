//! A Connection: the actor of one link from HAProxy.
//!
//! One future over the readiness of the socket ([`Io`]) does all input and output: flush, read, decode, offer, flush. It
//! does not read while more than [`HIGH_WATER`] bytes wait to be written. The answers of Workers come as messages; actix
//! polls the future after them, so the ACKs of all jobs that were settled meanwhile leave in one write.

mod answers;
mod orphan;
mod siblings;
mod stall;
mod unanswered;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::{Buf, BytesMut};
use slog::{Logger, debug, o};

use crate::agent::Agent;
use crate::failure::{Failure, FailureKind};
use crate::peer_log::PeerLog;
use crate::queue::Queue;
use crate::spop::{Budget, Event, FrameId, Limits, ProtocolError, Session, Status};
use crate::stats::Stats;
use crate::status::{Board, LinkEntry};
use crate::stream::Stream;
use crate::timer::{milliseconds, run_later};
use siblings::{Membership, Siblings};
use stall::{Finding, Stalls};
use unanswered::Unanswered;

/// Bytes of unwritten output above which the Connection stops reading.
const HIGH_WATER: usize = 256 * 1024;

/// Bytes of room for one read, whatever length the peer announces.
const READ_ROOM: usize = 16 * 1024;

/// Reads in a row before the other actors of the thread get their turn.
const READS_PER_TURN: usize = 16;

/// How long a peer may take to send its HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the peer to close the link after the DISCONNECT: closing a socket that has unread input resets the
/// link, and the peer could not read the DISCONNECT any more.
const LINGER: Duration = Duration::from_secs(1);

/// What the Listener gives each of its Connections.
pub(crate) struct ConnectionContext<A: Agent> {
    pub(crate) agent: Arc<A>,
    pub(crate) queue: Queue<A>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) siblings: Rc<Siblings<A::Dialect>>,
    pub(crate) deadline: Duration,
    pub(crate) peer_log: Arc<PeerLog>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) board: Arc<Board>,
    pub(crate) log: Logger,
}

fn going_down() -> Failure {
    Failure::new(FailureKind::Shutdown, "the agent is going down")
}

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Read and answer.
    Serving,
    /// Answer what has come, then disconnect with the status in `farewell`. Until `all_read`, what comes meanwhile is read and
    /// answered too: HAProxy does not know yet, and would lose it.
    Draining { all_read: bool },
    /// The session is closed: write the rest of the output, then end the sending direction.
    Flushing,
    /// The sending direction has ended: wait until the peer ends the other.
    Lingering,
}

/// A NOTIFY without an ACK.
struct Notify<A: Agent> {
    /// The frame to acknowledge.
    id: FrameId,
    /// How it is to be answered.
    dialect: A::Dialect,
    /// When it came.
    arrived: Instant,
    /// Its request, for the log; `None` until all fragments have come.
    request: Option<Arc<A::Request>>,
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
    /// The NOTIFYs without an ACK. Whoever settles one first removes it.
    unanswered: Unanswered<Notify<A>>,
    /// The ticket and the deadline of the NOTIFY whose fragments have not all come.
    begun: Option<(u64, Instant)>,
    stalls: Stalls,
    /// With `async`: the membership in the group of links from the same HAProxy.
    membership: Option<Membership<A::Dialect>>,
    peer: String,
    /// What is shown of the link.
    entry: LinkEntry,
    log: Logger,
    _presence: Presence,
}

/// Tells the Listener that the Connection with this number is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Gone(pub(crate) u64);

/// Dropped with its Connection, whatever ends that, it tells the Listener.
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
        let mut limits = context.limits;
        // Without an address it is not known which links come from the same HAProxy.
        limits.capabilities.asynchronous &= stream.peer().is_some();
        Self {
            log: context.log.new(o!("peer" => peer.clone())),
            entry: context.board.link(&peer),
            session: Session::new(limits, context.budget.clone()),
            unanswered: Unanswered::new(context.deadline),
            context,
            stream,
            phase: Phase::Serving,
            farewell: Status::Normal,
            input: BytesMut::new(),
            output: BytesMut::new(),
            begun: None,
            stalls: Stalls::default(),
            membership: None,
            peer,
            _presence: presence,
        }
        .start()
    }

    /// Does as much input and output as is possible now. `Ready` at the end of the link.
    fn poll_io(&mut self, ctx: &mut Context<Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        for _ in 0..READS_PER_TURN {
            self.settle_overdue(task);
            if let (Phase::Draining { all_read: true }, Some((ticket, _))) = (self.phase, self.begun) {
                self.settle_here(ticket, &going_down());
            }
            let flushed = self.poll_flush(task)?.is_ready();
            match self.phase {
                Phase::Draining { all_read: true } => {
                    if !self.unanswered.is_empty() {
                        return Poll::Pending;
                    }
                    self.disconnect(self.farewell);
                    continue;
                }
                Phase::Flushing if flushed => {
                    ready!(self.stream.poll_shutdown(task))?;
                    self.phase = Phase::Lingering;
                    run_later(ctx, LINGER, |connection, _| connection.lose_link());
                }
                Phase::Flushing => return Poll::Pending,
                Phase::Serving | Phase::Draining { all_read: false } | Phase::Lingering => {}
            }
            if self.output.len() > HIGH_WATER {
                self.stalls.reading_stopped();
                return Poll::Pending;
            }
            self.input.reserve(READ_ROOM);
            match self.stream.poll_read(task, &mut self.input)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(read) => {
                    self.context.stats.bytes_read.add(read as u64);
                    self.receive(ctx);
                }
                Poll::Pending => {
                    self.stalls.reading(!self.input.is_empty());
                    if self.input.is_empty() {
                        // So that an idle link has no buffer.
                        self.input = BytesMut::new();
                    }
                    if self.phase != (Phase::Draining { all_read: false }) {
                        return Poll::Pending;
                    }
                    // HAProxy sends all fragments at once: the rest of these will not come.
                    if let Some((ticket, _)) = self.begun {
                        self.settle_here(ticket, &going_down());
                    } else if self.unanswered.is_empty()
                        && self.input.is_empty()
                        && !self.stream.has_unread_input()
                    {
                        self.phase = Phase::Draining { all_read: true };
                    } else {
                        return Poll::Pending;
                    }
                }
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Stops reading from a peer that broke the protocol, answers what it has asked, and closes the link.
    fn part_with(&mut self, cause: &ProtocolError) {
        match self.phase {
            Phase::Serving => {
                self.reject(cause);
                self.farewell = cause.status();
            }
            Phase::Draining { all_read: false } => {}
            _ => return,
        }
        self.phase = Phase::Draining { all_read: true };
    }

    /// Logs and counts that the peer broke the protocol.
    fn reject(&self, cause: &ProtocolError) {
        self.context.stats.links_rejected.increment();
        self.context.peer_log.rejection(&self.peer, cause);
    }

    fn poll_flush(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match self.stream.poll_write(task, &self.output)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => {
                    self.context.stats.bytes_written.add(written as u64);
                    self.output.advance(written);
                }
                Poll::Pending => {
                    self.stalls.blocked();
                    return Poll::Pending;
                }
            }
            self.stalls.written();
        }
        let flushed = self.stream.poll_flush(task);
        match flushed {
            Poll::Pending => self.stalls.blocked(),
            Poll::Ready(_) => self.stalls.written(),
        }
        flushed
    }

    /// Handles the frames in the input that are whole.
    fn receive(&mut self, ctx: &mut Context<Self>) {
        if self.session.is_closed() {
            self.input.clear();
        }
        self.session.set_healthy(self.context.queue.is_healthy());
        let mut whole = false;
        while let Some(event) = self.session.receive(&mut self.input, &mut self.output) {
            whole = true;
            match event {
                Event::Open(agreed) => {
                    debug!(self.log, # "link_open", "link open"; "max_frame_size_bytes" => agreed.max_frame_size,
                        "capabilities" => agreed.capabilities.names());
                    self.join_siblings(ctx);
                }
                Event::Notify { id, payload } => self.offer(id, &payload, ctx),
                Event::Begun { id, start } => {
                    let job = self.unanswered.ticket();
                    let dialect = self.context.agent.dialect(&start);
                    self.entry.cell.messages.increment();
                    let arrived = Instant::now();
                    self.unanswered.insert(job, Notify { id, dialect, arrived, request: None });
                    self.begun = Some(job);
                }
                Event::TooMuch(excess) => self.refuse(excess),
                Event::GivenUp => {
                    if let Some((ticket, _)) = self.begun.take() {
                        self.entry.cell.answers.increment();
                        self.unanswered.take(ticket);
                    }
                }
                Event::HealthCheck => {
                    debug!(self.log, # "health_check_answered", "health check answered");
                    self.context.stats.health_checks.increment();
                    self.context.agent.health_check();
                    self.phase = Phase::Flushing;
                }
                Event::PeerClosed(said) => {
                    debug!(self.log, # "haproxy_disconnects", "HAProxy disconnects";
                        "status" => said.status, "message" => %said.message.escape_ascii());
                    self.phase = Phase::Flushing;
                }
                Event::Rejected(cause) => {
                    self.reject(&cause);
                    self.phase = Phase::Flushing;
                }
            }
        }
        self.stalls.read(whole, !self.input.is_empty());
    }

    fn disconnect(&mut self, status: Status) {
        self.session.disconnect(status, &mut self.output);
        self.phase = Phase::Flushing;
    }

    fn hello_is_due(&mut self, _: &mut Context<Self>) {
        if self.session.awaits_hello() {
            debug!(self.log, # "no_hello", "no hello in time"; "timeout_ms" => milliseconds(HELLO_TIMEOUT));
            self.disconnect(Status::Timeout);
        }
    }

    /// Starts a timer when the peer has begun to owe a frame or a read.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        if let Some(after) = self.stalls.watch() {
            run_later(ctx, after, Self::stall_is_due);
        }
    }

    fn stall_is_due(&mut self, ctx: &mut Context<Self>) {
        let finding = self.stalls.find(Instant::now());
        let cause = match finding {
            Finding::Nothing => return,
            Finding::Wait(left) => {
                run_later(ctx, left, Self::stall_is_due);
                return;
            }
            Finding::Frame => ProtocolError::new(Status::Timeout, "the rest of a frame does not come"),
            Finding::Write => ProtocolError::new(
                Status::Timeout,
                format!("it does not read, {} bytes wait for it", self.output.len()),
            ),
        };
        if finding == Finding::Write {
            self.reject(&cause);
            self.lose_link();
            return;
        }
        self.part_with(&cause);
        // The peer may also not read the DISCONNECT: the timer goes on.
        self.stalls.reading_stopped();
        self.stall_is_due(ctx);
    }

    /// Settles the jobs that workers have not settled within the grace; then the link is closed.
    fn drain_is_due(&mut self, _: &mut Context<Self>) {
        let failure = going_down();
        for ticket in self.unanswered.tickets() {
            self.settle_here(ticket, &failure);
        }
        if self.phase == (Phase::Draining { all_read: false }) {
            self.phase = Phase::Draining { all_read: true };
        }
    }
}

impl<A: Agent> Actor for Connection<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        run_later(ctx, HELLO_TIMEOUT, Self::hello_is_due);
        ctx.spawn(Io);
    }
}

/// The future that does a Connection's input and output.
struct Io;

impl<A: Agent> ActorFuture<Connection<A>> for Io {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection<A>,
        ctx: &mut Context<Connection<A>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        if !connection.stream.is_closed() {
            let io = connection.poll_io(ctx, task);
            connection.watch(ctx);
            match ready!(io) {
                Ok(()) => debug!(connection.log, # "link_closed", "link closed"),
                // Only TLS finds what is read to be wrong.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    connection.context.peer_log.rejection(&connection.peer, &format_args!("TLS: {error}"));
                }
                // HAProxy often closes an idle link with a reset.
                Err(error) => debug!(connection.log, # "link_closed", "link closed"; "error" => %error),
            }
            connection.lose_link();
        }
        ready!(connection.poll_orphan(task));
        ctx.stop();
        Poll::Ready(())
    }
}

/// Tells a Connection to answer what it has read, to disconnect and to end. Jobs that are not settled after `grace` are
/// answered as `shutdown`.
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
            run_later(ctx, drain.grace, Self::drain_is_due);
        }
        // A peer that never reads must not delay the end.
        run_later(ctx, drain.grace + LINGER, |_, ctx| ctx.stop());
    }
}
