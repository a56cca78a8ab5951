//! Stands between HAProxy and the agent, passes every frame on, tells what it has seen, and can cut a link.

use super::PATIENCE;
use super::wire::{ACK, AGENT_HELLO, Frame, HELLO, NOTIFY};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// What went through on the link of this number, in the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// The agent has greeted; it is no health check. Whether with `async`.
    Open { link: usize, with_async: bool },
    /// A request of this stream.
    Request { link: usize, stream: u64 },
    /// An answer to this stream.
    Answer { link: usize, stream: u64 },
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// HAProxy's end and the agent's.
    links: Vec<[TcpStream; 2]>,
    checks: Vec<usize>,
}

impl State {
    fn note(&mut self, link: usize, frame: &Frame) {
        let has = |word: &[u8]| frame.payload.windows(word.len()).any(|window| window == word);
        let stream = frame.stream;
        match frame.kind {
            HELLO if has(b"healthcheck") => self.checks.push(link),
            AGENT_HELLO if !self.checks.contains(&link) => {
                self.seen.push(Seen::Open { link, with_async: has(b"async") })
            }
            NOTIFY => self.seen.push(Seen::Request { link, stream }),
            ACK => self.seen.push(Seen::Answer { link, stream }),
            _ => {}
        }
    }
}

/// One that HAProxy takes for the agent.
#[derive(Clone)]
pub struct Tap {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Tap {
    /// Starts passing on to the agent at this address.
    pub fn start(agent: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let (this, agent) = (tap.clone(), agent.to_owned());
        std::thread::spawn(move || {
            for haproxy in listener.incoming() {
                let (haproxy, agent) = (haproxy.unwrap(), TcpStream::connect(&agent).unwrap());
                let ends = [haproxy.try_clone().unwrap(), agent.try_clone().unwrap()];
                let mut state = this.shared.0.lock().unwrap();
                let link = state.links.len();
                state.links.push(ends);
                drop(state);
                this.pass_on(link, haproxy.try_clone().unwrap(), agent.try_clone().unwrap());
                this.pass_on(link, agent, haproxy);
            }
        });
        tap
    }

    /// Where HAProxy is to connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    fn pass_on(&self, link: usize, mut from: TcpStream, mut to: TcpStream) {
        let tap = self.clone();
        std::thread::spawn(move || {
            while let Some(bytes) = read_frame(&mut from) {
                // Who sees a frame may cut the link at once: it has been passed on by then.
                let mut state = tap.shared.0.lock().unwrap();
                if to.write_all(&bytes).is_err() {
                    break;
                }
                state.note(link, &Frame::decode(&bytes[4..]));
                tap.shared.1.notify_all();
            }
            drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
        });
    }

    /// Waits until this holds for what was seen, and gives it.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let state = self.shared.0.lock().unwrap();
        let (state, timeout) =
            self.shared.1.wait_timeout_while(state, PATIENCE, |state| !holds(&state.seen)).unwrap();
        assert!(!timeout.timed_out(), "{what}: {:?}", state.seen);
        state.seen.clone()
    }

    /// Cuts a link. Gives the name that the agent's log has for its other end.
    pub fn cut(&self, link: usize) -> String {
        let ends = &self.shared.0.lock().unwrap().links[link];
        let name = ends[1].local_addr().unwrap().to_string();
        for end in ends {
            drop(end.shutdown(Shutdown::Both));
        }
        name
    }
}

/// A frame with its length in front.
fn read_frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame).ok()?;
    Some([&length[..], &frame].concat())
}
