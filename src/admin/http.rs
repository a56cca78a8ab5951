//! Which answer a request gets.

use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::state::AdminState;
use super::{metrics, page, status};

/// How a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over TCP, perhaps from a browser that a page of somebody else drives.
    Tcp,
    /// Over a Unix socket, whose mode says who may.
    Unix,
}

/// An answer: its status, type and content.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) content: String,
    /// What a browser may load for it.
    pub(super) policy: String,
}

/// Nothing may be loaded, and no other page may show this one.
pub(super) const CLOSED: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

impl Answer {
    /// Content without anything to load.
    pub(super) fn new(status: StatusCode, kind: &'static str, content: impl Into<String>) -> Self {
        Self { status, kind, content: content.into(), policy: CLOSED.to_owned() }
    }

    fn text(status: StatusCode, content: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{content}\n"))
    }
}

/// The response to this request.
pub(super) fn answer<B>(request: &Request<B>, peer: Peer, state: &Arc<AdminState>) -> Response<String> {
    let answer = route(request, peer, state);
    let mut response = Response::new(answer.content);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        // The values are texts of this module, which are headers' values.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, answer.kind);
    set(header::CONTENT_SECURITY_POLICY, &answer.policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        set(header::ALLOW, "GET, HEAD");
    }
    response
}

fn route<B>(request: &Request<B>, peer: Peer, state: &Arc<AdminState>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    }
    if peer == Peer::Tcp && !is_local(request.headers()) {
        return Answer::text(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host header must be localhost or a loopback address",
        );
    }
    match request.uri().path() {
        "/" => page::answer(state, request.uri().query()),
        "/metrics" => metrics::answer(state, request.headers()),
        "/status" => status::answer(state),
        "/live" if state.is_live() => Answer::text(StatusCode::OK, "live"),
        "/live" => Answer::text(StatusCode::SERVICE_UNAVAILABLE, "the thread that serves HAProxy is stuck"),
        "/ready" => match state.readiness() {
            Ok(()) => Answer::text(StatusCode::OK, "ready"),
            Err(cause) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, cause),
        },
        _ => Answer::text(StatusCode::NOT_FOUND, "there are /, /metrics, /status, /live and /ready"),
    }
}

/// Whether the Host header names this machine. A page on the Internet can have a browser ask a loopback address under a name
/// of the page's own, and could then read the answer.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let is = |host: &'static str| {
            is_local(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
        };
        assert!(
            ["localhost", "LOCALHOST:9", "127.0.0.1:9", "127.8.8.8", "[::1]:9", "[::1]"].into_iter().all(is)
        );
        assert!(
            ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:9", "10.0.0.1", "[::2]", ""]
                .into_iter()
                .all(|host| !is(host))
        );
    }
}
