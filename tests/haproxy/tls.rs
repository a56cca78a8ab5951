//! Does HAProxy reach the agent through TLS, with its health checks, and does each believe only whom it should?

use crate::support::agent::Agent;
use crate::support::haproxy::{Haproxy, repository};
use crate::support::tls::Certificates;
use crate::support::waiting::wait_until;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS:q \"@streq bad\" \"id:1,phase:1,deny,status:403\"\n";

/// The deployed HAProxy, with this behind the address of the agent.
fn haproxy(agent: &Agent, server: &str) -> Haproxy {
    let folder = tempfile::tempdir().unwrap();
    let deployed = std::fs::read_to_string(repository("deploy/haproxy.cfg")).unwrap();
    let config =
        deployed.replace(" check inter 1s fall 2 rise 1", &format!(" check inter 1s fall 2 rise 1 {server}"));
    assert_ne!(deployed, config);
    let path = folder.path().join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    Haproxy::start_from(&path, agent.address(), &[])
}

fn agent(certificates: &Certificates, asks_clients: bool) -> Agent {
    Agent::with_rules(RULES, &["--debug", "--tls", &certificates.option(asks_clients)])
}

/// The state of the agent as HAProxy's health checks see it.
fn state(haproxy: &Haproxy) -> String {
    let all = haproxy.admin("show stat");
    let line = all.lines().find(|line| line.contains(",agent1,")).unwrap();
    line.split(',').nth(17).unwrap().to_owned()
}

fn is_served(agent: &Agent, haproxy: &Haproxy) {
    haproxy.curl("/?q=good", &[]).assert_clean();
    haproxy.curl("/?q=bad", &[]).assert_denied();
    agent.log.wait_for_text(" health check answered");
    wait_until("a health check", || state(haproxy) == "UP");
}

#[test]
fn haproxy_asks_through_tls() {
    let certificates = Certificates::default();
    let agent = agent(&certificates, false);
    let server = format!("ssl verify required ca-file {} verifyhost agent.test", certificates.file("ca.pem"));
    is_served(&agent, &haproxy(&agent, &server));
}

#[test]
fn haproxy_shows_its_certificate() {
    let certificates = Certificates::default();
    let agent = agent(&certificates, true);
    let (ca, own) = (certificates.file("ca.pem"), certificates.file("client.both"));
    is_served(&agent, &haproxy(&agent, &format!("ssl verify required ca-file {ca} crt {own}")));
}

#[test]
fn haproxy_is_not_served_when_one_does_not_believe_the_other() {
    let (certificates, others) = (Certificates::default(), Certificates::default());
    let agent = agent(&certificates, true);
    let (ca, other_ca) = (certificates.file("ca.pem"), others.file("ca.pem"));
    let (own, other) = (certificates.file("client.both"), others.file("client.both"));
    for server in [
        format!("ssl verify required ca-file {ca}"),
        format!("ssl verify required ca-file {ca} crt {other}"),
        format!("ssl verify required ca-file {other_ca} crt {own}"),
        String::new(),
    ] {
        let haproxy = haproxy(&agent, &server);
        wait_until("failed health checks", || state(&haproxy).starts_with("DOWN"));
        assert_eq!(haproxy.curl("/?q=good", &[]).status, 503, "{server}");
    }
    assert_eq!(agent.log.lines_with(" health check answered"), Vec::<String>::new());
}
