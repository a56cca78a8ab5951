//! Is every header inspected, whatever their number, order and size?

use crate::support::agent::Agent;
use crate::support::haproxy::Haproxy;
use crate::support::site::shared;

/// Shellshock: the Core Rule Set looks for it in every header.
const ATTACK: &str = "() { :; }; echo pwned";

#[test]
fn an_attack_in_the_first_of_two_headers_of_one_name_is_denied() {
    let attack = format!("X-Comment: {ATTACK}");
    shared().haproxy.curl("/", &["-H", &attack, "-H", "X-Comment: hello"]).assert_denied();
}

#[test]
fn an_attack_in_the_second_of_two_headers_of_one_name_is_denied() {
    let attack = format!("X-Comment: {ATTACK}");
    shared().haproxy.curl("/", &["-H", "X-Comment: hello", "-H", &attack]).assert_denied();
}

#[test]
fn an_attack_in_the_second_of_two_cookie_headers_is_denied() {
    let (clean, attack) = ("Cookie: theme=dark", "Cookie: id=<script>alert(1)</script>");
    shared().haproxy.curl("/", &["-H", clean, "-H", "Cookie: id=7"]).assert_clean();
    shared().haproxy.curl("/", &["-H", clean, "-H", attack]).assert_denied();
    shared().haproxy.curl("/", &["-H", attack, "-H", clean]).assert_denied();
}

/// A request with this many headers of its own, the last of them with this value.
fn request(count: usize, last: &str) -> String {
    let mut request = "GET / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n".to_owned();
    for number in 1..count {
        request += &format!("X-{number}: hello\r\n");
    }
    request + &format!("X-{count}: {last}\r\n\r\n")
}

#[test]
fn an_attack_in_header_300_is_denied() {
    let large = [("TEST_MAXHDR", "400"), ("HAPROXY_BUFSIZE", "65536")];
    let haproxy = Haproxy::start_with(shared().agent.address(), &large);
    haproxy.raw(request(300, "hello").as_bytes()).assert_clean();
    haproxy.raw(request(300, ATTACK).as_bytes()).assert_denied();
    haproxy.raw(request(256, ATTACK).as_bytes()).assert_denied();
}

#[test]
fn an_attack_behind_a_header_of_66000_bytes_is_denied() {
    let agent = Agent::start(&["--max-frame-size", "262144"]);
    let haproxy = Haproxy::start_with(agent.address(), &[("HAPROXY_BUFSIZE", "131072")]);
    let padding = "a".repeat(66_000);
    let request = |last: &str| {
        let head = "GET / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*";
        haproxy.raw(format!("{head}\r\nX-Padding: {padding}\r\nX-Last: {last}\r\n\r\n").as_bytes())
    };
    request("hello").assert_clean();
    request(ATTACK).assert_denied();
}

#[test]
fn an_attack_in_a_header_that_is_not_utf_8_is_denied() {
    let haproxy = &shared().haproxy;
    let head = b"GET / HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n";
    let with = |header: &[u8]| haproxy.raw(&[head, header, b"\r\n\r\n"].concat());
    with(b"X-Name: Andr\xe9 \xff\xfe").assert_clean();
    with(b"X-Name: Andr\xe9 \xff\xfe\r\nX-Last: () { :; }; echo pwned").assert_denied();
}
