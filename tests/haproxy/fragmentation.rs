//! Is a request inspected whole behind a HAProxy whose buffers are larger than the agent's frames?
//!
//! Up to 3.0 it comes in fragments. HAProxy 3.1 and later send none: they report an error, and the agent must not disturb
//! them by announcing what they do not know.

use crate::support::PATIENCE;
use crate::support::agent::Agent;
use crate::support::client::Answer;
use crate::support::haproxy::{Haproxy, patient_spoe_file, repository, version};
use std::sync::OnceLock;

const RULES: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS:deny "@streq this" "id:1,phase:2,deny,status:403"
"#;

/// An agent with its frames of 16384 bytes, and HAProxy with buffers of 128 KiB in front of it.
struct Site {
    haproxy: Haproxy,
    _folder: tempfile::TempDir,
}

impl Site {
    /// `more` stands in the section of the agent in the SPOE file, for the versions of HAProxy that send fragments.
    fn new(agent: &Agent, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = patient_spoe_file(&repository("deploy/spoe-modsecurity.conf"), folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let with = text.replace("    timeout idle 2m\n", &format!("    timeout idle 2m\n    {more}\n"));
        assert_ne!(text, with, "spoe-modsecurity.conf has another timeout now: adapt the test");
        std::fs::write(&path, with).unwrap();
        let environment = [("HAPROXY_BUFSIZE", "132096"), ("MODSEC_SPOE_CONF", path.to_str().unwrap())];
        Self { haproxy: Haproxy::start_with(agent.address(), &environment), _folder: folder }
    }

    /// Posts a form of this size, of which the last field is this.
    fn post(&self, size: usize, last: &str) -> Answer {
        let end = format!("&deny={last}");
        let body = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(body.path(), format!("a={}{end}", "x".repeat(size - end.len() - 2))).unwrap();
        self.haproxy.curl("/", &["-H", "Expect:", "--data-binary", &format!("@{}", body.path().display())])
    }
}

fn shared() -> &'static Site {
    static SITE: OnceLock<(Agent, Site)> = OnceLock::new();
    let (_, site) = SITE.get_or_init(|| {
        let agent = Agent::with_rules(RULES, &["-m", "16384"]);
        let site = Site::new(&agent, "max-frame-size 16380");
        (agent, site)
    });
    site
}

fn sends_fragments() -> bool {
    version() < (3, 1)
}

/// What becomes of a request that HAProxy could not send.
#[track_caller]
fn assert_stopped_by_haproxy(answer: &Answer) {
    assert_eq!((answer.status, answer.verdict.code), (503, None), "{answer:?}");
    assert!(answer.verdict.error.is_some(), "{answer:?}");
    assert!(!answer.body.contains("the application"), "{answer:?}");
}

#[test]
fn a_body_of_100_kilobytes_is_inspected_to_its_end() {
    for size in [16_000, 17_000, 100_000] {
        let (clean, attack) = (shared().post(size, "that"), shared().post(size, "this"));
        if sends_fragments() || size < 16_001 {
            clean.assert_clean();
            assert!(!clean.verdict.truncated, "{clean:?}");
            attack.assert_denied();
        } else {
            assert_stopped_by_haproxy(&clean);
            assert_stopped_by_haproxy(&attack);
        }
    }
}

#[test]
fn what_fits_in_a_frame_is_inspected_as_before() {
    for _ in 0..20 {
        shared().haproxy.curl("/?deny=that", &[]).assert_clean();
        shared().haproxy.curl("/?deny=this", &[]).assert_denied();
    }
}

#[test]
fn many_large_and_small_requests_at_a_time_are_all_inspected() {
    std::thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for round in 0..6 {
                    let last = if (client + round) % 2 == 0 { "that" } else { "this" };
                    let small = shared().haproxy.curl(&format!("/?deny={last}"), &[]);
                    let large = shared().post(100_000, last);
                    let answers = if sends_fragments() { vec![small, large] } else { vec![small] };
                    for answer in answers {
                        if last == "that" { answer.assert_clean() } else { answer.assert_denied() }
                    }
                }
            });
        }
    });
}

#[test]
fn a_request_larger_than_allowed_is_told_so_and_the_links_go_on() {
    let agent = Agent::with_rules(RULES, &["-m", "16384", "--max-payload", "50000"]);
    let site = Site::new(&agent, "max-frame-size 16380");
    for _ in 0..20 {
        let answer = site.post(100_000, "that");
        assert_stopped_by_haproxy(&answer);
        if sends_fragments() {
            assert_eq!(answer.verdict.error.as_deref(), Some("too-large"), "{answer:?}");
        }
        site.haproxy.curl("/?deny=that", &[]).assert_clean();
    }
}

#[test]
fn without_a_frame_size_in_the_spoe_file_first_large_requests_are_lost_but_not_passed() {
    // HAProxy encodes a request before it has a link, and learns the agent's frame size from its first one, in each of
    // its threads. What is too large then is an error, not cut into fragments.
    let agent = Agent::with_rules(RULES, &["-m", "16384"]);
    let site = Site::new(&agent, "");
    let first = site.post(100_000, "that");
    assert_stopped_by_haproxy(&first);
    let start = std::time::Instant::now();
    while sends_fragments() {
        let answer = site.post(100_000, "that");
        if answer.verdict.code.is_some() {
            return answer.assert_clean();
        }
        assert_stopped_by_haproxy(&answer);
        assert_eq!(answer.verdict.error.as_deref(), Some("259"), "{answer:?}");
        assert!(start.elapsed() < PATIENCE, "no large request is ever inspected");
    }
}
