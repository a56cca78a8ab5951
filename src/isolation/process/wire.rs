//! Jobs and verdicts between a worker and its engine. Each is a frame: a length (`u32`, network byte order), then that
//! number of bytes.
//!
//! A job is the transaction's identifier and the payload of the NOTIFY. The engine decodes the payload a second time,
//! which costs a microsecond and saves a second encoding of requests.

use actors::spop::reader::{Malformed, Reader};
use actors::spop::value::encode_bytes;
use actors::spop::varint;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::ffi::matches::{MAX_MATCHES, MAX_RULES};
use crate::message::HttpMessage;
use crate::message::verdict::{
    Action, AuditLosses, Intervention, RequestSummary, RuleMatch, Screened, Verdict,
};
use crate::modsecurity::error::InspectionError;

/// Bytes of the longest verdict that the worker accepts.
pub(super) const MAX_VERDICT: usize = 1024 * 1024;

/// Bytes of the longest body in a verdict.
const MAX_BODY: usize = MAX_VERDICT / 2;

/// Bytes of the longest job: the longest payload that is accepted from HAProxy, and the identifier.
pub(super) const MAX_JOB: usize = 17 * 1024 * 1024;

/// Bytes of the length in front of a frame.
pub(super) const LENGTH: usize = 4;

/// Appends the frame of a job.
pub(super) fn encode_job(message: &HttpMessage, out: &mut BytesMut) {
    let (id, payload) = (message.id(), message.payload());
    let length = varint::encoded_len(id.len() as u64) + id.len() + payload.len();
    out.reserve(LENGTH + length);
    out.put_u32(length as u32);
    encode_bytes(id.as_bytes(), out);
    out.put_slice(payload);
}

/// Returns the identifier and the payload of a job.
///
/// # Errors
/// When the bytes do not begin with an identifier.
pub(super) fn decode_job(mut job: Bytes) -> Result<(String, Bytes), Malformed> {
    let mut reader = Reader::new(&job);
    let id = String::from_utf8_lossy(reader.bytes("the identifier")?).into_owned();
    let payload = reader.rest().len();
    job.advance(job.len() - payload);
    Ok((id, job))
}

/// The number of bytes of a frame that begins with `head`, the length itself included.
pub(super) fn frame_length(head: [u8; LENGTH]) -> usize {
    (u32::from_be_bytes(head) as usize).saturating_add(LENGTH)
}

/// Appends the frame of an outcome. Texts are cut, so that the frame stays below [`MAX_VERDICT`].
pub(super) fn encode_outcome(outcome: &Result<Verdict, InspectionError>, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32(0);
    match outcome {
        Ok(verdict) => {
            out.put_u8(0);
            encode_verdict(verdict, out);
        }
        Err(InspectionError(cause)) => {
            out.put_u8(1);
            encode_bytes(cut(cause.as_bytes()), out);
        }
    }
    let length = (out.len() - start - LENGTH) as u32;
    if let Some(head) = out.get_mut(start..start + LENGTH) {
        head.copy_from_slice(&length.to_be_bytes());
    }
}

/// The byte for the severity of a rule without one.
const NO_SEVERITY: u8 = u8::MAX;

/// Cuts a text to the longest that a verdict carries.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..4096).unwrap_or(text)
}

