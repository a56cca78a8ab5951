//! Is a request inspected however it comes to HAProxy: HTTP/1.0, 1.1 and 2, IPv4, IPv6, a Unix socket?

use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;
use crate::support::site::shared;

const CLEAN: &str = "/?q=shoes";
const ATTACK: &str = "/?id=1'%20OR%20'1'%3D'1";

#[test]
fn http_2_requests_are_inspected() {
    let clean = shared().haproxy.curl(CLEAN, &["--http2-prior-knowledge"]);
    assert_eq!(clean.protocol, "HTTP/2");
    clean.assert_clean();
    shared().haproxy.curl(ATTACK, &["--http2-prior-knowledge"]).assert_denied();
}

#[test]
fn http_2_bodies_are_inspected() {
    let clean = shared().haproxy.curl("/", &["--http2-prior-knowledge", "-d", "comment=hello"]);
    assert_eq!(clean.protocol, "HTTP/2");
    clean.assert_clean();
    shared().haproxy.curl("/", &["--http2-prior-knowledge", "-d", "id=1'%20OR%20'1'%3D'1"]).assert_denied();
}

#[test]
fn chunked_bodies_are_inspected() {
    let chunked = ["-H", "Transfer-Encoding: chunked", "-d"];
    shared().haproxy.curl("/", &[&chunked[..], &["comment=hello"]].concat()).assert_clean();
    shared().haproxy.curl("/", &[&chunked[..], &["id=1'%20OR%20'1'%3D'1"]].concat()).assert_denied();
}

#[test]
fn requests_over_ipv6_are_inspected() {
    shared().haproxy.curl_v6(CLEAN, &[]).assert_clean();
    shared().haproxy.curl_v6(ATTACK, &[]).assert_denied();
}

#[test]
fn requests_over_a_unix_socket_without_a_client_address_are_inspected() {
    shared().haproxy.curl_unix(CLEAN, &[]).assert_clean();
    shared().haproxy.curl_unix(ATTACK, &[]).assert_denied();
}

#[test]
fn requests_without_a_host_are_inspected() {
    let raw = |target: &str| {
        shared().haproxy.raw(format!("GET {target} HTTP/1.0\r\nUser-Agent: test\r\n\r\n").as_bytes())
    };
    raw(CLEAN).assert_clean();
    raw(ATTACK).assert_denied();
}

#[test]
fn requests_without_any_header_are_inspected() {
    let raw = |target: &str| shared().haproxy.raw(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
    raw(CLEAN).assert_clean();
    raw(ATTACK).assert_denied();
}

/// Headers that announce three billion bytes, and as many of them as HAProxy waits for: a buffer full.
fn three_billion_bytes(target: &str) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3000000000\r\n\r\ncomment="
    );
    [head.into_bytes(), vec![b'a'; 20_000]].concat()
}

#[test]
fn a_content_length_above_two_gigabytes_does_not_hide_an_attack() {
    shared().haproxy.raw(&three_billion_bytes(ATTACK)).assert_denied();
}

#[test]
fn a_content_length_above_two_gigabytes_is_no_error() {
    let answer = shared().haproxy.raw(&three_billion_bytes(CLEAN));
    answer.assert_clean();
    assert!(answer.verdict.truncated, "HAProxy sent a buffer of three billion bytes: {answer:?}");
}

#[test]
fn a_body_larger_than_a_buffer_is_inspected_as_far_as_it_was_sent() {
    let padding = "a".repeat(40_000);
    let post = |body: &str| shared().haproxy.curl("/", &["-H", "Expect:", "--data-binary", body]);
    let clean = post(&format!("comment=hello&padding={padding}"));
    assert_eq!((clean.verdict.code, clean.verdict.truncated), (Some(0), true), "{clean:?}");
    post(&format!("id=1'%20OR%20'1'%3D'1&padding={padding}")).assert_denied();
}

#[test]
fn a_body_of_100_kilobytes_is_inspected_whole_when_buffers_and_frames_are_large() {
    let agent = Agent::start(&["--max-frame-size", "1048576"]);
    let haproxy = Haproxy::start_with(agent.address(), &[("HAPROXY_BUFSIZE", "262144")]);
    // Few arguments and no long words: their number is limited, and rules are slow on long ones.
    let padding = format!("&padding={}", "hello+".repeat(170)).repeat(100);
    let post = |last: &str| {
        let body = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(body.path(), format!("comment=hello{padding}&id={last}")).unwrap();
        haproxy.curl("/", &["-H", "Expect:", "--data-binary", &format!("@{}", body.path().display())])
    };
    let clean = post("7");
    clean.assert_clean();
    assert!(!clean.verdict.truncated, "{clean:?}");
    post("1'%20OR%20'1'%3D'1").assert_denied();
}

#[test]
fn haproxys_buffer_cuts_and_the_agent_notices() {
    let body = format!("a=hello&b={}", "x".repeat(40_000));
    let rules = "SecRuleEngine On\nSecRequestBodyAccess On\n";
    for (policy, code) in [("inspect", Some(0)), ("deny", Some(413)), ("error", None)] {
        let agent = Agent::with_rules(rules, &["--truncated", policy]);
        let haproxy = Haproxy::start(agent.address());
        let answer = haproxy.curl("/", &["--data-binary", &body, "-H", "Expect:"]);
        assert_eq!((answer.verdict.code, answer.verdict.truncated), (code, true), "{policy}: {answer:?}");
        assert_eq!(answer.verdict.error.as_deref(), code.is_none().then_some("truncated"), "{policy}");
    }
}
