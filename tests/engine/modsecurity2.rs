//! What ModSecurity 2.9 alone does, or does in its own way: collections on disk, rewritten responses, and the limits and
//! errors that it would decide without asking a rule.

use std::collections::BTreeSet;

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::process::{run, signal};
use crate::support::spop::{Ack, Message};
use crate::support::wire::{Value, headers, text};

/// The engine on, with these rules.
fn agent(rules: &str, options: &[&str]) -> Agent {
    let rules = format!("SecRuleEngine On\nSecRequestBodyAccess On\n{rules}");
    Agent::with_rules(&rules, &[&["--engine", "2"], options].concat())
}

/// A POST of this body; its length is not in a header.
fn post(kind: &str, body: &str) -> Message {
    let list = headers(&[("host", "shop.test"), ("content-type", kind)]);
    let message = Message::get("/", None).with("method", text("POST")).with("headers", list);
    message
        .with("body-size", Value::Int64(body.len() as i64))
        .with("body", Value::Binary(body.as_bytes().to_vec()))
}

const FORM: &str = "application/x-www-form-urlencoded";

fn string<'a>(ack: &'a Ack, name: &str) -> Option<&'a str> {
    ack.get(name).map(Value::str)
}

const COUNTING: &str = r#"SecDataDir FOLDER
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecAction "id:2,phase:1,pass,nolog,setvar:ip.count=+1"
SecAction "id:3,phase:1,pass,log,msg:'%{ip.count}'"
"#;

/// Every request is counted, whoever inspects it.
fn counts_all(isolation: &str) {
    const LINKS: usize = 4;
    const EACH: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let rules = COUNTING.replace("FOLDER", folder.path().to_str().unwrap());
    let agent = agent(&rules, &["-n", "4", "--isolation", isolation]);
    let count = || {
        let ack = agent.link().ask(&Message::get("/", None));
        assert_eq!(ack.code(), Some(0), "{ack:?}");
        string(&ack, "msg").unwrap().parse::<usize>().unwrap()
    };
    // The collection is there before anybody adds to it: those that make it at the same time all begin at nothing.
    assert_eq!(count(), 1);
    let load = || {
        std::thread::scope(|scope| {
            for _ in 0..LINKS {
                scope.spawn(|| {
                    let mut link = agent.link();
                    (1..=EACH as u64)
                        .for_each(|stream| link.send(&Message::get("/", None).notify(stream, 1)));
                    (1..=EACH).for_each(|_| assert_eq!(link.expect_ack().code(), Some(0)));
                });
            }
        });
    };
    load();
    assert_eq!(count(), LINKS * EACH + 2, "{isolation}");
    let lines = agent.log.lines_with(" rule matched, ");
    let workers: BTreeSet<_> = lines.iter().map(|line| value(line, "worker").unwrap().to_owned()).collect();
    assert!(workers.len() > 1, "one worker has done it all: {workers:?}");
    if isolation == "process" {
        signal(agent.engines()[0], "KILL");
        agent.log.wait_for_text(" worker restarted, ");
        load();
        assert_eq!(count(), 2 * LINKS * EACH + 3, "after the end of an engine");
    }
}

#[test]
fn collections_are_shared_by_processes_and_outlive_them() {
    counts_all("process");
}

#[test]
fn collections_are_shared_by_threads() {
    counts_all("thread");
}

const RESPONSES: &str = r#"SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecContentInjection On
SecStreamOutBodyInspection On
"#;

/// The ACK of a response with this body, and whether HAProxy had all of it.
fn inspect(agent: &Agent, body: &str, is_whole: bool) -> Ack {
    let mut link = agent.link();
    let ack = link.ask(&Message::get("/", None));
    assert_eq!(ack.code(), Some(0), "{ack:?}");
    let size = body.len() + usize::from(!is_whole);
    link.ask(&Message::response(&ack, body).with("body-size", Value::Int64(size as i64)))
}

