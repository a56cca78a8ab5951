//! Does a response that leaks, or that nobody inspected, not reach the client, and does the client see the right page?

use crate::support::agent::Agent;
use crate::support::haproxy::{Haproxy, repository};
use crate::support::log::value;
use crate::support::process::engine;
use std::fs;

/// Phase 3 looks at what phase 1 kept of the request, phase 4 at the body.
const RULES: &str = r#"SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecAction "id:1,phase:1,pass,nolog,setvar:tx.word=%{ARGS.word}"
SecRule TX:word "@streq marked" "id:3,phase:3,deny,status:502,log,msg:'the request was marked'"
SecRule RESPONSE_BODY "@contains secret" "id:4,phase:4,deny,status:403,log,msg:'a secret leaks'"
"#;

/// HAProxy with the deployed configuration, which sends responses when it is told to.
fn haproxy(agent: &Agent) -> Haproxy {
    Haproxy::start_with(agent.address(), &[("MODSEC_RESPONSES", "1")])
}

#[test]
fn haproxy_shows_the_agents_page_in_place_of_what_leaks() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, "<h1>\n\t{{status}}\r\n</h1>\n\n<p>Ask for {{id}}</p>\n").unwrap();
    let options = ["--responses", "100", "--block-page", page.to_str().unwrap()];
    let agent = Agent::with_rules(RULES, &options);
    let haproxy = haproxy(&agent);
    let clean = haproxy.curl("/say?words=hello", &[]);
    assert_eq!((clean.status, clean.body.as_str(), clean.verdict.code), (200, "hello", Some(0)));
    let leak = haproxy.curl("/say?words=secret", &[]);
    assert_eq!((leak.status, leak.verdict.code), (403, Some(403)), "{leak:?}");
    let line = agent.log.wait_for("the denial", |line| line.contains(" response denied, "));
    assert!(line.contains("uri: \"/say?words=secret\"") && line.contains("client: 127.0.0.1:"), "{line}");
    let line =
        agent.log.wait_for("the rule", |line| line.contains(" rule matched, ") && line.contains("rule: 4,"));
    assert!(line.contains("uri: \"/say?words=secret\"") && line.contains("client: 127.0.0.1:"), "{line}");
    let id = value(&line, "id").unwrap();
    assert_eq!(leak.body, format!("<h1> \t403 </h1>  <p>Ask for {id}</p> "), "line breaks are blanks");
    let marked = haproxy.curl("/say?words=x&word=marked", &[]);
    assert_eq!((marked.status, marked.verdict.code), (403, Some(502)), "{marked:?}");
}

#[test]
fn without_a_page_haproxy_shows_its_own() {
    let agent = Agent::with_rules(RULES, &["--responses", "100"]);
    let haproxy = haproxy(&agent);
    let leak = haproxy.curl("/say?words=secret", &[]);
    assert_eq!((leak.status, leak.verdict.code), (403, Some(403)), "{leak:?}");
    assert!(!leak.body.contains("secret"), "{leak:?}");
}

#[test]
fn a_response_that_nobody_inspected_does_not_pass() {
    // Patterns that take an engine long to find out that they do not match.
    let slow: String = (100..300)
        .map(|id| format!("SecRule RESPONSE_BODY \"@rx ^([a-m]+)+[0-9]$\" \"id:{id},phase:4,deny\"\n"))
        .collect();
    // ModSecurity 2.9 would give them up, as libmodsecurity 3.0.9 does not.
    let patience = match engine() {
        2 => "SecPcreMatchLimit 2000000000\nSecPcreMatchLimitRecursion 2000000000\n",
        _ => "",
    };
    let rules = format!("{patience}{RULES}{slow}");
    let agent = Agent::with_rules(&rules, &["--responses", "100", "--deadline", "500ms"]);
    let haproxy = haproxy(&agent);
    let page = "a".repeat(60);
    let answer = haproxy.curl(&format!("/say?words={page}-"), &[]);
    assert_eq!((answer.verdict.code, answer.verdict.error.as_deref()), (None, Some("timeout")), "{answer:?}");
    assert!(answer.status == 503 && !answer.body.contains(&page), "{answer:?}");
}

#[test]
fn a_page_in_place_of_a_request_has_no_escapes() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, "<h1>\n{{status}}\n</h1>\n<script>\n// comment\nf()</script>").unwrap();
    let rules = "SecRuleEngine On\nSecRule ARGS \"@streq bad\" \"id:1,phase:1,deny,status:403\"\n";
    let agent = Agent::with_rules(rules, &["--block-page", page.to_str().unwrap()]);
    agent.log.wait_for("the warning", |line| line.contains("block page") && line.contains("element: script"));
    let haproxy = Haproxy::start(agent.address());
    let denied = haproxy.curl("/?a=bad", &[]);
    assert_eq!(denied.body, "<h1> 403 </h1> <script> // comment f()</script>", "{denied:?}");
}

#[test]
fn a_body_that_rules_rewrite_reaches_the_client_byte_for_byte() {
    if engine() != 2 {
        return;
    }
    let rules = r#"SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecStreamOutBodyInspection On
SecContentInjection On
SecRule STREAM_OUTPUT_BODY "@rsub s/first/1st/" "id:1,phase:4,pass,nolog"
"#;
    let agent = Agent::with_rules(rules, &["--responses", "100"]);
    let lua = repository("deploy/modsecurity-body.lua");
    let environment =
        [("MODSEC_RESPONSES", "1"), ("MODSEC_REWRITE", "1"), ("MODSEC_LUA", lua.to_str().unwrap())];
    let haproxy = Haproxy::start_with(agent.address(), &environment);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("head");
    let answer = haproxy.curl("/lines", &["--dump-header", file.to_str().unwrap()]);
    assert_eq!((answer.status, answer.body.as_str()), (203, "<p>\n\t1st\r\n\n  second </p>\n"), "{answer:?}");
    let head = fs::read_to_string(file).unwrap().to_ascii_lowercase();
    assert!(
        head.contains("\nx-of: the application\r") && head.contains("\ncontent-type: text/html\r"),
        "{head}"
    );
    assert!(!head.contains("\netag:"), "{head}");
    let untouched = haproxy.curl("/say?words=hello", &[]);
    assert_eq!((untouched.status, untouched.body.as_str()), (200, "hello"));
}
