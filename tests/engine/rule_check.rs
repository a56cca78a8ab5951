//! What is wrong with rules is named with its place, whatever the engine would make of it; and what the engine knows is
//! refused by nobody.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::process::{engine, run};
use modsecurity_spoa::ffi;
use modsecurity_spoa::rules::check::{actions, operators, transformations, variables};
use modsecurity_spoa::rules::version::EngineVersion;

/// What `--check` says of these rules, in one line, and whether it takes them.
fn check(rules: &str) -> (String, bool) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, rules).unwrap();
    let name = file.path().to_str().unwrap();
    let output = run(&["--check", "-f", name], &[]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (said.replace(name, "FILE"), output.status.success())
}

#[track_caller]
fn refused(rules: &str, expected: &str) {
    let (said, is_taken) = check(rules);
    assert!(!is_taken && said.contains(expected), "{rules}\n{expected}\n{said}");
}

#[track_caller]
fn taken(rules: &str) {
    let (said, is_taken) = check(rules);
    assert!(is_taken, "{rules}\n{said}");
}

fn version() -> EngineVersion {
    EngineVersion::of_number(&engine().to_string()).unwrap()
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let deny = "\"id:1,phase:1,deny\"";
    for (rules, expected) in [
        (
            format!("\nSecRule ARGS \"@rx (attack\" {deny}\n"),
            "FILE:2: bad regular expression in @rx: missing closing parenthesis at byte 7, after \"(attack\"",
        ),
        (format!("SecRule ARGS \"!(attack\" {deny}\n"), "FILE:1: bad regular expression in @rx"),
        (
            format!("SecRule ARGS:'/(a/' \"@rx a\" {deny}\n"),
            "FILE:1: bad regular expression in the selector of ARGS: missing closing parenthesis at byte 2",
        ),
        (format!("SecRule ARGS \"@verifyCC [\" {deny}\n"), "FILE:1: bad regular expression in @verifyCC"),
        (
            "SecAuditLogRelevantStatus \"^(?:5\"\n".to_owned(),
            "FILE:1: bad regular expression in SecAuditLogRelevantStatus",
        ),
        (
            format!("SecRule ARGS \"@contanis foo\" {deny}\n"),
            "FILE:1: unknown operator @contanis, did you mean @contains?",
        ),
        (
            format!("SecRule ARGS \"! @strqe foo\" {deny}\n"),
            "FILE:1: unknown operator @strqe, did you mean @streq?",
        ),
        (format!("SecRule ARGS \"@frobnicate foo\" {deny}\n"), "FILE:1: unknown operator @frobnicate\n"),
        (format!("SecRule ARGS \"@pm\" {deny}\n"), "FILE:1: operator @pm has no argument"),
        (format!("SecRule ARGS \"@rx \" {deny}\n"), "FILE:1: operator @rx has no argument"),
        (
            format!("SecRule !ARGS:a|&ARSG \"@gt 1\" {deny}\n"),
            "FILE:1: unknown variable ARSG, did you mean ARGS?",
        ),
        (
            "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,t:lowrecase\"\n".to_owned(),
            "FILE:1: unknown transformation t:lowrecase, did you mean t:lowercase?",
        ),
        ("SecAction \"id:1,phase:1,pas\"\n".to_owned(), "FILE:1: unknown action pas, did you mean pass?"),
        (
            "SecAction \"id:1,phase:1,pass,ctl:ruleRemoveByTga=a\"\n".to_owned(),
            "FILE:1: unknown action ctl:ruleRemoveByTga, did you mean ctl:ruleRemoveByTag?",
        ),
        (
            "SecDefaultAction \"phase:1,log,dney\"\n".to_owned(),
            "FILE:1: unknown action dney, did you mean deny?",
        ),
        (
            "SecRuleUpdateTargetById 1 \"!ARSG:a\"\n".to_owned(),
            "FILE:1: unknown variable ARSG, did you mean ARGS?",
        ),
        (
            "\nSecRule ARGS \"@rx attack\nSecAction \"id:2,phase:1,pass\"\n".to_owned(),
            "FILE:2: a quote (\") is not closed",
        ),
        (
            "SecRule ARGS \"@rx attack\" \"id:1,phase:1,deny\n".to_owned(),
            "FILE:1: a quote (\") is not closed",
        ),
        ("SecAction \"id:1,phase:1,pass,msg:'a\"\n".to_owned(), "FILE:1: a quote (') is not closed"),
        (
            "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS \"@rx b\" \"chain\"\n"
                .to_owned(),
            "FILE:1: the chain has no next rule",
        ),
        (
            format!("SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS \"@rx b\" {deny}\n"),
            "FILE:1: the chain has no next rule",
        ),
        ("SecRule ARGS \"@rx a\" \"phase:1,deny\"\n".to_owned(), "FILE:1: the rule has no id"),
        ("SecRule ARGS \"@rx a\"\n".to_owned(), "FILE:1: the rule has no id"),
        (
            format!("SecRule ARGS \"@rx a\" {deny}\n\nSecRule ARGS \"@rx b\" \\\n  {deny}\n"),
            "FILE:3: id 1 is that of the rule at FILE:1 as well",
        ),
        (
            "SecRule ARSG \"@rx a\" \"id:1,phase:1,deny\"\nSecRule ARGS \"@rxx a\" \"id:2,phase:1,deny\"\n"
                .to_owned(),
            "FILE:1: unknown variable ARSG, did you mean ARGS?; FILE:2: unknown operator @rxx, did you mean @rx?",
        ),
    ] {
        refused(&rules, expected);
    }
}

