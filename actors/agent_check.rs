//! HAProxy's agent check: whoever connects is told in one line how the agent is, and the link is closed.
//!
//! The words are HAProxy's (`agent-check` in its manual). `up` and `down` are about the server's health, a percentage about
//! its weight. `drain` and `ready` are about what its operator wants of the server, and the one stays until the other
//! comes: so an agent that stops says `drain`, and one that has just started says `ready` for a while. After that it says
//! no more of it, so that HAProxy's operator can drain the server by hand.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};
use std::time::{Duration, Instant};

use actix::fut::{ActorFuture, ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use actix_rt::time::timeout;
use bytes::BytesMut;
use slog::{Logger, debug, info, warn};

use crate::agent::Agent;
use crate::queue::{Condition, Queue};
use crate::stream::{Acceptor, Peer, Stream};
use crate::timer::run_later;

/// For how long after its start the agent says `ready`: longer than HAProxy waits between two checks.
const READY_TIME: Duration = Duration::from_secs(60);

/// Who has asked within this time will ask again.
const MEMORY: Duration = Duration::from_secs(60);

/// The most peers that are remembered. Each is a HAProxy.
const MAX_PEERS: usize = 256;

/// The most links at a time; more are closed without an answer.
const MAX_LINKS: usize = 64;

/// How long a peer may take to read its line and to close the link.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause when the system has no descriptor or memory for another link.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The actor.
pub(crate) struct AgentCheck<A: Agent> {
    queue: Queue<A>,
    log: Logger,
    started: Instant,
    /// When each peer asked last.
    peers: HashMap<Peer, Instant>,
    links: usize,
    /// Accepting failed, and [`ACCEPT_PAUSE`] is not over.
    paused: bool,
    leaving: Option<Leaving>,
}

/// The agent is about to stop.
struct Leaving {
    /// The peers that have not been told.
    untold: HashSet<Peer>,
    /// Gets [`Told`] once.
    root: Option<Recipient<Told>>,
}

/// Tells the actor that the agent is about to stop: `root` gets [`Told`] when everybody who asks regularly knows.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TellAll {
    pub(crate) root: Recipient<Told>,
}

/// Tells the actor to end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopAgentCheck;

impl<A: Agent> Handler<StopAgentCheck> for AgentCheck<A> {
    type Result = ();

    fn handle(&mut self, _: StopAgentCheck, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Everybody who asks regularly has been told that the agent stops.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Told;

impl<A: Agent> AgentCheck<A> {
    /// Starts answering.
    pub(crate) fn spawn(acceptor: Acceptor, queue: Queue<A>, log: Logger) -> Addr<Self> {
        info!(log, # "listening_for_agent_checks", "listening for agent checks"; "agent_check" => acceptor.address());
        Self::create(|ctx| {
            ctx.spawn(Accept(acceptor));
            let (peers, started) = (HashMap::new(), Instant::now());
            Self { queue, log, started, peers, links: 0, paused: false, leaving: None }
        })
    }

    /// What a peer is told now.
    fn line(&self) -> String {
        if self.leaving.is_some() {
            return "drain\n".to_owned();
        }
        match self.queue.condition(Instant::now()) {
            Condition::Down(reason) => format!("down #{reason}\n"),
            // HAProxy takes a weight of 0 for a drained server.
            Condition::Up { load } => {
                let weight = 100_u8.saturating_sub(load).max(1);
                let ready = if self.started.elapsed() < READY_TIME { "ready " } else { "" };
                format!("{ready}up {weight}%\n")
            }
        }
    }

    fn answer(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        if self.links >= MAX_LINKS {
            return;
        }
        self.links += 1;
        // A link that its peer has given up has none any more: HAProxy may have waited in vain while the rules were loaded.
        let (peer, line) = (stream.peer(), self.line());
        let is_told = self.leaving.is_some();
        debug!(self.log, # "agent_check_answered", "agent check answered"; "answer" => line.trim_end());
        peer.iter().for_each(|peer| self.remember(peer));
        let said = async move { timeout(PATIENCE, say(stream, line)).await };
        ctx.spawn(wrap_future::<_, Self>(said).map(move |said, check: &mut Self, _| {
            check.links -= 1;
            if let (Some(peer), true, Ok(Ok(()))) = (&peer, is_told, said) {
                check.told(peer);
            }
        }));
    }

    fn remember(&mut self, peer: &Peer) {
        if self.peers.len() >= MAX_PEERS {
            self.peers.retain(|_, asked| asked.elapsed() < MEMORY);
        }
        if self.peers.len() < MAX_PEERS || self.peers.contains_key(peer) {
            self.peers.insert(peer.clone(), Instant::now());
        }
    }

    /// Counts a peer that has been told that the agent stops.
    fn told(&mut self, peer: &Peer) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.untold.remove(peer);
        if let Some(root) = leaving.root.take_if(|_| leaving.untold.is_empty()) {
            root.do_send(Told);
        }
    }
}

/// Writes the line and waits until the peer closes the link: closing it first, with what the peer may have sent unread, would
/// take the line back.
async fn say(mut stream: Stream, line: String) -> io::Result<()> {
    let mut left = line.as_bytes();
    while !left.is_empty() {
        let written = poll_fn(|task| stream.poll_write(task, left)).await?;
        left = left.get(written..).unwrap_or_default();
    }
    // However the link ends from now on: HAProxy often resets it once it has the line.
    if poll_fn(|task| stream.poll_shutdown(task)).await.is_ok() {
        let mut ignored = BytesMut::with_capacity(256);
        while poll_fn(|task| stream.poll_read(task, &mut ignored)).await.is_ok_and(|bytes| bytes > 0) {
            ignored.clear();
        }
    }
    Ok(())
}

impl<A: Agent> Actor for AgentCheck<A> {
    type Context = Context<Self>;
}

/// The accept loop.
struct Accept(Acceptor);

impl<A: Agent> ActorFuture<AgentCheck<A>> for Accept {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        check: &mut AgentCheck<A>,
        ctx: &mut Context<AgentCheck<A>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        while !check.paused {
            match ready!(self.0.poll_accept(task)) {
                Ok((stream, _)) => check.answer(stream, ctx),
                Err(error) => {
                    warn!(check.log, # "agent_check_accept_failed", "cannot accept an agent check, retrying"; "error" => %error);
                    check.paused = true;
                    run_later(ctx, ACCEPT_PAUSE, |check, _| check.paused = false);
                }
            }
        }
        Poll::Pending
    }
}

impl<A: Agent> Handler<TellAll> for AgentCheck<A> {
    type Result = ();

    fn handle(&mut self, TellAll { root }: TellAll, _: &mut Self::Context) {
        let recent = self.peers.iter().filter(|(_, asked)| asked.elapsed() < MEMORY);
        let untold: HashSet<_> = recent.map(|(peer, _)| peer.clone()).collect();
        if untold.is_empty() {
            root.do_send(Told);
        }
        let root = Some(root).filter(|_| !untold.is_empty());
        self.leaving = Some(Leaving { untold, root });
    }
}
