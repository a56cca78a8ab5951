//! JSON: the engines' own parser, and the names that each engine gives to the values.

use super::room::{Origin, Room};
use super::{EngineVersion, HandOver, Variables};
use crate::ffi::yajl::{Event, parse};

impl Variables<'_> {
    pub(super) fn read_json(&mut self, body: &[u8]) -> Result<(), HandOver> {
        // The parser finds no text here, and both engines take that for no error.
        if body.is_empty() {
            return Ok(());
        }
        let most = self.limits.arguments.unwrap_or(usize::MAX);
        let mut count = self.count(super::Collection::Args);
        let mut names = Names::new(self.version, self.limits.json_depth);
        let mut failure = HandOver::Json;
        let room = &mut *self.room;
        let is_valid = parse(body, &mut |event| {
            let value = match names.enter(event) {
                Ok(Some(value)) => value,
                Ok(None) => return true,
                Err(reason) => {
                    failure = reason;
                    return false;
                }
            };
            count += 1;
            let added = if count >= most { Err(HandOver::Arguments) } else { names.add(room, value) };
            failure = added.err().unwrap_or(failure);
            added.is_ok()
        });
        if is_valid { Ok(()) } else { Err(failure) }
    }
}

/// What the names of the next values are made of.
enum Names {
    V2(Names2),
    V3(Names3),
}

/// The value of an event.
#[derive(Clone, Copy)]
struct Value<'a>(&'a [u8]);

impl Names {
    fn new(version: EngineVersion, depth: usize) -> Self {
        match version {
            EngineVersion::V2 => Self::V2(Names2 { prefix: None, key: None, depth: 0, most: depth }),
            EngineVersion::V3 => {
                Self::V3(Names3 { path: Vec::new(), key: Vec::new(), containers: Vec::new(), most: depth })
            }
        }
    }

    /// Takes an event. Returns its value when it has one, for which [`Names::add`] knows the name.
    fn enter<'a>(&mut self, event: Event<'a>) -> Result<Option<Value<'a>>, HandOver> {
        let value = match event {
            Event::Null => Some(Value(b"")),
            Event::Boolean(true) => Some(Value(b"true")),
            Event::Boolean(false) => Some(Value(b"false")),
            Event::Number(text) | Event::String(text) => Some(Value(text)),
            _ => None,
        };
        match self {
            Self::V2(names) => names.enter(event)?,
            Self::V3(names) => names.enter(event)?,
        }
        Ok(value)
    }

    fn add(&mut self, room: &mut Room, value: Value<'_>) -> Result<(), HandOver> {
        let name = match self {
            Self::V2(names) => room.add(|text| names.write(text))?,
            Self::V3(names) => room.add(|text| names.write(text))?,
        };
        let value = room.copy(value.0)?;
        room.push(Origin::Json, name, value);
        Ok(())
    }
}

/// 2.9: names are `a.b`, and what closes an object or array goes back to the last dot, whether or not it is one of a name's
/// own. Names end at a zero byte.
struct Names2 {
    prefix: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    depth: usize,
    most: usize,
}

impl Names2 {
    fn enter(&mut self, event: Event<'_>) -> Result<(), HandOver> {
        match event {
            Event::Key(key) => {
                let kept = self.key.get_or_insert_default();
                kept.clear();
                kept.extend_from_slice(key.split(|&byte| byte == 0).next().unwrap_or_default());
            }
            Event::StartArray => {
                if self.key.is_none() && self.prefix.is_none() {
                    self.prefix = Some(b"array".to_vec());
                    self.key = Some(b"array".to_vec());
                } else {
                    self.deepen();
                }
                self.count_level()?;
            }
            // An object that is the whole text has no name and counts for nothing.
            Event::StartMap if self.key.is_some() => {
                self.deepen();
                self.count_level()?;
            }
            Event::EndArray => drop(self.close()),
            Event::EndMap => {
                if let Some(last) = self.close() {
                    self.key = Some(last);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The key becomes a part of the prefix.
    fn deepen(&mut self) {
        let key = self.key.as_deref().unwrap_or_default();
        match &mut self.prefix {
            Some(prefix) => {
                prefix.push(b'.');
                prefix.extend_from_slice(key);
            }
            None => self.prefix = Some(key.to_vec()),
        }
    }

    fn count_level(&mut self) -> Result<(), HandOver> {
        self.depth += 1;
        if self.depth > self.most { Err(HandOver::Json) } else { Ok(()) }
    }

    /// Takes the last part of the prefix.
    fn close(&mut self) -> Option<Vec<u8>> {
        let mut prefix = self.prefix.take()?;
        self.depth = self.depth.saturating_sub(1);
        let Some(dot) = prefix.iter().rposition(|&byte| byte == b'.') else { return Some(prefix) };
        let last = prefix.get(dot + 1..).unwrap_or_default().to_vec();
        prefix.truncate(dot);
        self.prefix = Some(prefix);
        Some(last)
    }

    fn write(&mut self, text: &mut Vec<u8>) {
        let key = self.key.get_or_insert_default();
        if let Some(prefix) = &self.prefix {
            text.extend_from_slice(prefix);
            text.push(b'.');
        }
        text.extend_from_slice(key);
    }
}

/// libmodsecurity 3: names are `json.a.b` and `json.c.array_0`.
struct Names3 {
    /// The names of the containers, without the number of the innermost array's next value.
    path: Vec<u8>,
    /// The last key, until something has got it as a name.
    key: Vec<u8>,
    containers: Vec<Container>,
    most: usize,
}

struct Container {
    /// Bytes of the path before this container.
    start: usize,
    /// The number of an array's next value.
    next: Option<usize>,
}

impl Names3 {
    fn enter(&mut self, event: Event<'_>) -> Result<(), HandOver> {
        match event {
            Event::Key(key) => {
                self.key.clear();
                self.key.extend_from_slice(key);
            }
            Event::StartArray => self.open(Some(0))?,
            Event::StartMap => self.open(None)?,
            Event::EndArray | Event::EndMap => {
                if let Some(closed) = self.containers.pop() {
                    self.path.truncate(closed.start);
                }
                self.count();
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, next: Option<usize>) -> Result<(), HandOver> {
        let start = self.path.len();
        let mut path = std::mem::take(&mut self.path);
        self.write_number(&mut path);
        self.write_key(&mut path);
        if next.is_none() {
            path.push(b'.');
        }
        self.path = path;
        self.containers.push(Container { start, next });
        if self.containers.len() > self.most { Err(HandOver::Json) } else { Ok(()) }
    }

    /// A value of an array has passed.
    fn count(&mut self) {
        if let Some(Container { next: Some(next), .. }) = self.containers.last_mut() {
            *next += 1;
        }
    }

    fn write(&mut self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.path);
        if let Some(Container { next: Some(_), .. }) = self.containers.last() {
            self.write_number(text);
            self.count();
        } else {
            self.write_key(text);
        }
    }

    fn write_number(&self, text: &mut Vec<u8>) {
        if let Some(Container { next: Some(next), .. }) = self.containers.last() {
            use std::io::Write;
            // Writing into a vector does not fail.
            drop(write!(text, ".array_{next}"));
        }
    }

    /// The last key, which is used up; what is not in an object has none.
    fn write_key(&mut self, text: &mut Vec<u8>) {
        match self.containers.last() {
            None => text.extend_from_slice(b"json"),
            Some(Container { next: Some(_), .. }) if self.key.is_empty() => {}
            Some(_) if self.key.is_empty() => text.extend_from_slice(b"empty-key"),
            Some(_) => text.append(&mut self.key),
        }
    }
}