#[test]
fn what_rules_add_to_a_page_is_in_its_new_body() {
    let rules = r#"SecRule RESPONSE_STATUS "@streq 200" "id:1,phase:3,pass,nolog,prepend:'<first>'"
SecRule RESPONSE_STATUS "@streq 200" "id:2,phase:3,pass,nolog,append:'<last>'"
"#;
    let agent = agent(&format!("{RESPONSES}{rules}"), &["--responses", "100"]);
    let ack = inspect(&agent, "a page", true);
    assert_eq!((ack.code(), string(&ack, "body")), (Some(0), Some("<first>a page<last>")), "{ack:?}");
    let ack = inspect(&agent, "a page", false);
    assert_eq!((ack.code(), string(&ack, "body")), (Some(0), None), "the rest of it is not here: {ack:?}");
}

#[test]
fn what_rules_change_in_a_page_is_in_its_new_body() {
    let rules = r#"SecRule STREAM_OUTPUT_BODY "@rsub s/secret/******/" "id:1,phase:4,pass,nolog""#;
    let agent = agent(&format!("{RESPONSES}{rules}\n"), &["--responses", "100"]);
    let ack = inspect(&agent, "a secret page", true);
    assert_eq!((ack.code(), string(&ack, "body")), (Some(0), Some("a ****** page")), "{ack:?}");
    let ack = inspect(&agent, "a page", true);
    assert_eq!((ack.code(), string(&ack, "body")), (Some(0), None), "nothing has changed: {ack:?}");
    let ack = inspect(&agent, "a secret page", false);
    assert_eq!((ack.code(), string(&ack, "body")), (Some(0), None), "the rest of it is not here: {ack:?}");
}

#[test]
fn a_body_that_no_header_announces_is_inspected() {
    let agent = agent("SecRule ARGS_POST:x \"@streq bad\" \"id:1,phase:2,deny,status:471\"\n", &[]);
    let mut link = agent.link();
    // As HTTP/2 may have it.
    let ask = |body| post(FORM, body).with("version", text("2.0"));
    assert_eq!(link.ask(&ask("x=bad")).code(), Some(471));
    assert_eq!(link.ask(&ask("x=good")).code(), Some(0));
}

#[test]
fn what_has_a_zero_byte_is_not_called_clean() {
    let agent = agent("", &["--responses", "100"]);
    let mut link = agent.link();
    let broken = |list: &[(&str, &str)]| {
        let all: Vec<_> = [("host", "shop.test")].iter().chain(list).copied().collect();
        Message::get("/", None).with("headers", headers(&all))
    };
    for (message, error) in [
        (broken(&[("x-value", "a\0b")]), "engine"),
        (broken(&[("x-\0name", "a")]), "engine"),
        // No HTTP has them.
        (Message::get("/a\0b", None), "invalid"),
        (Message::get("/", None).with("method", text("G\0T")), "invalid"),
    ] {
        let ack = link.ask(&message);
        assert_eq!((ack.code(), ack.error()), (None, Some(error)), "{message:?}");
    }
    let ack = link.ask(&Message::get("/", None));
    let response = Message::response(&ack, "").with("headers", headers(&[("server", "a\0b")]));
    assert_eq!(link.ask(&response).error(), Some("engine"));
    // A body may have any.
    assert_eq!(link.ask(&post("text/plain", "a\0b")).code(), Some(0));
}

#[test]
fn a_body_above_the_limit_is_as_the_rules_say() {
    let big = format!("x={}&y=bad", "a".repeat(200));
    let ask = |action: &str| {
        let rules = format!(
            "SecRequestBodyLimit 100\nSecRequestBodyLimitAction {action}\n\
             SecRule ARGS_POST:x \"@beginsWith aaa\" \"id:1,phase:2,deny,status:471\"\n"
        );
        let agent = agent(&rules, &[]);
        let (small, big) = (agent.link().ask(&post(FORM, "x=b")), agent.link().ask(&post(FORM, &big)));
        assert_eq!((small.code(), small.error()), (Some(0), None), "{action}");
        assert_eq!(big.error(), None, "{action}");
        big.code()
    };
    assert_eq!(ask("Reject"), Some(413));
    assert_eq!(ask("ProcessPartial"), Some(471));
}

#[test]
fn what_only_detects_lets_a_body_above_a_limit_pass() {
    let big = post(FORM, &format!("x={}", "a".repeat(200)));
    for limit in ["SecRequestBodyLimit", "SecRequestBodyNoFilesLimit"] {
        let rules =
            |mode: &str| format!("{limit} 100\nSecRequestBodyLimitAction Reject\nSecRuleEngine {mode}\n");
        let answer = |mode: &str| {
            let ack = agent(&rules(mode), &[]).link().ask(&big);
            (ack.code(), ack.error().map(str::to_owned))
        };
        assert_eq!(answer("On"), (Some(413), None), "{limit}");
        assert_eq!(answer("DetectionOnly"), (Some(0), None), "{limit}");
    }
}

