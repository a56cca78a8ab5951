//! Does a folder of rules give each application its own, and does a reload see what was added and removed?

use std::fs;
use std::path::PathBuf;

use crate::command_line::refused;
use crate::support::agent::{Agent, rule_file};
use crate::support::process::run;
use crate::support::spop::{Ack, Link, Message};
use crate::support::waiting::wait_until;
use crate::support::wire::text;

/// Rules that deny one word.
fn rules(word: &str) -> String {
    format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS:q \"@streq {word}\" \"id:1,phase:1,deny\"\n"
    )
}

fn ask(link: &mut Link, application: &str, word: &str) -> Ack {
    let mut message = Message::get("/", Some(&format!("q={word}")));
    message.arguments.push(("app".to_owned(), text(application)));
    link.ask(&message)
}

/// A folder of applications, and one with the default rules.
struct Folders {
    apps: tempfile::TempDir,
    _default: tempfile::TempDir,
    default: PathBuf,
}

impl Folders {
    fn new(applications: &[(&str, &str)]) -> Self {
        let (folder, default) = rule_file(&rules("default"));
        let folders = Self { apps: tempfile::tempdir().unwrap(), _default: folder, default };
        for (name, word) in applications {
            folders.write(&format!("{name}.conf"), &rules(word));
        }
        folders
    }

    fn write(&self, file: &str, content: &str) {
        // As an editor does: whole, from one moment to the next.
        let new = self.apps.path().join(".new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.apps.path().join(file)).unwrap();
    }

    fn options(&self) -> [&str; 4] {
        ["-f", self.default.to_str().unwrap(), "--apps", self.apps.path().to_str().unwrap()]
    }
}

#[test]
fn each_file_has_the_rules_of_its_application() {
    let folders = Folders::new(&[("shop", "one"), ("blog.example", "two")]);
    folders.write("notes.txt", "nonsense\n");
    folders.write(".hidden.conf", "nonsense\n");
    fs::create_dir(folders.apps.path().join("folder.conf")).unwrap();
    let (_more, more) = rule_file("SecRule ARGS:q \"@streq more\" \"id:2,phase:1,deny\"\nSecRuleEngine On\n");
    let app = format!("shop={}", more.display());
    let agent = Agent::start(&[&folders.options()[..], &["--app", &app]].concat());
    let mut link = agent.link();
    for (application, word, code) in [
        ("shop", "one", 403),
        ("shop", "more", 403),
        ("shop", "two", 0),
        ("blog.example", "two", 403),
        ("blog.example", "default", 0),
        ("other", "default", 403),
        ("folder", "default", 403),
        (".hidden", "default", 403),
    ] {
        assert_eq!(ask(&mut link, application, word).code(), Some(code), "{application} {word}");
    }
    let output = run(&[&["--check"][..], &folders.options()].concat(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("for shop: ") && said.contains("for blog.example: "), "{said}");
}

/// With each form of isolation, and with requests for unknown applications refused.
#[test]
fn a_reload_sees_what_was_added_changed_and_removed() {
    for isolation in ["process", "thread"] {
        let folders = Folders::new(&[("shop", "one"), ("gone", "two")]);
        let more = ["--unknown-app", "error", "--isolation", isolation, "-n", "2"];
        let agent = Agent::start(&[&folders.options()[..], &more].concat());
        let address = agent.address().to_owned();
        let mut link = agent.link();
        assert_eq!(ask(&mut link, "gone", "two").code(), Some(403));
        assert_eq!(ask(&mut link, "new", "three").error(), Some("invalid"));
        folders.write("new.conf", &rules("three"));
        folders.write("shop.conf", &rules("four"));
        fs::remove_file(folders.apps.path().join("gone.conf")).unwrap();
        agent.signal("HUP");
        agent.log.wait_for_text(" application added, app: new");
        agent.log.wait_for_text(" application removed, app: gone");
        if isolation == "thread" {
            // In place of the old process there is a new one, on a port that the kernel has chosen for the old.
            wait_until("the new process", || agent.log.lines_with(" ready, ").len() == 2);
            assert_eq!(agent.log.lines_with(" listening, ").len(), 2);
            link = Link::connect(&address);
            link.shake_hands();
        }
        // Workers renew their engines between two jobs, in the order in which they come to it.
        for (application, word) in [("new", "three"), ("shop", "four")] {
            let mut in_a_row = 0;
            wait_until("the new rules in both workers", || {
                let is_denied = ask(&mut link, application, word).code() == Some(403);
                in_a_row = if is_denied { in_a_row + 1 } else { 0 };
                in_a_row == 20
            });
        }
        wait_until("the end of the old rules", || ask(&mut link, "gone", "two").error() == Some("invalid"));
        assert_eq!(ask(&mut link, "shop", "one").code(), Some(0));
    }
}

#[test]
fn a_wrong_file_changes_nothing() {
    for isolation in ["process", "thread"] {
        let folders = Folders::new(&[("shop", "one")]);
        let agent = Agent::start(&[&folders.options()[..], &["--isolation", isolation]].concat());
        let mut link = agent.link();
        folders.write("new.conf", "SecRule nonsense\n");
        folders.write("shop.conf", &rules("two"));
        agent.signal("HUP");
        let line = agent.log.wait_for_text(" cannot reload, the old rules stay");
        assert!(line.contains("new.conf"), "{line}");
        assert_eq!(ask(&mut link, "shop", "one").code(), Some(403));
        assert_eq!(ask(&mut link, "shop", "two").code(), Some(0));
        fs::remove_dir_all(folders.apps.path()).unwrap();
        agent.signal("HUP");
        wait_until("the second reload", || agent.log.lines_with(" cannot reload, ").len() == 2);
        assert_eq!(ask(&mut link, "shop", "one").code(), Some(403));
        fs::create_dir(folders.apps.path()).unwrap();
    }
}

#[test]
fn a_name_that_no_application_can_have_is_refused() {
    let folders = Folders::new(&[("two words", "one")]);
    let complaint = refused(&[&folders.options()[..], &["--listen", "127.0.0.1:0"]].concat(), &[], 1);
    assert!(complaint.contains("two words.conf") && complaint.contains("--apps"), "{complaint}");
}
