//! What the operator is to know of the sandbox, from the zygote that works it out to the log of the front.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use actors::spop::reader::Reader;
use actors::spop::value::encode_bytes;
use actors::spop::varint;
use slog::{Logger, warn};

use crate::message::quoted::Quoted;
use crate::rules::directives::Place;
use crate::rules::directives::needs::Cause;

/// Bytes of a path or text that are sent.
const MAX_TEXT: usize = 1024;

/// The operators, actions and directives that a [`Cause`] may have.
const CAUSES: [&str; 6] =
    ["@inspectFile", "@rbl", "exec", "SecRuleScript", "SecAuditLogType HTTPS", "SecXmlExternalEntity"];

/// What the operator is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::isolation::process) enum Notice {
    /// Rules widen the sandbox.
    Widened {
        /// What in them does.
        cause: Cause,
        /// It runs programs; otherwise it only asks servers.
        programs: bool,
    },
    /// Engines keep the agent's user.
    KeepsUser {
        /// Who they would be otherwise.
        user: String,
        /// Why.
        cause: String,
    },
    /// Engines cannot write where the rules tell them to.
    NotWritable {
        /// Who they are.
        user: String,
        /// The file or folder.
        path: PathBuf,
    },
}

impl Notice {
    /// Logs it.
    pub(in crate::isolation::process) fn log(&self, log: &Logger) {
        match self {
            Self::Widened { cause, programs: true } => {
                warn!(log, # "sandbox_widened", "sandbox widened: these rules run programs, so engines may start processes and use any file";
                    "cause" => cause.what, "at" => %cause.place);
            }
            Self::Widened { cause, programs: false } => {
                warn!(log, # "sandbox_widened", "sandbox widened: these rules ask servers, so engines may use the network";
                    "cause" => cause.what, "at" => %cause.place);
            }
            Self::KeepsUser { user, cause } => {
                warn!(log, # "engine_user_kept", "engines keep the agent's user; give them its folders (chown -R) and name it \
                    (--engine-user), or start the agent as a user of its own";
                    "user" => user, "cause" => %Quoted(cause.as_bytes()));
            }
            Self::NotWritable { user, path } => {
                warn!(log, # "engine_cannot_write", "engines cannot write what the rules tell them to; it should be theirs (chown -R)";
                    "user" => user, "path" => %Quoted(path.as_os_str().as_bytes()));
            }
        }
    }

    /// Appends it to a message.
    pub(in crate::isolation::process) fn encode(&self, out: &mut Vec<u8>) {
        let (texts, line): ([&[u8]; 3], _) = match self {
            Self::Widened { cause, programs } => {
                let word: &[u8] = if *programs { b"programs" } else { b"network" };
                let Place { file, line } = &cause.place;
                ([word, cause.what.as_bytes(), file.as_os_str().as_bytes()], *line)
            }
            Self::KeepsUser { user, cause } => ([b"keeps", user.as_bytes(), cause.as_bytes()], 0),
            Self::NotWritable { user, path } => {
                ([b"folder", user.as_bytes(), path.as_os_str().as_bytes()], 0)
            }
        };
        for text in texts {
            encode_bytes(text.get(..MAX_TEXT).unwrap_or(text), out);
        }
        varint::encode(line as u64, out);
    }

    /// Reads it from a message.
    pub(in crate::isolation::process) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut text = || Some(reader.bytes("text").ok()?.to_owned());
        let (word, first, second) = (text()?, text()?, text()?);
        let line = usize::try_from(reader.varint("line").ok()?).ok()?;
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        let utf8 = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(match word.as_slice() {
            b"programs" | b"network" => {
                let what = *CAUSES.iter().find(|cause| cause.as_bytes() == first)?;
                let place = Place { file: Arc::from(path(second)), line };
                Self::Widened { cause: Cause { what, place }, programs: word == b"programs" }
            }
            b"keeps" => Self::KeepsUser { user: utf8(&first), cause: utf8(&second) },
            b"folder" => Self::NotWritable { user: utf8(&first), path: path(second) },
            _ => return None,
        })
    }
}