#[test]
fn a_response_above_the_limit_is_as_the_rules_say() {
    let body = "a".repeat(9000);
    let length = body.len().to_string();
    let answer = |rules: &str, more: &[(&str, &str)]| {
        let agent =
            agent(&format!("{RESPONSES}SecResponseBodyLimit 100\n{rules}\n"), &["--responses", "100"]);
        let mut link = agent.link();
        let request = link.ask(&Message::get("/", None));
        let fields = [&[("content-type", "text/html")], more].concat();
        let ack = link.ask(&Message::response(&request, &body).with("headers", headers(&fields)));
        (ack.code(), ack.error().map(str::to_owned))
    };
    for more in [&[][..], &[("content-length", &*length)]] {
        let with = |rules: &str| answer(rules, more);
        assert_eq!(with("SecResponseBodyLimitAction Reject"), (Some(500), None), "{more:?}");
        assert_eq!(with("SecResponseBodyLimitAction ProcessPartial"), (Some(0), None), "{more:?}");
        // What only detects lets it pass, whenever it is told to.
        let detects = [
            "SecResponseBodyLimitAction Reject\nSecRuleEngine DetectionOnly",
            "SecRuleEngine DetectionOnly\nSecResponseBodyLimitAction Reject",
            "SecResponseBodyLimitAction Reject\nSecAction \"id:9,phase:3,pass,nolog,ctl:ruleEngine=DetectionOnly\"",
        ];
        for rules in detects {
            assert_eq!(with(rules), (Some(0), None), "{rules}, {more:?}");
        }
    }
}

#[test]
fn rules_decide_on_a_body_that_cannot_be_parsed() {
    let json = "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \
                \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n";
    let rule = "SecRule REQBODY_ERROR \"!@eq 0\" \"id:2,phase:2,deny,status:471,log,msg:'not parsed'\"\n";
    let bodies = [
        // The last part does not end; the first does not begin; no boundary at all.
        post(
            "multipart/form-data; boundary=abc",
            "--abc\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb",
        ),
        post("multipart/form-data; boundary=abc", "nothing of the kind"),
        post("multipart/form-data", "--abc\r\n"),
        post("application/json", "{\"a\":"),
        post("application/json", "{\"a\" 1}"),
    ];
    let [deciding, silent, detecting] = [
        agent(&format!("{json}{rule}"), &[]),
        agent(json, &[]),
        agent(&format!("{json}{rule}SecRuleEngine DetectionOnly\n"), &[]),
    ];
    for body in &bodies {
        let ask = |agent: &Agent| {
            let ack = agent.link().ask(body);
            (ack.code(), ack.error().map(str::to_owned), string(&ack, "msg").map(str::to_owned))
        };
        let message = || Some("not parsed".to_owned());
        assert_eq!(ask(&deciding), (Some(471), None, message()), "{body:?}");
        assert_eq!(ask(&silent), (Some(0), None, None), "{body:?}");
        assert_eq!(ask(&detecting), (Some(0), None, message()), "{body:?}");
    }
}

#[test]
fn a_response_without_its_request_is_inspected_whatever_rules_think_of_the_one_in_its_place() {
    for phase in [1, 2] {
        let rules = format!(
            "{RESPONSES}SecRule REQUEST_METHOD \"@streq GET\" \"id:1,phase:{phase},deny,status:471\"\n\
             SecRule RESPONSE_BODY \"@contains secret\" \"id:2,phase:4,deny,status:472\"\n"
        );
        let agent = agent(&rules, &["--responses", "100"]);
        let mut link = agent.link();
        let ack = link.ask(&Message::get("/", None));
        assert_eq!(ack.code(), Some(471), "{ack:?}");
        for (body, code) in [("a page", 0), ("a secret page", 472)] {
            let answer = link.ask(&Message::response(&ack, body));
            assert_eq!((answer.code(), answer.error()), (Some(code), None), "phase {phase}: {answer:?}");
            assert!(matches!(answer.get("lost"), Some(Value::Bool(true))), "{answer:?}");
        }
    }
}

