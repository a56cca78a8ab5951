//! The messages between front and zygote, one per packet.

use actors::spop::reader::Reader;
use actors::spop::{Value, varint};

use super::sandbox::Notice;
use crate::ffi::rules::RuleEngine;
use crate::modsecurity::load::Summary;
use crate::rules::directives::Counts;
use crate::rules::warnings::Warnings;

/// Bytes of the longest message.
pub(super) const MAX_MESSAGE: usize = 4096;

/// The most summaries in one message: seven numbers of ten bytes at most each.
pub(super) const MAX_SUMMARIES: usize = 50;

/// What the front asks of the zygote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Fork an engine; the descriptors of the memory that it shares with its worker and of its standard error come
    /// with the message.
    Spawn {
        /// A number that the answer repeats.
        token: u64,
        /// The worker's number, for the name of the process.
        worker: u64,
    },
    /// Kill an engine.
    Kill {
        /// The process to kill.
        pid: i32,
    },
    /// Fork a spare zygote; the descriptor of the spare's control socket comes with the message. To a spare, this also
    /// is the order to take over.
    Spare,
    /// Open anew the log files of the rules, for engines that are forked from now on.
    ReopenLogs,
}

/// What the zygote tells the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// What the operator is to know of the engines' sandbox; the rules are loaded next.
    Sandbox(Notice),
    /// The rules of some applications are loaded; at most [`MAX_SUMMARIES`] of them.
    Loaded(Vec<Summary>),
    /// All rules are loaded.
    Ready,
    /// The rules cannot be loaded, for this reason; the zygote ends.
    Failed(String),
    /// An engine was forked.
    Spawned {
        /// The token of the order.
        token: u64,
        /// The engine's process.
        pid: i32,
    },
    /// No engine could be forked. On the control socket of a spare: no spare could be forked.
    NotSpawned {
        /// The token of the order; 0 for a spare.
        token: u64,
        /// The errno of fork(2).
        errno: i32,
    },
    /// An engine has ended.
    Ended {
        /// The engine's process.
        pid: i32,
        /// The signal that ended it; 0 when it exited by itself.
        signal: i32,
        /// The exit status of an engine that exited by itself.
        status: i32,
    },
    /// The log files of the rules are opened anew: how many, or why one of them is not.
    LogsReopened(Result<u64, String>),
    /// The first message of a spare on its own control socket.
    Spare {
        /// The spare's process.
        pid: i32,
    },
}

impl Order {
    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Spawn { token, worker } => message(1, &[token, worker]),
            Self::Kill { pid } => message(2, &[pid as u64]),
            Self::Spare => message(3, &[]),
            Self::ReopenLogs => message(4, &[]),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.varint("number").ok();
        Some(match number()? {
            1 => Self::Spawn { token: number()?, worker: number()? },
            2 => Self::Kill { pid: number()?.try_into().ok()? },
            3 => Self::Spare,
            4 => Self::ReopenLogs,
            _ => return None,
        })
    }
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Loaded(summaries) => {
                let numbers = |summary: &Summary| {
                    let engine = match summary.engine {
                        RuleEngine::On => 2,
                        RuleEngine::DetectionOnly => 1,
                        RuleEngine::Off => 0,
                    };
                    let Counts { in_files, in_engine, removed } = summary.rules;
                    let rules = [in_files, in_engine, removed].map(|count| count as u64);
                    [&rules[..], &[engine, summary.warnings.bits()]].concat()
                };
                let mut all = vec![summaries.len() as u64];
                all.extend(summaries.iter().flat_map(numbers));
                message(1, &all)
            }
            Self::Failed(cause) => text(2, cause),
            Self::LogsReopened(Ok(files)) => message(9, &[*files]),
            Self::LogsReopened(Err(cause)) => text(10, cause),
            Self::Sandbox(notice) => {
                let mut out = message(7, &[]);
                notice.encode(&mut out);
                out
            }
            Self::Ready => message(6, &[]),
            Self::Spawned { token, pid } => message(3, &[*token, *pid as u64]),
            Self::NotSpawned { token, errno } => message(4, &[*token, *errno as u64]),
            Self::Ended { pid, signal, status } => message(5, &[*pid as u64, *signal as u64, *status as u64]),
            Self::Spare { pid } => message(8, &[*pid as u64]),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.varint("kind").ok()?;
        if kind == 2 || kind == 10 {
            let text = reader.value("cause").ok()?.bytes()?;
            let text = String::from_utf8_lossy(text).into_owned();
            return Some(if kind == 2 { Self::Failed(text) } else { Self::LogsReopened(Err(text)) });
        }
        if kind == 7 {
            return Notice::decode(&mut reader).map(Self::Sandbox);
        }
        let mut number = || reader.varint("number").ok();
        let small = |number: Option<u64>| i32::try_from(number?).ok();
        Some(match kind {
            1 => {
                let count = number()?;
                let mut summary = || {
                    Some(Summary {
                        rules: Counts {
                            in_files: usize::try_from(number()?).ok()?,
                            in_engine: usize::try_from(number()?).ok()?,
                            removed: usize::try_from(number()?).ok()?,
                        },
                        engine: match number()? {
                            2 => RuleEngine::On,
                            1 => RuleEngine::DetectionOnly,
                            _ => RuleEngine::Off,
                        },
                        warnings: Warnings::from_bits(number()?),
                    })
                };
                Self::Loaded((0..count).map(|_| summary()).collect::<Option<_>>()?)
            }
            3 => Self::Spawned { token: number()?, pid: small(number())? },
            4 => Self::NotSpawned { token: number()?, errno: small(number())? },
            5 => Self::Ended { pid: small(number())?, signal: small(number())?, status: small(number())? },
            6 => Self::Ready,
            8 => Self::Spare { pid: small(number())? },
            9 => Self::LogsReopened(Ok(number()?)),
            _ => return None,
        })
    }
}