fn encode_verdict(verdict: &Verdict, out: &mut BytesMut) {
    match &verdict.intervention {
        None => out.put_u8(0),
        Some(intervention) => {
            // The location is not cut, as a cut one would lead elsewhere; HAProxy's buffer limits its length.
            let (kind, location) = match &intervention.action {
                Action::Deny => (1, &[][..]),
                Action::Redirect(location) => (2, &location[..]),
                Action::Drop => (3, &[][..]),
            };
            out.put_u8(kind);
            varint::encode(intervention.status.into(), out);
            encode_bytes(location, out);
        }
    }
    out.put_u8(verdict.deciding.is_some().into());
    varint::encode(verdict.deciding.unwrap_or_default() as u64, out);
    encode_bytes(cut(&verdict.message), out);
    out.put_u8(verdict.anomaly_score.is_some().into());
    varint::encode(verdict.anomaly_score.unwrap_or_default() as u64, out);
    out.put_u8(verdict.is_parked.into());
    out.put_u8(verdict.answers.is_some().into());
    if let Some(RequestSummary { application, host, client, uri }) = &verdict.answers {
        for text in [application, host] {
            // An empty name is as good as none.
            encode_bytes(cut(text.as_deref().unwrap_or_default()), out);
        }
        encode_bytes(cut(client.as_bytes()), out);
        encode_bytes(cut(uri), out);
    }
    out.put_u8(verdict.has_no_request.into());
    varint::encode(verdict.audit_losses.records, out);
    encode_bytes(cut(verdict.audit_losses.cause.as_bytes()), out);
    let (kind, reason) = match &verdict.screened {
        Screened::NotAsked => (0, ""),
        Screened::Off(reason) => (1, reason.as_str()),
        Screened::Open(reason) => (2, reason.as_str()),
        Screened::Proven => (3, ""),
        Screened::Agreed => (4, ""),
        Screened::Wrong => (5, ""),
    };
    out.put_u8(kind);
    encode_bytes(cut(reason.as_bytes()), out);
    // A body is not cut. One that is too large for an answer is left out, and the server's body stands.
    let rewritten = verdict.rewritten.as_ref().filter(|body| body.len() <= MAX_BODY);
    out.put_u8(rewritten.is_some().into());
    if let Some(body) = rewritten {
        encode_bytes(body, out);
    }
    varint::encode(verdict.rules.len() as u64, out);
    for &rule in &verdict.rules {
        varint::encode(rule as u64, out);
    }
    varint::encode(verdict.more_matches, out);
    varint::encode(verdict.matches.len() as u64, out);
    for found in &verdict.matches {
        varint::encode(found.rule as u64, out);
        out.put_u8(found.severity.unwrap_or(NO_SEVERITY));
        for text in [found.source.as_bytes(), &found.message, &found.data, &found.tags] {
            encode_bytes(cut(text), out);
        }
    }
}

/// Reads an outcome. The bytes are as little trusted as a peer's: a request may have exploited the engine.
///
/// # Errors
/// When the bytes are no outcome, or go on after it.
pub(super) fn decode_outcome(outcome: &[u8]) -> Result<Result<Verdict, InspectionError>, Malformed> {
    let mut reader = Reader::new(outcome);
    let outcome = match reader.byte("the outcome")? {
        0 => Ok(decode_verdict(&mut reader)?),
        1 => Err(InspectionError(String::from_utf8_lossy(reader.bytes("the error")?).into_owned())),
        _ => return Err(Malformed::WrongType("the outcome")),
    };
    if reader.is_empty() { Ok(outcome) } else { Err(Malformed::WrongType("the end")) }
}

/// The text, unless it is empty.
fn named(text: &[u8]) -> Option<Vec<u8>> {
    Some(text.to_vec()).filter(|text| !text.is_empty())
}

/// A number of things that follow, of which an engine has `most`. An exploited one may claim any.
fn count(reader: &mut Reader<'_>, what: &'static str, most: usize) -> Result<usize, Malformed> {
    let count = usize::try_from(reader.varint(what)?).ok().filter(|count| *count <= most);
    count.ok_or(Malformed::WrongType(what))
}