#[test]
fn rules_see_the_request_line_the_name_of_the_server_and_the_id() {
    let rules = "SecAction \"id:1,phase:1,pass,log,\
                 msg:'%{REQUEST_LINE}|%{REQUEST_PROTOCOL}|%{SERVER_NAME}|%{UNIQUE_ID}'\"\n";
    let agent = agent(rules, &[]);
    let mut link = agent.link();
    let mut seen = |message: &Message| string(&link.ask(message), "msg").unwrap().to_owned();
    let get = |host: &str| {
        let message =
            Message::get("/a%20b/../c", Some("d=%41&e")).with("headers", headers(&[("host", host)]));
        message.with("unique-id", text("the-id"))
    };
    let line = "GET /a%20b/../c?d=%41&e HTTP";
    assert_eq!(seen(&get("shop.test")), format!("{line}/1.1|HTTP/1.1|shop.test|the-id"));
    assert_eq!(seen(&get("shop.test:8080")), format!("{line}/1.1|HTTP/1.1|shop.test|the-id"));
    assert_eq!(
        seen(&get("[::1]:80").with("version", text("1.0"))),
        format!("{line}/1.0|HTTP/1.0|[::1]|the-id")
    );
    assert_eq!(
        seen(&get("shop.test").with("version", text("2.0"))),
        format!("{line}/2.0|HTTP/2.0|shop.test|the-id")
    );
}

/// What `--print-rules` prints, with a low limit and these rules behind the Core Rule Set's.
fn printed_with_low_limits(rules: &str) -> String {
    let printed = run(&["--engine", "2", "--print-rules"], &[]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    let low = printed.replace(" 500000\n", " 1000\n");
    assert_ne!(printed, low);
    let last = "# ModSecurity 2 only. These stand behind";
    assert!(low.contains(last), "{low}");
    low.replace(last, &format!("{rules}\n{last}"))
}

#[test]
fn a_limit_that_a_rule_exceeds_is_seen_in_the_same_phase() {
    // Each `a` doubles the ways to go wrong.
    let rules = "SecRule REQUEST_HEADERS:X-Test \"@rx ^(?:a|aa)+$\" \"id:1,phase:1,pass,nolog\"\n\
                 SecRule ARGS:x \"@rx ^(?:a|aa)+$\" \"id:2,phase:2,pass,nolog\"\n";
    let agent = Agent::with_rules(&printed_with_low_limits(rules), &["--engine", "2"]);
    let ask = |message: Message| {
        let ack = agent.link().ask(&message);
        (ack.code(), string(&ack, "rule_ids").map(str::to_owned))
    };
    let browser = [("host", "shop.test"), ("user-agent", "test"), ("accept", "*/*")];
    let with = |value: &str| {
        let list = headers(&[&browser[..], &[("x-test", value)]].concat());
        Message::get("/", None).with("headers", list)
    };
    let hard = format!("{}!", "a".repeat(40));
    assert_eq!(ask(with("a")), (Some(0), None));
    assert_eq!(ask(with(&hard)), (Some(400), Some("8700012".to_owned())));
    let plain = headers(&browser);
    let get = |query: &str| Message::get("/", Some(query)).with("headers", plain.clone());
    assert_eq!(ask(get("x=a")), (Some(0), None));
    assert_eq!(ask(get(&format!("x={hard}"))), (Some(400), Some("8700007".to_owned())));
}

#[test]
fn a_collection_without_a_folder_makes_no_clean_request_relevant() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let rules = format!(
        "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^5\"\nSecAuditLogType Serial\nSecAuditLog {}\n\
         SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{{REMOTE_ADDR}},setvar:ip.seen=+1\"\n\
         SecRule ARGS:x \"@streq bad\" \"id:2,phase:1,deny,log,status:403\"\n",
        log.display()
    );
    let agent = agent(&rules, &[]);
    let mut link = agent.link();
    for _ in 0..5 {
        assert_eq!(link.ask(&Message::get("/", Some("x=good"))).code(), Some(0));
    }
    assert_eq!(link.ask(&Message::get("/", Some("x=bad"))).code(), Some(403));
    let records = std::fs::read_to_string(log).unwrap();
    assert_eq!(records.matches("-Z--").count(), 1, "{records}");
}
