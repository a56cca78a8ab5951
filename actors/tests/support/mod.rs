//! A real tree on a real socket, with an engine that does what its requests say, and a client to talk to it.

// Each test crate compiles this module and uses only the part that it needs.
#![allow(dead_code)]

mod agent;
mod log;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, System};
use actors::spop::hello::Capabilities;
use actors::spop::value::encode_bytes;
use actors::spop::{ActionList, Frame, FrameId, FrameType, Limits, Messages, Scope, Value, frame};
use actors::{
    Agent, CauseOfEnd, ClientKey, Engine, EngineError, Failure, FailureKind, Leave, ReloadEngines, Root,
    Socket, StartError, Stop, TreeEvent, TreeSettings, restart::RestartPolicy,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use slog::{Drain, KV, Logger, OwnedKVList, Record, Serializer, o};

pub use agent::*;
pub use log::*;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running tree; stopped when dropped.
pub struct Tree {
    pub address: SocketAddr,
    check: SocketAddr,
    pub gate: Arc<Gate>,
    pub log: Lines,
    pub agent: Arc<TestAgent>,
    root: Option<Addr<Root<TestAgent>>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Owner {
    /// Told whether the tree is ready, or why not.
    ready: mpsc::Sender<Result<(), String>>,
}

impl Actor for Owner {
    type Context = Context<Self>;
}

impl Handler<TreeEvent> for Owner {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, _: &mut Self::Context) {
        match event {
            TreeEvent::Ready => self.ready.send(Ok(())).unwrap_or_default(),
            TreeEvent::Failed(cause) => self.ready.send(Err(cause)).unwrap_or_default(),
            TreeEvent::Alive { .. } => {}
            TreeEvent::Stopped => System::current().stop(),
        }
    }
}

/// Few workers, a short queue, quick restarts.
pub fn settings() -> TreeSettings {
    TreeSettings {
        workers: 2,
        queue: 4,
        throttle: Duration::ZERO,
        deadline: PATIENCE,
        restart: RestartPolicy {
            intensity: 3,
            period: Duration::from_secs(5),
            first_delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(40),
        },
        limits: Limits { max_frame_size: 4096, max_payload: 1 << 20, capabilities: Capabilities::ALL },
        grace: Duration::from_secs(5),
    }
}

impl Tree {
    pub fn start(settings: TreeSettings, false_starts: usize) -> Self {
        Self::try_start(settings, false_starts).expect("the tree is ready")
    }

    /// Starts a tree; why not, if it stops by itself.
    pub fn try_start(settings: TreeSettings, false_starts: usize) -> Result<Self, String> {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let check_socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let check = check_socket.local_addr().unwrap();
        let (gate, log) = (Arc::<Gate>::default(), Lines::default());
        let agent = Arc::new(TestAgent {
            gate: Arc::clone(&gate),
            false_starts: Mutex::new(false_starts),
            is_short: Mutex::default(),
            deadly: Arc::default(),
            fingerprints: Mutex::default(),
            rebuilds: Mutex::default(),
            amid: Arc::default(),
            reloads: Arc::default(),
        });
        let shared = Arc::clone(&agent);
        let logger = Logger::root(log.clone(), o!());
        let (ready, is_ready) = mpsc::channel();
        let (give_root, take_root) = mpsc::channel();
        let thread = thread::spawn(move || {
            let system = System::new();
            system.block_on(async {
                let root = Root::new(settings, shared, vec![Socket::Tcp(socket)], logger).unwrap();
                let root = root.with_agent_check(Socket::Tcp(check_socket)).unwrap();
                Owner::create(|ctx| {
                    give_root.send(root.spawn(ctx.address().recipient())).unwrap();
                    Owner { ready }
                });
            });
            system.run().unwrap();
        });
        if let Err(cause) = is_ready.recv_timeout(PATIENCE).expect("the tree is ready, or stops") {
            thread.join().unwrap();
            return Err(cause);
        }
        Ok(Self { address, check, gate, log, agent, root: take_root.recv().ok(), thread: Some(thread) })
    }

    /// Sets whether this order kills its engine.
    pub fn deadly(&self, order: &str, is_deadly: bool) {
        let mut deadly = self.agent.deadly.lock().unwrap();
        if is_deadly {
            deadly.insert(order.to_owned())
        } else {
            deadly.remove(order)
        };
    }

    /// Tells the tree to reload its engines, without waiting for it.
    pub fn reload(&self) {
        self.root.as_ref().unwrap().do_send(ReloadEngines);
    }

    /// Tells the tree to stop, without waiting for it.
    pub fn stop(&self) {
        self.root.as_ref().unwrap().do_send(Stop);
    }

    /// Tells the tree to make known that it stops, and to stop then, without waiting for it.
    pub fn leave(&self) {
        self.root.as_ref().unwrap().do_send(Leave);
    }

    /// Waits until links are refused.
    pub fn await_no_listener(&self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < deadline, "links are accepted");
        }
    }

    /// What an agent check is answered with.
    pub fn agent_check(&self) -> String {
        let mut answer = String::new();
        let mut link = TcpStream::connect(self.check).unwrap();
        link.set_read_timeout(Some(PATIENCE)).unwrap();
        // As `agent-send` has HAProxy do.
        link.write_all(b"how are you\n").unwrap();
        link.read_to_string(&mut answer).unwrap();
        answer
    }

    /// An agent check that is reset by who makes it.
    pub fn agent_check_given_up(&self) {
        let link = TcpStream::connect(self.check).unwrap();
        rustix::net::sockopt::set_socket_linger(&link, Some(Duration::ZERO)).unwrap();
    }

    /// Waits until an agent check is answered with this.
    pub fn await_agent_check(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.agent_check();
            if answer == line {
                return;
            }
            assert!(Instant::now() < deadline, "not {line:?} but {answer:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has stopped.
    pub fn join(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub fn connect(&self) -> Client {
        let (client, answer) = self.greet(&[("healthcheck", Value::Bool(false))]);
        assert_eq!(answer, FrameType::AgentHello);
        client
    }

    /// A link of the HAProxy engine with this engine-id, which takes ACKs on any of its links.
    pub fn connect_as(&self, engine: &[u8]) -> Client {
        self.greet(&[("engine-id", Value::String(engine))]).0
    }

    /// What a health check is answered with.
    pub fn health_check(&self) -> FrameType {
        self.greet(&[("healthcheck", Value::Bool(true))]).1
    }

    fn greet(&self, more: &[(&str, Value<'_>)]) -> (Client, FrameType) {
        let mut client = Client { stream: TcpStream::connect(self.address).unwrap(), input: BytesMut::new() };
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut payload = BytesMut::new();
        for (name, value) in [
            ("supported-versions", Value::String(b"2.0")),
            ("max-frame-size", Value::Uint32(4096)),
            ("capabilities", Value::String(b"pipelining,async")),
        ]
        .iter()
        .chain(more)
        {
            encode_bytes(name.as_bytes(), &mut payload);
            value.encode(&mut payload);
        }
        client.send(FrameType::HaproxyHello, FrameId::default(), &payload);
        let answer = client.receive().unwrap().kind;
        (client, answer)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.gate.open();
        if let Some(thread) = self.thread.take() {
            self.stop();
            thread.join().unwrap();
        }
    }
}

/// HAProxy's end of a link.
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub fn send(&mut self, kind: FrameType, id: FrameId, payload: &[u8]) {
        let mut out = BytesMut::new();
        frame::encode(kind, id, payload, &mut out);
        self.stream.write_all(&out).unwrap();
    }

    /// A NOTIFY of this stream that orders the engine to do something.
    pub fn order(&mut self, stream: u64, what: &str) {
        let mut payload = BytesMut::new();
        encode_bytes(what.as_bytes(), &mut payload);
        payload.put_u8(0);
        self.send(FrameType::Notify, FrameId { stream, frame: 1 }, &payload);
    }

    /// The next frame; `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.input, 4096).unwrap() {
                return Some(frame);
            }
            let mut room = [0; 4096];
            match self.stream.read(&mut room).unwrap() {
                0 => return None,
                count => self.input.extend_from_slice(&room[..count]),
            }
        }
    }

    /// The next ACK: its stream, and what the agent answered.
    pub fn ack(&mut self) -> (u64, String) {
        let mut frame = self.receive().expect("an ACK");
        assert_eq!((frame.kind, frame.id.frame), (FrameType::Ack, 1));
        // set-var, 3 arguments, transaction, "x", STRING, length.
        assert_eq!(frame.payload.copy_to_bytes(6), &b"\x01\x03\x02\x01x\x08"[..]);
        frame.payload.advance(1);
        (frame.id.stream, String::from_utf8(frame.payload.to_vec()).unwrap())
    }

    /// Waits until the agent has read all that was sent: it answers a NOTIFY that it does not understand as soon as it reads
    /// it.
    pub fn await_read(&mut self) {
        self.send(FrameType::Notify, FrameId { stream: 8, frame: 1 }, b"\xFFgarbage");
        assert_eq!(self.ack(), (8, "invalid".to_owned()));
    }

    /// Waits until the agent has closed the socket, not only its side: then what is sent is refused.
    pub fn await_closed(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.stream.write_all(b"x").is_ok() {
            assert!(Instant::now() < deadline, "the agent does not close the link");
            // It says nothing when it does: there is nothing to wait on before.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Orders, and waits for the answer.
    pub fn ask(&mut self, what: &str) -> String {
        self.order(7, what);
        let (stream, answer) = self.ack();
        assert_eq!(stream, 7, "an ACK that nobody waits for: {answer}");
        answer
    }
}