#[test]
fn what_is_wrong_in_an_included_file_is_named_with_that_file() {
    let included = tempfile::NamedTempFile::new().unwrap();
    fs::write(&included, "\nSecRule ARGS \"@rx (\" \"id:1,phase:1,deny\"\n").unwrap();
    let name = included.path().to_str().unwrap();
    refused(&format!("Include {name}\n"), &format!("{name}:2: bad regular expression"));
}

#[test]
fn what_one_engine_alone_would_take_otherwise() {
    let rule = |operator: &str| format!("SecRule ARGS \"{operator}\" \"id:1,phase:1,deny\"\n");
    let (detect, empty, letters) = (rule("@detectSQLi foo"), rule("@streq "), rule("@\\w+"));
    let twice = "SecAction \"id:1,phase:1,pass\"\nSecAction \"id:1,phase:1,pass\"\n";
    let unnamed = "SecAction \"phase:1,pass\"\n";
    let apart = "SecRule ARGS @rx a \"id:1,phase:1,deny\"\n";
    let lines = "SecRule ARGS \"@pm a\n b\"\n  \"id:1,phase:1,deny\"\n";
    let selector = "SecRule ARGS:/a=b/|XML:/a=b/ \"@rx a\" \"id:1,phase:1,deny\"\n";
    let crash = "SecRuleRemoveByTag \"(\"\n";
    let quotes = "SecAction \"id:1,phase:1,pass,msg:'say \"hi, x\" there',tag:'\"'\"\n";
    if engine() == 2 {
        taken(&detect);
        taken(&empty);
        refused(&letters, "FILE:1: unknown operator @\\\\w+");
        refused(twice, "FILE:2: id 1 is that of the rule at FILE:1 as well");
        refused(unnamed, "FILE:1: the rule has no id");
        refused(lines, "FILE:1: a quote (\") is not closed");
        taken(selector);
        refused(quotes, "FILE:1: a quote (') is not closed");
        refused(crash, "FILE:1: bad regular expression in SecRuleRemoveByTag");
    } else {
        refused(&detect, "FILE:1: operator @detectSQLi takes no argument, and has \"foo\"");
        refused(&empty, "FILE:1: operator @streq has no argument");
        refused(
            selector,
            "FILE:1: the engine takes /a=b/ for the name of an element of ARGS, for its =; write \\x3d",
        );
        for rules in [letters.as_str(), twice, unnamed, apart, lines, crash, quotes] {
            taken(rules);
        }
    }
}

#[test]
fn what_is_meant_so_is_taken() {
    for rules in [
        "SecRule ARGS \"@rx %{tx.open}(\" \"id:1,phase:1,deny\"\n",
        "SecRule ARGS \"@rx a \\\"(b)\\\" \\(\" \"id:1,phase:1,deny,msg:'a, \\'b\\' %{tx.0}'\"\n",
        "SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|REQUEST_COOKIES:'/a|b/'|XML:/*|XML://@* \"@rx a\" \"id:1,phase:1,deny\"\n",
        "secrule args \"@PM a b\" \"ID:'1',PHASE:'1',DENY,T:LOWERCASE\"\n",
        "SecRule ARGS|ARGS_NAMES \"(?i)a(?<!b)\" \\\n  \"id:1, \\\n  phase:1,deny,chain\"\nSecRule TX:1 \"@eq 1\" \\\n \"setvar:'tx.a=+1',chain\"\nSecRule ARGS \"@unconditionalMatch\"\n",
        "SecMarker END\nSecComponentSignature \"a/1\"\nSecRuleRemoveById 1-5 7\n",
        "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,chain\"\nSecMarker END\nSecRule ARGS \"@rx b\" \"t:none\"\n",
    ] {
        taken(rules);
    }
}