fn decode_verdict(reader: &mut Reader<'_>) -> Result<Verdict, Malformed> {
    let kind = reader.byte("the intervention")?;
    let intervention = match kind {
        0 => None,
        1..=3 => {
            let status = i32::try_from(reader.varint("the status")?).unwrap_or_default();
            let location = reader.bytes("the location")?.to_vec();
            let mut intervention = Intervention::new(status, (kind == 2).then_some(location));
            if kind == 3 {
                intervention.action = Action::Drop;
            }
            Some(intervention)
        }
        _ => return Err(Malformed::WrongType("the intervention")),
    };
    let decided = reader.byte("the deciding rule")? != 0;
    let deciding = Some(reader.varint("the deciding rule")? as i64).filter(|_| decided);
    let message = reader.bytes("the message")?.to_vec();
    let scored = reader.byte("the score")? != 0;
    let score = reader.varint("the score")? as i64;
    let is_parked = reader.byte("whether it is parked")? != 0;
    let answers = match reader.byte("whether it answers")? {
        0 => None,
        _ => Some(RequestSummary {
            application: named(reader.bytes("an application")?),
            host: named(reader.bytes("a host")?),
            client: String::from_utf8_lossy(reader.bytes("a client")?).escape_debug().to_string(),
            uri: reader.bytes("a uri")?.to_vec(),
        }),
    };
    let has_no_request = reader.byte("whether it has no request")? != 0;
    let audit_losses = AuditLosses {
        records: reader.varint("the number of lost records")?,
        cause: String::from_utf8_lossy(reader.bytes("why they are lost")?).into_owned(),
    };
    let screened = reader.byte("what the screen said")?;
    let reason = String::from_utf8_lossy(reader.bytes("why")?).into_owned();
    let screened = match screened {
        0 => Screened::NotAsked,
        1 => Screened::Off(reason),
        2 => Screened::Open(reason),
        3 => Screened::Proven,
        4 => Screened::Agreed,
        5 => Screened::Wrong,
        _ => return Err(Malformed::WrongType("what the screen said")),
    };
    let rewritten = match reader.byte("whether it is rewritten")? {
        0 => None,
        _ => Some(reader.bytes("a body")?.to_vec()),
    };
    let mut rules = Vec::new();
    for _ in 0..count(reader, "the number of rules", MAX_RULES)? {
        rules.push(reader.varint("a rule")? as i64);
    }
    let more_matches = reader.varint("the count of matches")?;
    let mut matches = Vec::new();
    for _ in 0..count(reader, "the number of matches", MAX_MATCHES)? {
        matches.push(RuleMatch {
            rule: reader.varint("a rule")? as i64,
            severity: Some(reader.byte("a severity")?).filter(|&severity| severity != NO_SEVERITY),
            source: String::from_utf8_lossy(reader.bytes("a source")?).escape_debug().to_string(),
            message: reader.bytes("a message")?.to_vec(),
            data: reader.bytes("data")?.to_vec(),
            tags: reader.bytes("tags")?.to_vec(),
        });
    }
    let anomaly_score = scored.then_some(score);
    Ok(Verdict {
        intervention,
        deciding,
        message,
        rules,
        matches,
        more_matches,
        anomaly_score,
        is_parked,
        // The worker adds the ticket, as the engine does not know its own number.
        ticket: None,
        answers,
        has_no_request,
        rewritten,
        audit_losses,
        screened,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        let found = |rule| RuleMatch {
            rule,
            source: "a.conf:3".to_owned(),
            message: b"m\xff".to_vec(),
            data: b"d\n".to_vec(),
            tags: b"a,b".to_vec(),
            severity: (rule > 0).then_some(2),
        };
        Verdict {
            intervention: Some(Intervention::new(302, Some(b"/elsewhere".to_vec()))),
            deciding: Some(942_100),
            message: b"why".to_vec(),
            rules: vec![942_100, -1],
            matches: vec![found(942_100), found(-1)],
            more_matches: 7,
            anomaly_score: Some(-5),
            is_parked: true,
            ticket: None,
            answers: Some(RequestSummary {
                application: Some(b"shop".to_vec()),
                host: None,
                client: "192.0.2.1:7".to_owned(),
                uri: b"/\xff".to_vec(),
            }),
            has_no_request: true,
            rewritten: Some(b"<p>".to_vec()),
            audit_losses: AuditLosses { records: 3, cause: "a full disk".to_owned() },
            screened: Screened::Open("rule 942100".to_owned()),
        }
    }

    fn dropped() -> Verdict {
        let intervention = Intervention { status: 403, action: Action::Drop };
        Verdict { intervention: Some(intervention), ..Verdict::default() }
    }

    fn frame(outcome: &Result<Verdict, InspectionError>) -> Bytes {
        let mut out = BytesMut::new();
        encode_outcome(outcome, &mut out);
        assert_eq!(out.len(), frame_length(*out.first_chunk().unwrap()));
        out.split_off(LENGTH).freeze()
    }

    #[test]
    fn outcomes_come_back() {
        for verdict in [verdict(), dropped(), Verdict::default()] {
            assert_eq!(decode_outcome(&frame(&Ok(verdict.clone()))), Ok(Ok(verdict)));
        }
        let error = Err(InspectionError("a\nb".to_owned()));
        assert_eq!(decode_outcome(&frame(&error)), Ok(error));
    }

    #[test]
    fn an_outcome_that_is_cut_or_goes_on_is_none() {
        let whole = frame(&Ok(verdict()));
        for end in 0..whole.len() {
            assert!(decode_outcome(&whole[..end]).is_err(), "{end}");
        }
        assert!(decode_outcome(&[&whole[..], b"x"].concat()).is_err());
    }

    #[test]
    fn more_than_an_engine_has_is_none() {
        let many = |rules, matches| {
            let mut many = verdict();
            many.rules = vec![1; rules];
            many.matches = vec![many.matches[0].clone(); matches];
            decode_outcome(&frame(&Ok(many)))
        };
        assert!(many(MAX_RULES, MAX_MATCHES).is_ok());
        assert!(many(MAX_RULES + 1, MAX_MATCHES).is_err());
        assert!(many(MAX_RULES, MAX_MATCHES + 1).is_err());
    }
}
