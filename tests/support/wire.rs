//! SPOP frames from the bytes up, after HAProxy's doc/SPOE.txt, independent of the project's codec.

/// Frame types.
pub const UNSET: u8 = 0;
pub const HELLO: u8 = 1;
pub const DISCONNECT: u8 = 2;
pub const NOTIFY: u8 = 3;
pub const AGENT_HELLO: u8 = 101;
pub const AGENT_DISCONNECT: u8 = 102;
pub const ACK: u8 = 103;

/// The frame flag that says that nothing follows.
pub const FIN: u32 = 1;

/// The one that says that the payload is given up.
pub const ABORT: u32 = 2;

/// One typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Ipv4([u8; 4]),
    Ipv6([u8; 16]),
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

/// A STRING value.
pub fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

impl Value {
    /// The bytes of the value, its type first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Bool(value) => out.push(if *value { 0x11 } else { 0x01 }),
            Self::Int32(value) => number(out, 2, i64::from(*value) as u64),
            Self::Uint32(value) => number(out, 3, u64::from(*value)),
            Self::Int64(value) => number(out, 4, *value as u64),
            Self::Uint64(value) => number(out, 5, *value),
            Self::Ipv4(bytes) => {
                out.push(6);
                out.extend_from_slice(bytes);
            }
            Self::Ipv6(bytes) => {
                out.push(7);
                out.extend_from_slice(bytes);
            }
            Self::Text(bytes) => {
                out.push(8);
                sized(out, bytes);
            }
            Self::Binary(bytes) => {
                out.push(9);
                sized(out, bytes);
            }
        }
    }

    /// The number in it, whatever its width. Panics when it is none.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int32(value) => i64::from(*value),
            Self::Uint32(value) => i64::from(*value),
            Self::Int64(value) => *value,
            Self::Uint64(value) => i64::try_from(*value).unwrap(),
            other => panic!("not a number: {other:?}"),
        }
    }

    /// The text in it. Panics when it is not a STRING.
    pub fn str(&self) -> &str {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).unwrap(),
            other => panic!("not a string: {other:?}"),
        }
    }
}

fn number(out: &mut Vec<u8>, kind: u8, value: u64) {
    out.push(kind);
    varint(out, value);
}

/// A "peers" varint: below 240 one byte; else four bits in the first byte and seven in each that follows.
pub fn varint(out: &mut Vec<u8>, value: u64) {
    if value < 240 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 0xF0);
    let mut rest = (value - 240) >> 4;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 128) >> 7;
    }
    out.push(rest as u8);
}

/// Bytes after their length.
pub fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Named values, as in HELLO and in a message.
pub fn pairs<'a>(out: &mut Vec<u8>, pairs: impl IntoIterator<Item = (&'a str, Value)>) {
    for (name, value) in pairs {
        sized(out, name.as_bytes());
        value.encode(out);
    }
}

/// Headers as `req.hdrs_bin` gives them: sized names and values, ended by two empty strings.
pub fn headers(list: &[(&str, &str)]) -> Value {
    let mut out = Vec::new();
    for (name, value) in list {
        sized(&mut out, name.as_bytes());
        sized(&mut out, value.as_bytes());
    }
    out.extend_from_slice(&[0, 0]);
    Value::Binary(out)
}

/// Takes values from the front of a payload. Panics at what is not well formed: the agent must not send it.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at_checked(count).expect("the payload ends too early");
        self.0 = rest;
        taken.to_vec()
    }

    pub fn varint(&mut self) -> u64 {
        let first = u64::from(self.byte());
        if first < 240 {
            return first;
        }
        let (mut value, mut shift) = (first, 4);
        loop {
            let byte = u64::from(self.byte());
            value += byte << shift;
            shift += 7;
            if byte < 128 {
                return value;
            }
        }
    }

    pub fn sized(&mut self) -> Vec<u8> {
        let length = self.varint();
        self.take(usize::try_from(length).unwrap())
    }

    pub fn name(&mut self) -> String {
        String::from_utf8(self.sized()).unwrap()
    }

    pub fn value(&mut self) -> Value {
        let kind = self.byte();
        match kind & 0x0F {
            0 => Value::Null,
            1 => Value::Bool(kind & 0x10 != 0),
            2 => Value::Int32(self.varint() as i32),
            3 => Value::Uint32(u32::try_from(self.varint()).unwrap()),
            4 => Value::Int64(self.varint() as i64),
            5 => Value::Uint64(self.varint()),
            6 => Value::Ipv4(self.take(4).try_into().unwrap()),
            7 => Value::Ipv6(self.take(16).try_into().unwrap()),
            8 => Value::Text(self.sized()),
            9 => Value::Binary(self.sized()),
            other => panic!("a value of unknown type {other}"),
        }
    }

    /// All named values up to the end.
    pub fn pairs(&mut self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            let name = self.name();
            all.push((name, self.value()));
        }
        all
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u32,
    pub stream: u64,
    pub id: u64,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole frame (FIN).
    pub fn new(kind: u8, stream: u64, id: u64, payload: Vec<u8>) -> Self {
        Self { kind, flags: FIN, stream, id, payload }
    }

    /// The same frame with other flags.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// The bytes of the frame, its length first.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![self.kind];
        body.extend_from_slice(&self.flags.to_be_bytes());
        varint(&mut body, self.stream);
        varint(&mut body, self.id);
        body.extend_from_slice(&self.payload);
        let mut out = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(&body);
        out
    }

    /// A frame from its bytes without the length.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let kind = reader.byte();
        let flags = u32::from_be_bytes(reader.take(4).try_into().unwrap());
        let (stream, id) = (reader.varint(), reader.varint());
        Self { kind, flags, stream, id, payload: reader.0.to_vec() }
    }
}