fn message(kind: u64, numbers: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for &number in [&[kind], numbers].concat().iter() {
        varint::encode(number, &mut out);
    }
    out
}

/// A message that is a text, which is cut if it is too long.
fn text(kind: u64, text: &str) -> Vec<u8> {
    let mut out = message(kind, &[]);
    // The text's length and the kinds take a few bytes as well.
    let end = (0..=MAX_MESSAGE - 16).rev().find_map(|end| text.get(..end));
    let text = if text.len() < MAX_MESSAGE - 16 { text } else { end.unwrap_or_default() };
    Value::String(text.as_bytes()).encode(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::directives::Place;
    use crate::rules::directives::needs::Cause;

    #[test]
    fn messages_come_back() {
        let spawn = Order::Spawn { token: 1 << 40, worker: 3 };
        for order in [spawn, Order::Kill { pid: 77 }, Order::Spare, Order::ReopenLogs] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        let summary = Summary {
            rules: Counts { in_files: 642, in_engine: 640, removed: 2 },
            engine: RuleEngine::DetectionOnly,
            warnings: Warnings::from_bits(1 << 11),
        };
        for report in [
            Report::Loaded(vec![summary, summary]),
            Report::Ready,
            Report::Failed("line 3".to_owned()),
            Report::Sandbox(Notice::NotWritable { user: "nobody".to_owned(), path: "/var/log".into() }),
            Report::Sandbox(Notice::KeepsUser { user: "nobody".to_owned(), cause: "why".to_owned() }),
            Report::Sandbox(Notice::Widened {
                cause: Cause {
                    what: "exec",
                    place: Place { file: std::path::Path::new("/rules.conf").into(), line: 7 },
                },
                programs: true,
            }),
            Report::Spawned { token: 5, pid: 1234 },
            Report::NotSpawned { token: 5, errno: 11 },
            Report::Ended { pid: 1234, signal: 11, status: 0 },
            Report::Spare { pid: 1234 },
            Report::LogsReopened(Ok(3)),
            Report::LogsReopened(Err("/var/log/audit.log: no such file".to_owned())),
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(b""), None);
    }

    #[test]
    fn no_message_is_too_long() {
        let most = usize::MAX;
        let summary = Summary {
            rules: Counts { in_files: most, in_engine: most, removed: most },
            engine: RuleEngine::On,
            warnings: Warnings::from_bits(u64::MAX),
        };
        let reports = [Report::Loaded(vec![summary; MAX_SUMMARIES]), Report::Failed("é".repeat(MAX_MESSAGE))];
        for report in reports {
            let bytes = report.encode();
            assert!(bytes.len() <= MAX_MESSAGE && Report::decode(&bytes).is_some(), "{}", bytes.len());
        }
    }
}
