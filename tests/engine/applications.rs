//! Does each application have its own rules, and an unknown one what the operator wants?

use crate::support::agent::{Agent, rule_file};
use crate::support::process::run;
use crate::support::spop::{Ack, Link, Message};
use crate::support::wire::{Value, text};

fn rules(word: &str, status: u16) -> String {
    format!(
        "SecRuleEngine On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n\
         SecRule ARGS:q \"@streq {word}\" \"id:1,phase:1,deny,status:{status},log\"\n\
         SecRule RESPONSE_BODY \"@contains {word}\" \"id:2,phase:4,deny,status:{status},log\"\n"
    )
}

/// An agent whose default denies `any` with 470, the shop `cart` with 471, and the blog `post` with 472.
fn start(options: &[&str]) -> Agent {
    let files = [rules("any", 470), rules("cart", 471), rules("post", 472)].map(|rules| rule_file(&rules));
    let paths = files.each_ref().map(|(_, path)| path.to_str().unwrap().to_owned());
    let (shop, blog) = (format!("shop={}", paths[1]), format!("blog={}", paths[2]));
    let mut all = vec!["-f", &paths[0], "--app", &shop, "--app", &blog];
    all.extend(options);
    Agent::start(&all)
}

fn named(message: Message, app: Value) -> Message {
    let mut message = message;
    message.arguments.push(("app".to_owned(), app));
    message
}

fn ask(link: &mut Link, app: &str, word: &str) -> Ack {
    link.ask(&named(Message::get("/", Some(&format!("q={word}"))), text(app)))
}

#[test]
fn each_application_has_its_own_rules() {
    for isolation in ["process", "thread"] {
        let agent = start(&["--isolation", isolation]);
        let mut link = agent.link();
        for (app, word, code) in [("shop", "cart", 471), ("blog", "post", 472), ("other", "any", 470)] {
            for other in ["any", "cart", "post"] {
                let expected = if other == word { code } else { 0 };
                assert_eq!(ask(&mut link, app, other).code(), Some(expected), "{isolation} {app} {other}");
            }
        }
        // Without a name, and with none that HAProxy could find.
        assert_eq!(link.ask(&Message::get("/", Some("q=any"))).code(), Some(470));
        assert_eq!(link.ask(&named(Message::get("/", Some("q=any")), Value::Null)).code(), Some(470));
    }
}

#[test]
fn a_response_is_inspected_by_the_rules_of_its_application() {
    let agent = start(&["--responses", "10"]);
    let mut link = agent.link();
    let ack = ask(&mut link, "shop", "x");
    assert_eq!(link.ask(&Message::response(&ack, "the cart")).code(), Some(471), "by its transaction");
    let lost = Message::response(&ack, "the post");
    assert_eq!(link.ask(&named(lost.clone(), text("blog"))).code(), Some(472), "on its own");
    assert_eq!(link.ask(&lost).code(), Some(0));
}

#[test]
fn an_unknown_application_is_inspected_by_the_default_rules_and_told_of() {
    let agent = start(&[]);
    let mut link = agent.link();
    // The warning comes within a second of the first, with the names until then.
    let warned = || !agent.log.lines_with("messages name an application that has no --app").is_empty();
    while !warned() {
        assert_eq!(ask(&mut link, "nobody\n", "any").code(), Some(470));
    }
    let line = agent.log.wait_for_text("messages name an application that has no --app");
    assert!(line.contains(r#"applications: "nobody\n""#), "{line}");
}

#[test]
fn an_unknown_application_is_not_inspected_if_that_is_wanted() {
    let agent = start(&["--unknown-app", "error"]);
    let mut link = agent.link();
    let ack = ask(&mut link, "nobody", "x");
    assert_eq!((ack.code(), ack.error()), (None, Some("invalid")));
    assert_eq!(ask(&mut link, "shop", "x").code(), Some(0));
    assert_eq!(link.ask(&Message::get("/", None)).code(), Some(0), "no name is not an unknown one");
}

#[test]
fn the_start_tells_of_each_application() {
    let agent = start(&[]);
    let loaded = agent.log.lines_with(" rules loaded, ");
    assert_eq!(loaded.len(), 3, "{loaded:?}");
    assert!(loaded[1].contains("app: shop") && loaded[2].contains("app: blog"), "{loaded:?}");
}

#[test]
fn what_is_wrong_in_an_application_is_told_with_its_name() {
    let (_good, good) = rule_file("SecRuleEngine On\n");
    let (_bad, bad) = rule_file("SecRuleEngine On\nSecRule ARGS\n");
    let bad = format!("shop={}", bad.to_str().unwrap());
    for check in [&["--check"][..], &[]] {
        let output = run(&[&["-f", good.to_str().unwrap(), "--app", &bad, "-p", "0"], check].concat(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("application shop") && said.contains("rules.conf"), "{said}");
    }
    for word in ["shop", "=x", "shop="] {
        assert_eq!(run(&["--app", word], &[]).status.code(), Some(2), "{word}");
    }
}

#[test]
fn a_reload_reads_the_rules_of_applications_too() {
    let (_default, default) = rule_file(&rules("any", 470));
    let (_shop, shop) = rule_file(&rules("cart", 471));
    let app = format!("shop={}", shop.to_str().unwrap());
    let agent = Agent::start(&["-f", default.to_str().unwrap(), "--app", &app, "-n", "1"]);
    let mut link = agent.link();
    assert_eq!(ask(&mut link, "shop", "cart").code(), Some(471));
    std::fs::write(&shop, rules("cart", 481)).unwrap();
    agent.signal("HUP");
    agent.log.wait_for("the reload", |line| line.contains(" rules reloaded, "));
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while ask(&mut link, "shop", "cart").code() != Some(481) {
        assert!(std::time::Instant::now() < deadline, "the old rules stay");
    }
}
