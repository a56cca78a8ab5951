//! A SPOP client: HAProxy's side of a link to the agent.

use super::PATIENCE;
use super::waiting::uninterrupted;
use super::wire::{ACK, AGENT_DISCONNECT, AGENT_HELLO, DISCONNECT, Frame, HELLO, NOTIFY, Reader, Value};
use super::wire::{headers, pairs, sized, text};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

trait Socket: Read + Write + Send {}
impl<T: Read + Write + Send> Socket for T {}

/// One connection to the agent.
pub struct Link(Box<dyn Socket>);

/// What an agent says in its AGENT-HELLO.
#[derive(Debug)]
pub struct Greeting(pub Vec<(String, Value)>);

impl Greeting {
    /// One of its items.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// What an agent says in its AGENT-DISCONNECT.
pub struct Farewell {
    pub code: i64,
    pub message: String,
}

/// The HELLO that HAProxy 2.6 sends, without its engine-id.
pub fn hello() -> Vec<(&'static str, Value)> {
    vec![
        ("supported-versions", text("2.0")),
        ("max-frame-size", Value::Uint32(16380)),
        ("capabilities", text("pipelining,async")),
    ]
}

/// A HELLO frame with these items.
pub fn hello_frame(items: Vec<(&str, Value)>) -> Frame {
    let mut payload = Vec::new();
    pairs(&mut payload, items);
    Frame::new(HELLO, 0, 0, payload)
}

impl Link {
    /// Connects to `127.0.0.1:1`, `[::1]:1` or `unix:/path`.
    pub fn connect(address: &str) -> Self {
        if let Some(path) = address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return Self(Box::new(stream));
        }
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// The same over a connection that is there already.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Box::new(stream))
    }

    /// The same through anything that carries bytes, such as TLS.
    pub fn through(stream: impl Read + Write + Send + 'static) -> Self {
        Self(Box::new(stream))
    }

    /// Sends bytes as they are. A peer that has closed is no error here: what it said is read afterwards.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes));
    }

    /// Sends one frame.
    pub fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.encode());
    }

    /// What one single read gives, at most 64 KiB.
    pub fn read_once(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65536];
        let count = uninterrupted(|| self.0.read(&mut buffer)).unwrap();
        buffer.truncate(count);
        buffer
    }

    /// The next frame; none when the agent has closed the link between two frames.
    pub fn receive(&mut self) -> Option<Frame> {
        let mut length = [0; 4];
        let first = uninterrupted(|| self.0.read(&mut length[..1]));
        match first {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("the agent does not answer: {error}"),
        }
        self.0.read_exact(&mut length[1..]).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).unwrap();
        Some(Frame::decode(&body))
    }

    /// The next frame, which must be there.
    pub fn expect(&mut self) -> Frame {
        self.receive().expect("the agent closed the link instead of answering")
    }

    /// Sends a HELLO and reads the AGENT-HELLO.
    pub fn greet(&mut self, items: Vec<(&str, Value)>) -> Greeting {
        self.send(&hello_frame(items));
        self.expect_greeting()
    }

    /// Reads an AGENT-HELLO, and checks what every one must be.
    pub fn expect_greeting(&mut self) -> Greeting {
        let frame = self.expect();
        assert_eq!(frame.kind, AGENT_HELLO, "not an AGENT-HELLO: {frame:?}");
        assert_eq!((frame.flags, frame.stream, frame.id), (1, 0, 0));
        Greeting(Reader(&frame.payload).pairs())
    }

    /// The handshake that HAProxy 2.6 does.
    pub fn shake_hands(&mut self) {
        self.greet(hello());
    }

    /// Reads an AGENT-DISCONNECT and then the end of the link.
    pub fn expect_farewell(&mut self) -> Farewell {
        let frame = self.expect();
        assert_eq!(frame.kind, AGENT_DISCONNECT, "not an AGENT-DISCONNECT: {frame:?}");
        assert_eq!((frame.flags, frame.stream, frame.id), (1, 0, 0));
        let items = Greeting(Reader(&frame.payload).pairs());
        let message = items.get("message").expect("DISCONNECT without message").str().to_owned();
        let code = items.get("status-code").expect("DISCONNECT without status-code").int();
        assert_eq!(self.receive(), None, "the agent goes on after its DISCONNECT");
        Farewell { code, message }
    }

    /// Sends HAPROXY-DISCONNECT with status 0.
    pub fn say_goodbye(&mut self) {
        let mut payload = Vec::new();
        pairs(&mut payload, [("status-code", Value::Uint32(0)), ("message", text("normal"))]);
        self.send(&Frame::new(DISCONNECT, 0, 0, payload));
    }

    /// Reads one ACK.
    pub fn expect_ack(&mut self) -> Ack {
        Ack::read(&self.expect())
    }

    /// Sends one request in a NOTIFY of its own and reads its ACK.
    pub fn ask(&mut self, request: &Message) -> Ack {
        self.send(&request.notify(1, 1));
        let ack = self.expect_ack();
        assert_eq!((ack.stream, ack.frame), (1, 1));
        ack
    }
}

