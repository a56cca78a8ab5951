//! Who is the client behind a CDN or a balancer? Whom it names, and nobody whom the client names itself.

use crate::support::agent::Agent;
use crate::support::client::{curl, raw};
use crate::support::haproxy::{Haproxy, repository};
use crate::support::log::value;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,status:403,log\"\n";

/// The client of the next denied request, as the agent has it.
fn client(agent: &Agent, ask: impl FnOnce()) -> String {
    let mark = agent.log.count();
    ask();
    let line = agent.log.wait_for_after(mark, "a denial", |line| line.contains(" request denied, "));
    value(&line, "client").unwrap().to_owned()
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let agent = Agent::with_rules(RULES, &[]);
    let haproxy = Haproxy::start_with(agent.address(), &[("MODSEC_PROXIES", "192.0.2.0/24 127.0.0.1 ::1")]);
    // HAProxy's log has the client that was named, too, so no line of it is looked for by the address of curl.
    let way = ["--connect-to", &format!("::{}", haproxy.v4)];
    let ask =
        |header: &str| client(&agent, || assert_eq!(curl(&way, "/?q=bad", &["-H", header]).0.status, 403));
    let named = ask("X-Forwarded-For: 198.51.100.1, 203.0.113.9");
    assert!(named.starts_with("203.0.113.9:"), "the last is the proxy's word: {named}");
    let named = ask("X-Forwarded-For: 2001:db8::7");
    assert!(named.starts_with("[2001:db8::7]:"), "{named}");
    for header in ["X-Forwarded-For: nobody", "X-Other: 203.0.113.9"] {
        let named = ask(header);
        assert!(named.starts_with("127.0.0.1:"), "{header}: {named}");
    }
}

#[test]
fn nobody_else_is_believed() {
    let agent = Agent::with_rules(RULES, &[]);
    let header = "X-Forwarded-For: 203.0.113.9";
    for variables in [&[][..], &[("MODSEC_PROXIES", "192.0.2.0/24")]] {
        let haproxy = Haproxy::start_with(agent.address(), variables);
        let named = client(&agent, || assert_eq!(haproxy.curl("/?q=bad", &["-H", header]).status, 403));
        assert!(named.starts_with("127.0.0.1:"), "{variables:?}: {named}");
    }
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let agent = Agent::with_rules(RULES, &[]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haproxy.cfg");
    let deployed = std::fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    let bind = "    bind \"${HTTP_BIND-127.0.0.1:8080}\"\n";
    assert!(deployed.contains(bind));
    std::fs::write(&config, deployed.replace(bind, &bind.replace("\"\n", "\" accept-proxy\n"))).unwrap();
    let haproxy = Haproxy::start_from(&config, agent.address(), &[]);
    let named = client(&agent, || {
        let request =
            "PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\nGET /?q=bad HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        let answer = raw(haproxy.v4, |_| request.as_bytes().to_vec()).0;
        assert_eq!(answer.status, 403);
    });
    assert_eq!(named, "203.0.113.9:4711");
}
