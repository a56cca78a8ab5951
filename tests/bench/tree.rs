//! `cargo bench --bench tree`: the agent's own CPU for one request, the engine excluded.
//!
//! A real tree on a real socket with an engine that finds everything clean; a client on another thread sends browsers'
//! GETs, so many at a time. The table has the CPU time of the tree's threads from the kernel's accounts
//! (`/proc/self/task/*/schedstat`): decode, queue, worker, answer, and the system calls of the socket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod client;
mod message;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, System};
use actors::restart::RestartPolicy;
use actors::spop::hello::Capabilities;
use actors::spop::{ActionList, FrameId, Limits};
use actors::{
    Agent, ClientKey, Engine, EngineError, Failure, Root, Socket, StartError, TreeEvent, TreeSettings,
    one_by_one,
};
use bytes::Bytes;
use client::Client;
use modsecurity_spoa::message::HttpMessage;
use modsecurity_spoa::message::answer::{Policy, answer};
use modsecurity_spoa::message::decode::{dialect, read};
use modsecurity_spoa::message::dialect::Dialect;
use modsecurity_spoa::message::id::IdSource;
use modsecurity_spoa::message::verdict::Verdict;
use slog::{Discard, Logger, o};

const REQUESTS: usize = 100_000;

/// Finds everything clean.
struct NoEngine;

impl Engine for NoEngine {
    type Request = HttpMessage;
    type Verdict = Verdict;

    fn inspect(
        &mut self,
        messages: &[&HttpMessage],
        outcome: &mut dyn FnMut(usize, Result<Verdict, EngineError>),
    ) {
        one_by_one(messages, outcome, |_| Ok(Verdict::default()));
    }
}

/// The real decoder and the real answers around it.
#[derive(Default)]
struct BenchAgent(IdSource, Policy);

impl Agent for BenchAgent {
    type Request = HttpMessage;
    type Verdict = Verdict;
    type Dialect = Dialect;
    type Engine = NoEngine;

    fn start_engine(&self, _: usize, _: &Logger) -> Result<NoEngine, StartError> {
        Ok(NoEngine)
    }

    fn rebuild(&self) {}

    fn fingerprint(&self, request: &HttpMessage) -> u64 {
        request.fingerprint()
    }

    fn affinity(&self, _: &HttpMessage) -> Option<usize> {
        None
    }

    fn client(&self, message: &HttpMessage) -> Option<ClientKey> {
        match message {
            HttpMessage::Request(request) => request.client.address.map(ClientKey::from),
            HttpMessage::Response(_) => None,
        }
    }

    fn read(&self, payload: &Bytes) -> (Dialect, Result<HttpMessage, Failure>) {
        read(payload, self.0.next())
    }

    fn dialect(&self, start: &Bytes) -> Dialect {
        dialect(start)
    }

    fn answer(
        &self,
        dialect: Dialect,
        request: Option<&HttpMessage>,
        outcome: Result<&Verdict, &Failure>,
    ) -> ActionList {
        answer(dialect, request, outcome, &self.1)
    }

    fn record(&self, _: &HttpMessage, _: &Verdict, _: &Logger) {}
}

struct Owner(mpsc::Sender<()>);

impl Actor for Owner {
    type Context = Context<Self>;
}

impl Handler<TreeEvent> for Owner {
    type Result = ();

    fn handle(&mut self, _: TreeEvent, _: &mut Self::Context) {
        self.0.send(()).unwrap();
    }
}

/// Starts the tree on a thread of its own, for the rest of the process's life.
fn start(workers: usize) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let settings = TreeSettings {
        workers,
        queue: 1024,
        throttle: Duration::ZERO,
        deadline: Duration::from_millis(500),
        restart: RestartPolicy::default(),
        limits: Limits { max_frame_size: 16384, max_payload: 1 << 20, capabilities: Capabilities::ALL },
        grace: Duration::ZERO,
    };
    let (ready, is_ready) = mpsc::channel();
    let tree = move || {
        let system = System::new();
        system.block_on(async {
            let log = Logger::root(Discard, o!());
            let root =
                Root::new(settings, Arc::new(BenchAgent::default()), vec![Socket::Tcp(socket)], log).unwrap();
            Owner::create(|ctx| {
                root.spawn(ctx.address().recipient());
                Owner(ready)
            });
        });
        system.run().unwrap();
    };
    thread::Builder::new().name("tree".to_owned()).spawn(tree).unwrap();
    is_ready.recv().unwrap();
    address
}

/// CPU time of all threads of this name, or beginning with it.
fn cpu(name: &str) -> Duration {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap().starts_with(name) {
            let account = fs::read_to_string(task.join("schedstat")).unwrap();
            total += account.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(total)
}

fn main() {
    println!("{REQUESTS} requests each; CPU in µs a request");
    println!(
        "{:>8} {:>12} {:>12} {:>8} {:>8} {:>8} {:>10}",
        "workers", "in flight", "requests/s", "io", "worker", "sum", "round trip"
    );
    for (workers, in_flight) in [(1, 1), (1, 20), (1, 100), (2, 100)] {
        let mut client = Client::connect(start(workers));
        let batch: Vec<u8> =
            (0..in_flight).flat_map(|stream| message::notify(FrameId { stream, frame: 1 })).collect();
        // A tree of an earlier row is idle, so it does not count.
        let (io, worker, start) = (cpu("tree"), cpu("worker"), Instant::now());
        for _ in 0..REQUESTS / in_flight as usize {
            client.stream.write_all(&batch).unwrap();
            (0..in_flight).for_each(|_| client.receive());
        }
        let elapsed = start.elapsed();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
        let (io, worker) = (each(cpu("tree") - io), each(cpu("worker") - worker));
        println!(
            "{workers:>8} {in_flight:>12} {:>12.0} {io:>8.2} {worker:>8.2} {:>8.2} {:>10.1}",
            REQUESTS as f64 / elapsed.as_secs_f64(),
            io + worker,
            each(elapsed) * in_flight as f64,
        );
    }
}
