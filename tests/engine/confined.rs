//! Does the sandbox of engine processes take anything away from rules? What they need of the system beyond memory, with the
//! sandbox on, as it is without the option. Audit logs, collections and responses have tests of their own.

use crate::support::agent::Agent;
use crate::support::process::engine;
use crate::support::spop::Message;
use crate::support::waiting::wait_until;
use crate::support::wire::{Value, headers, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

fn post(kind: &str, body: &[u8]) -> Message {
    let list = headers(&[
        ("host", "shop.test"),
        ("content-type", kind),
        ("content-length", &body.len().to_string()),
    ]);
    Message::get("/", None)
        .with("method", text("POST"))
        .with("headers", list)
        .with("body-size", Value::Int64(body.len() as i64))
        .with("body", Value::Binary(body.to_vec()))
}

/// A folder that every user may write in: engines are another user's when the tests run as root.
fn shared_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    folder
}

fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

/// Nothing that the engine did was forbidden.
fn assert_unharmed(agent: &Agent) {
    for text in ["forbidden system call", "worker crashed", "engine says"] {
        assert_eq!(agent.log.lines_with(text), Vec::<String>::new());
    }
}

#[test]
fn uploads_are_kept_where_the_rules_say() {
    let folder = shared_folder();
    let (uploads, temporary) = (folder.path().join("uploads"), folder.path().join("tmp"));
    for path in [&uploads, &temporary] {
        fs::create_dir(path).unwrap();
        open(path);
    }
    let rules = format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecUploadKeepFiles On\nSecUploadDir {}\nSecTmpDir {}\n\
         SecRule FILES \"@rx evil\" \"id:1,phase:2,deny,status:403\"\n",
        uploads.display(),
        temporary.display()
    );
    let agent = Agent::with_rules(&rules, &["-n", "1"]);
    let body = "--abc\r\nContent-Disposition: form-data; name=\"a\"; filename=\"evil.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nthe content\r\n--abc--\r\n";
    let ack = agent.link().ask(&post("multipart/form-data; boundary=abc", body.as_bytes()));
    assert_eq!(ack.code(), Some(403), "{:#?}", agent.log.lines());
    let kept = || {
        let files = uploads.read_dir().unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        files.collect::<Vec<_>>()
    };
    wait_until("a file is kept", || kept() == [b"the content".to_vec()]);
    assert_unharmed(&agent);
}

#[test]
fn bodies_that_are_long_are_kept_in_files_meanwhile() {
    if engine() == 3 {
        println!("libmodsecurity keeps them in memory");
        return;
    }
    let folder = shared_folder();
    let rules = format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyInMemoryLimit 1000\nSecTmpDir {}\n\
         SecRule ARGS:last \"@streq attack\" \"id:1,phase:2,deny,status:403\"\n",
        folder.path().display()
    );
    let agent = Agent::with_rules(&rules, &["-n", "1"]);
    let body = format!("first={}&last=attack", "a".repeat(5000));
    let ack = agent.link().ask(&post("application/x-www-form-urlencoded", body.as_bytes()));
    assert_eq!(ack.code(), Some(403), "{:#?}", agent.log.lines());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    assert_unharmed(&agent);
}

#[test]
fn xml_is_read_in_any_encoding() {
    let rules = "SecRuleEngine On\nSecRequestBodyAccess On\n\
                 SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \
                 \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
                 SecRule REQBODY_ERROR \"!@eq 0\" \"id:2,phase:2,deny,status:400\"\n\
                 SecRule XML:/* \"@contains \u{43f}\u{440}\u{438}\" \"id:3,phase:2,deny,status:403\"\n";
    let agent = Agent::with_rules(rules, &["-n", "1"]);
    let mut link = agent.link();
    for (encoding, letters) in [
        ("utf-8", &b"\xd0\xbf\xd1\x80\xd0\xb8"[..]),
        ("windows-1251", b"\xef\xf0\xe8"),
        ("koi8-r", b"\xd0\xd2\xc9"),
        ("iso-8859-5", b"\xdf\xe0\xd8"),
    ] {
        let head = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?><a>");
        let ack = link.ask(&post("text/xml", &[head.as_bytes(), letters, b"</a>"].concat()));
        assert_eq!(ack.code(), Some(403), "{encoding} {:#?}", agent.log.lines());
    }
    assert_unharmed(&agent);
}

#[test]
fn expressions_are_made_for_one_request() {
    let rules = "SecRuleEngine On\n\
                 SecAction \"id:1,phase:1,pass,nolog,setvar:tx.word=att\"\n\
                 SecRule ARGS \"@rx ^%{tx.word}[a-z]+$\" \"id:2,phase:1,deny,status:403\"\n";
    let agent = Agent::with_rules(rules, &["-n", "1"]);
    let mut link = agent.link();
    assert_eq!(link.ask(&Message::get("/", Some("a=attack"))).code(), Some(403), "{:#?}", agent.log.lines());
    assert_eq!(link.ask(&Message::get("/", Some("a=peace"))).code(), Some(0));
    assert_unharmed(&agent);
}