/// A rule's text with this operator, target or action in it.
fn forms(kind: &str, name: &str) -> Vec<String> {
    let values = [
        "",
        ":1",
        ":403",
        ":x",
        ":tx.a=1",
        ":tx.a=1/1",
        ":ip=1",
        ":/bin/true",
        ":http://a/",
        ":none",
        ":ruleEngine=On",
        ":a=b",
        ":'a'",
        ":a=http://a/",
    ];
    match kind {
        "operator" => ["", " 1", " /dev/null", " s/a/b/", " 127.0.0.1", " /dev/null 1"]
            .map(|argument| format!("SecRule ARGS \"@{name}{argument}\" \"id:1,phase:2,pass\"\n"))
            .to_vec(),
        "variable" => ["", ":x"]
            .map(|selector| format!("SecRule {name}{selector} \"@rx a\" \"id:1,phase:2,pass\"\n"))
            .to_vec(),
        "transformation" => vec![format!("SecAction \"id:1,phase:2,pass,t:{name}\"\n")],
        // Of what is no regular expression ModSecurity 2 dies here.
        "control" if name == "auditLogParts" => {
            vec![format!("SecAction \"id:1,phase:2,pass,ctl:{name}=+E\"\n")]
        }
        "control" => ["On", "1", "1;ARGS", "a;ARGS", "JSON", "a"]
            .map(|value| format!("SecAction \"id:1,phase:2,pass,ctl:{name}={value}\"\n"))
            .to_vec(),
        _ => values
            .map(|value| format!("SecAction \"{name}{value}\"\n"))
            .into_iter()
            .chain(values.map(|value| format!("SecAction \"id:1,phase:2,{name}{value}\"\n")))
            .collect(),
    }
}

/// What the engine itself says of directives: nothing, where it takes them.
fn judge(text: &str, folder: &Path) -> Result<(), String> {
    match version() {
        #[cfg(feature = "engine3")]
        EngineVersion::V3 => {
            let mut rules = ffi::v3::Ruleset::new(c"test").unwrap();
            rules.add(text, "test").map_err(|error| error.to_string())
        }
        #[cfg(feature = "engine2")]
        EngineVersion::V2 => {
            let path = folder.join("rules.conf");
            fs::write(&path, text).unwrap();
            let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            let mut rules = ffi::v2::Ruleset::new(c"test").unwrap();
            rules.add_file(&path, false).map_err(|error| error.to_string())
        }
        #[cfg(not(all(feature = "engine2", feature = "engine3")))]
        other => panic!("{other} was not built; {text} in {}", folder.display()),
    }
}

/// What the list of names says, and the engine does not: `kind name: what`.
fn disagreements() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    type Names = fn(EngineVersion) -> Box<dyn Iterator<Item = &'static str>>;
    let kinds: [(&str, Names); 5] = [
        ("operator", |version| Box::new(operators::names(version))),
        ("variable", |version| Box::new(variables::names(version))),
        ("transformation", |version| Box::new(transformations::names(version))),
        ("action", |version| Box::new(actions::names(version))),
        ("control", |version| Box::new(actions::controls(version))),
    ];
    for (kind, names) in kinds {
        let known: Vec<_> = names(version()).collect();
        let mut all: Vec<_> = [EngineVersion::V2, EngineVersion::V3].into_iter().flat_map(names).collect();
        all.push("frobnicate");
        all.sort_unstable();
        all.dedup();
        for name in all {
            let judged: Vec<_> = forms(kind, name).iter().map(|text| judge(text, folder.path())).collect();
            let is_taken = judged.iter().any(Result::is_ok);
            let said = judged.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n");
            // It knows the name and cannot do it, as it was built; or a later version knows it.
            let is_excused = said.contains("upport") || said.contains("Lua") || name.starts_with("MSC_PCRE_");
            match (known.contains(&name), is_taken) {
                (true, false) if !is_excused => {
                    found.push(format!("{kind} {name}: the engine refuses it: {said}"))
                }
                // Of operators that libmodsecurity 3 does not know it makes regular expressions.
                (false, true) if (kind, version()) != ("operator", EngineVersion::V3) => {
                    found.push(format!("{kind} {name}: the engine takes it"));
                }
                _ => {}
            }
        }
    }
    found
}

/// The engine's standard output is watched while it loads, so no other test may run in its process.
#[test]
#[ignore = "runs in a process of its own, for the test below"]
fn judged_by_the_engine() {
    let found = disagreements();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_names_are_those_that_the_engine_knows() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["judged_by_the_engine", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains(" 1 passed"), "{said}");
}