/// The answer to a NOTIFY: the variables that it sets in scope txn.
#[derive(Debug)]
pub struct Ack {
    pub stream: u64,
    pub frame: u64,
    pub set: Vec<(String, Value)>,
    /// The variables that it removes.
    pub unset: Vec<String>,
}

impl Ack {
    /// From its frame.
    pub fn read(frame: &Frame) -> Self {
        assert_eq!((frame.kind, frame.flags), (ACK, 1), "not a whole ACK: {frame:?}");
        let mut reader = Reader(&frame.payload);
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        let mut actions = 0;
        while !reader.0.is_empty() {
            actions += 1;
            let (action, arguments, scope) = (reader.byte(), reader.byte(), reader.byte());
            assert_eq!(scope, 2, "a variable outside of scope txn");
            let name = reader.name();
            match (action, arguments) {
                (1, 3) => set.push((name, reader.value())),
                (2, 2) => unset.push(name),
                other => panic!("HAProxy would not understand action {other:?}"),
            }
        }
        assert!(actions > 0, "an ACK without an action hangs some versions of HAProxy");
        Self { stream: frame.stream, frame: frame.id, set, unset }
    }

    /// One variable.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.set.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// `code`, when set.
    pub fn code(&self) -> Option<i64> {
        self.get("code").map(Value::int)
    }

    /// `error`, when set.
    pub fn error(&self) -> Option<&str> {
        self.get("error").map(Value::str)
    }
}

/// One SPOE message.
#[derive(Clone, Debug)]
pub struct Message {
    pub name: String,
    pub arguments: Vec<(String, Value)>,
}

impl Message {
    /// A `check-request` with these arguments.
    pub fn new(arguments: Vec<(&str, Value)>) -> Self {
        let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { name: "check-request".to_owned(), arguments }
    }

    /// A clean GET with all arguments of the named form.
    pub fn get(path: &str, query: Option<&str>) -> Self {
        Self::new(vec![
            ("unique-id", text("11111111-2222-3333-4444-555555555555")),
            ("src-ip", Value::Ipv4([192, 0, 2, 7])),
            ("src-port", Value::Int64(4711)),
            ("dst-ip", Value::Ipv4([192, 0, 2, 80])),
            ("dst-port", Value::Int64(443)),
            ("method", text("GET")),
            ("path", text(path)),
            ("query", query.map_or(Value::Null, text)),
            ("version", text("1.1")),
            ("headers", headers(&[("host", "shop.test"), ("user-agent", "curl/7.88.1"), ("accept", "*/*")])),
            ("body-size", Value::Int64(0)),
            ("body", Value::Binary(Vec::new())),
        ])
    }

    /// A `check-response` for the transaction of an ACK: an HTML page.
    pub fn response(transaction: &Ack, body: &str) -> Self {
        let id = transaction.get("id").expect("an ACK without id").str().to_owned();
        let arguments = vec![
            ("id", text(&id)),
            ("status", Value::Int64(200)),
            ("version", text("1.1")),
            ("headers", headers(&[("content-type", "text/html"), ("server", "test")])),
            ("body-size", Value::Int64(body.len() as i64)),
            ("body", Value::Binary(body.as_bytes().to_vec())),
        ];
        Self::new(arguments).named("check-response")
    }

    /// The same message with another value for one argument.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        let argument = self.arguments.iter_mut().find(|(key, _)| key == name).unwrap();
        argument.1 = value;
        self
    }

    /// The same message without some of its arguments.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.arguments.retain(|(key, _)| !names.contains(&key.as_str()));
        self
    }

    /// The same arguments without their names, in this order.
    pub fn unnamed(&self, order: &[&str]) -> Self {
        let value = |name: &&str| self.arguments.iter().find(|(key, _)| key == name).unwrap().1.clone();
        Self::new(order.iter().map(|name| ("", value(name))).collect())
    }

    /// The same message under another name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Its bytes in a NOTIFY's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        sized(&mut out, self.name.as_bytes());
        out.push(u8::try_from(self.arguments.len()).unwrap());
        pairs(&mut out, self.arguments.iter().map(|(name, value)| (name.as_str(), value.clone())));
        out
    }

    /// A NOTIFY with this message alone.
    pub fn notify(&self, stream: u64, id: u64) -> Frame {
        Frame::new(NOTIFY, stream, id, self.encode())
    }
}

/// The unnamed arguments of the C daemon (dialect A).
pub const EIGHT: [&str; 8] =
    ["unique-id", "method", "path", "query", "version", "headers", "body-size", "body"];

/// The unnamed arguments of its libmodsecurity fork (dialect B).
pub const TWELVE: [&str; 12] = [
    "unique-id",
    "src-ip",
    "src-port",
    "dst-ip",
    "dst-port",
    "method",
    "path",
    "query",
    "version",
    "headers",
    "body-size",
    "body",
];
