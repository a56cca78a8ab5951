//! Is the operator told what the rules let pass, at a check, a start and a reload, and how to mend it?

use std::fs;

use crate::support::agent::{Agent, rule_file};
use crate::support::log::value;
use crate::support::process::{engine, run};
use crate::support::spop::Message;
use crate::support::wire::text;

/// Each hole that rules can have, in the words of the log, with what closes it.
fn holes() -> Vec<(&'static str, &'static str)> {
    let mut holes = vec![
        ("the rules are off, nothing is inspected", "SecRuleEngine On\n"),
        ("no rule can deny", "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"\n"),
        ("request bodies are not inspected", "SecRequestBodyAccess On\n"),
        (
            "bodies that cannot be parsed pass, no rule looks at REQBODY_ERROR",
            "SecRule REQBODY_ERROR \"!@eq 0\" \"id:2,phase:2,block\"\n",
        ),
        (
            "multipart bodies that break the format pass, no rule looks at MULTIPART_STRICT_ERROR",
            "SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:3,phase:2,block\"\n",
        ),
        ("JSON bodies are not parsed", "SecAction \"id:4,phase:1,pass,ctl:requestBodyProcessor=JSON\"\n"),
        ("XML bodies are not parsed", "SecAction \"id:5,phase:1,pass,ctl:requestBodyProcessor=XML\"\n"),
        (
            "arguments beyond the engine's limit pass, no rule looks at &ARGS",
            "SecRule &ARGS \"@ge 1000\" \"id:6,phase:2,block\"\n",
        ),
    ];
    if engine() == 2 {
        holes.push((
            "requests that exceed PCRE's limits pass, no rule looks at TX:/^MSC_/",
            "SecRule TX:/^MSC_/ \"!@streq 0\" \"id:7,phase:2,block\"\n",
        ));
    }
    holes
}

/// Rules that close all holes but one.
fn rules_without(left_out: Option<&str>) -> String {
    let closed = holes().into_iter().filter(|(hole, _)| Some(*hole) != left_out);
    let rules: String = closed.map(|(_, rule)| rule).collect();
    format!("SecArgumentsLimit 1000\n{rules}")
}

/// What `--check` says on standard error, and its exit status.
fn check(options: &[&str]) -> (Vec<String>, Option<i32>) {
    let output = run(&[&["--check"], options].concat(), &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    (said.lines().map(str::to_owned).collect(), output.status.code())
}

#[test]
fn each_hole_is_told_of_alone_and_makes_a_strict_check_fail() {
    for (hole, _) in holes() {
        let (_folder, path) = rule_file(&rules_without(Some(hole)));
        let file = path.to_str().unwrap();
        for (strict, status) in [(&[][..], 0), (&["--strict"], 1)] {
            let (said, code) = check(&[&["-f", file], strict].concat());
            assert_eq!(code, Some(status), "{hole}: {said:?}");
            let expected = format!("modsecurity-spoa: warning: {hole} (rules of default); add ");
            // Rules that do not look at bodies do not parse them either.
            assert!(said.len() == 1 && said[0].starts_with(&expected), "{hole}: {said:#?}");
        }
        let agent = Agent::start(&["-f", file, "-n", "1"]);
        let line = agent.log.wait_for_text(&format!(" WARN {hole}, add: "));
        assert_eq!(value(&line, "rules_of"), Some("default"), "{line}");
    }
    let output =
        run(&["--check"], &[("MODSECURITY_SPOA_STRICT", "1"), ("MODSECURITY_SPOA_RULES", "/dev/null")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (_folder, path) = rule_file(&rules_without(None));
    assert_eq!(check(&["-f", path.to_str().unwrap(), "--strict"]), (vec![], Some(0)));
}

#[test]
fn rules_that_only_detect_and_rules_that_are_not_there_are_told_of() {
    let detecting = rules_without(None).replace("SecRuleEngine On", "SecRuleEngine DetectionOnly");
    let (_folder, path) = rule_file(&detecting);
    let (said, _) = check(&["-f", path.to_str().unwrap()]);
    assert!(said.len() == 1 && said[0].contains("the rules only detect, nothing is denied"), "{said:?}");
    let (_folder, path) = rule_file("SecRuleEngine On\n");
    let (said, _) = check(&["-f", path.to_str().unwrap()]);
    assert!(said.iter().any(|line| line.contains("there are no rules")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("no rule can deny")), "{said:?}");
}

#[test]
fn what_directives_remove_does_not_close_a_hole() {
    let rules = format!("{}SecRuleRemoveById 2\n", rules_without(None));
    let (_folder, path) = rule_file(&rules);
    let (said, _) = check(&["-f", path.to_str().unwrap()]);
    assert!(said.len() == 1 && said[0].contains("REQBODY_ERROR"), "{said:?}");
}

#[test]
fn the_built_in_settings_have_no_hole_printed_or_not() {
    let printed = run(&["--print-rules"], &[]);
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    assert_eq!(run(&[], &[("MODSECURITY_SPOA_PRINT_RULES", "1")]).stdout, printed.stdout);
    let (_folder, path) = rule_file(&String::from_utf8(printed.stdout).unwrap());
    let file = path.to_str().unwrap();
    let counts = |options: &[&str]| {
        let output = run(&[&["--check", "--strict"], options].concat(), &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.split(';').next().unwrap().to_owned()
    };
    let built_in = counts(&[]);
    assert!(built_in.contains("rules in files: 8"), "{built_in}");
    assert_eq!(counts(&["-f", file]), built_in);
    // And the same of it is denied, by the same rules.
    let verdicts = |options: &[&str]| {
        let agent = Agent::start(&[&["-n", "1"], options].concat());
        let mut link = agent.link();
        ["id=1", "id=1%27%20or%201=1--%20-", "x=%3Cscript%3Ealert(1)%3C/script%3E", "f=/etc/passwd"].map(
            |query| {
                let ack = link.ask(&Message::get("/", Some(query)));
                (ack.code(), ack.get("rule_ids").map(|ids| ids.str().to_owned()))
            },
        )
    };
    let of_built_in = verdicts(&[]);
    assert!(of_built_in.iter().any(|(code, _)| *code == Some(403)), "{of_built_in:?}");
    assert_eq!(verdicts(&["-f", file]), of_built_in);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [&["--strict"][..], &["--check", "--print-rules"]] {
        assert_eq!(run(options, &[]).status.code(), Some(2), "{options:?}");
    }
}

/// A reload from `before` to `after`: what the log says from there on, up to the line with this text.
fn reload(before: &str, after: &str, isolation: &str, until: &str) -> Vec<String> {
    let (_default, default) = rule_file(&rules_without(None));
    let (_shop, shop) = rule_file(before);
    let app = format!("shop={}", shop.to_str().unwrap());
    let options = ["-f", default.to_str().unwrap(), "--app", &app, "-n", "1", "--isolation", isolation];
    let agent = Agent::start(&options);
    fs::write(&shop, after).unwrap();
    let mark = agent.log.lines().len();
    agent.signal("HUP");
    agent.log.wait_for_after(mark, until, |line| line.contains(until));
    agent.log.lines()[mark..].to_vec()
}

#[test]
fn a_reload_says_what_a_start_says_and_what_was_before() {
    for isolation in ["process", "thread"] {
        let after = rules_without(Some("JSON bodies are not parsed"));
        let said = reload(&rules_without(None), &after, isolation, "JSON bodies are not parsed");
        let rules = if engine() == 2 { 7 } else { 6 };
        let of_shop = said.iter().find(|line| line.contains(" rules loaded, ") && line.contains("app: shop"));
        let of_shop = of_shop.unwrap_or_else(|| panic!("{said:#?}"));
        assert_eq!(value(of_shop, "rules_in_engine"), Some((rules - 1).to_string().as_str()), "{of_shop}");
        assert_eq!(value(of_shop, "rules_before"), Some(rules.to_string().as_str()), "{of_shop}");
        let warning = said.iter().find(|line| line.contains(" WARN JSON bodies are not parsed, ")).unwrap();
        assert_eq!(value(warning, "rules_of"), Some("shop"), "{warning}");
        assert!(!said.iter().any(|line| line.contains("was that meant")), "{said:#?}");
    }
}

#[test]
fn a_reload_that_takes_the_rules_away_cannot_be_overlooked() {
    let all = rules_without(None);
    let few = "SecRuleEngine On\nSecRule ARGS \"@rx a\" \"id:1,phase:2,deny\"\n";
    let off = rules_without(Some("the rules are off, nothing is inspected"));
    let detecting = all.replace("SecRuleEngine On", "SecRuleEngine DetectionOnly");
    for isolation in ["process", "thread"] {
        for (after, expected) in [
            (few, " WARN the reload has left far fewer rules than there were, was that meant?"),
            (&off, " WARN the reload has switched the rules off, was that meant?"),
            (&detecting, " WARN the reload has left rules that only detect, was that meant?"),
        ] {
            let said = reload(&all, after, isolation, "was that meant?");
            let line =
                said.iter().find(|line| line.contains(expected)).unwrap_or_else(|| panic!("{said:#?}"));
            assert_eq!(value(line, "app"), Some("shop"), "{line}");
        }
    }
}

#[test]
fn a_thousand_applications_are_loaded_and_reloaded() {
    let (_folder, path) = rule_file(&rules_without(None));
    let path = path.to_str().unwrap();
    let apps: Vec<_> = (0..1000).map(|number| format!("app{number}={path}")).collect();
    let mut options = vec!["-f", path, "-n", "1", "--unknown-app", "error"];
    options.extend(apps.iter().flat_map(|app| ["--app", app]));
    let agent = Agent::start(&options);
    let ask = || {
        let mut message = Message::get("/", Some("q=attack"));
        message.arguments.push(("app".to_owned(), text("app999")));
        agent.link().ask(&message).code()
    };
    assert_eq!(ask(), Some(403));
    let mark = agent.log.lines().len();
    agent.signal("HUP");
    let line = agent.log.wait_for_after(mark, "the reload", |line| line.contains(" rules reloaded, "));
    assert_eq!(value(&line, "rules_in_engine"), value(&line, "rules_before"), "{line}");
    assert_eq!(ask(), Some(403));
}
