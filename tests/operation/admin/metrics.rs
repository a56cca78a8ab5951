//! Does each event count once, in the right counter?

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Subject, of_application};
use crate::support::agent::Agent;
use crate::support::http;
use crate::support::log::value;
use crate::support::spop::Message;
use crate::support::waiting::{comes_true, wait_until};
use std::time::Duration;

/// The value of this sample.
pub(super) fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

/// Hands this to promtool, which must have nothing to say against it.
pub(super) fn promtool(words: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool, of Debian's package prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn each_message_counts_once_by_what_haproxy_was_told() {
    let subject = Subject::with_application(Some("shop"), &[]);
    let mut link = subject.agent.link();
    for (word, app) in [("clean", ""), ("clean", "shop"), ("attack", ""), ("odd", ""), ("odd", "other")] {
        let message = Message::get("/", Some(&format!("q={word}")));
        link.ask(&if app.is_empty() { message } else { of_application(app, message) });
    }
    link.ask(&Message::new(vec![]).named("unknown"));
    let mut metrics = String::new();
    // The matches are counted after the answer.
    wait_until("the counters", || {
        metrics = subject.get("/metrics").body;
        sample(&metrics, "modsecurity_spoa_rule_hits_total{rule=\"1002\"}") >= 2.0
    });
    let requests = |app: &str, verdict: &str| {
        sample(&metrics, &format!("modsecurity_spoa_requests_total{{app=\"{app}\",verdict=\"{verdict}\"}}"))
    };
    assert_eq!([requests("", "allow"), requests("", "deny")], [2.0, 1.0]);
    assert_eq!([requests("shop", "allow"), requests("(other)", "allow")], [1.0, 1.0]);
    assert_eq!(sample(&metrics, "modsecurity_spoa_rule_hits_total{rule=\"1001\"}"), 1.0);
    assert_eq!(sample(&metrics, "modsecurity_spoa_not_inspected_total{cause=\"invalid\"}"), 1.0);
    assert_eq!(sample(&metrics, "modsecurity_spoa_duration_seconds_count{stage=\"whole\"}"), 6.0);
    assert_eq!(sample(&metrics, "modsecurity_spoa_duration_seconds_count{stage=\"queue\"}"), 5.0);
    assert_eq!(sample(&metrics, "modsecurity_spoa_open_links"), 1.0);
    assert!(sample(&metrics, "modsecurity_spoa_received_bytes_total") > 500.0);
    assert_eq!(sample(&metrics, "modsecurity_spoa_rules"), 3.0);
}

#[test]
fn a_crash_a_restart_and_a_reload_count() {
    let subject = Subject::start(&[]);
    for engine in subject.agent.engines().into_iter().take(1) {
        crate::support::process::signal(engine, "KILL");
    }
    wait_until("the restart", || {
        let metrics = subject.get("/metrics").body;
        sample(&metrics, "modsecurity_spoa_worker_restarts_total{cause=\"idle\"}") >= 1.0
    });
    let status = subject.get("/status").body;
    assert!(status.contains("SIGKILL") && status.contains("\"cause\": \"idle\""), "{status}");
    subject.agent.signal("HUP");
    wait_until("the reload", || {
        sample(&subject.get("/metrics").body, "modsecurity_spoa_reloads_total{result=\"success\"}") >= 1.0
    });
    let metrics = subject.get("/metrics").body;
    assert_eq!(sample(&metrics, "modsecurity_spoa_reload_last_successful"), 1.0);
    assert!(sample(&metrics, "modsecurity_spoa_reload_last_duration_seconds") > 0.0);
}

#[test]
fn promtool_has_nothing_to_say_against_the_metrics() {
    let subject = Subject::with_application(Some("a\"b\\c"), &[]);
    subject.ask("attack");
    promtool(&["check", "metrics"], &subject.get("/metrics").body);
    let open = http::get(&subject.admin, "/metrics", &["Accept: application/openmetrics-text;version=1.0.0"]);
    assert!(open.head.contains("application/openmetrics-text") && open.body.ends_with("# EOF\n"), "{open:?}");
}

/// A line a minute, and at the end what is left.
#[test]
fn without_an_admin_address_the_log_has_a_line_a_minute() {
    let agent = Agent::with_rules(super::RULES, &[]);
    let mut link = agent.link();
    for word in ["clean", "attack", "clean"] {
        link.ask(&Message::get("/", Some(&format!("q={word}"))));
    }
    let come = comes_true(Duration::from_secs(150), || !agent.log.lines_with("statistics").is_empty());
    assert!(come, "no line in two minutes and a half");
    let line = agent.log.lines_with("statistics").remove(0);
    assert_eq!((value(&line, "allowed"), value(&line, "denied")), (Some("2"), Some("1")), "{line}");
    assert_eq!(value(&line, "not_inspected"), Some("0"), "{line}");
    link.ask(&Message::get("/", Some("q=attack")));
    let (_, lines) = agent.stop();
    let last = lines.iter().rfind(|line| line.contains("statistics")).unwrap();
    assert_eq!((value(last, "allowed"), value(last, "denied")), (Some("0"), Some("1")), "{last}");
}
