//! Has the engine every rule of the files, and is the operator told when it has not?

use std::fs;
use std::path::PathBuf;

use crate::support::agent::Agent;
use crate::support::log::value;
use crate::support::process::{engine, run};
use crate::support::spop::Message;
use tempfile::TempDir;

/// Files of these names and contents in a folder; `FOLDER` in a content stands for it.
fn files(contents: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in contents {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    }
    let first = folder.path().join(contents[0].0);
    (folder, first)
}

/// What `--check` says of these files, the first of which is loaded, and its exit status.
fn check(contents: &[(&str, &str)]) -> (String, Option<i32>) {
    let (_folder, first) = files(contents);
    let output = run(&["--check", "-f", first.to_str().unwrap()], &[]);
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

/// Checks that these files are refused, by `--check` and at a start, with these words in one line.
#[track_caller]
fn refused(contents: &[(&str, &str)], words: &[&str]) {
    let (folder, first) = files(contents);
    let first = first.to_str().unwrap();
    for options in [&["--check", "-f", first][..], &["-p", "0", "-f", first]] {
        let output = run(options, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}: {said}");
        let said = said.lines().last().unwrap();
        for word in words {
            let word = word.replace("FOLDER", folder.path().to_str().unwrap());
            assert!(said.contains(&word), "{options:?}: no {word:?} in {said}");
        }
    }
}

/// A rule that libmodsecurity 3 takes for a part of the comment before it; to ModSecurity 2.9 the comment ends with the
/// empty line.
const LOST: &str = "#SecRule ARGS \"@rx a\" \\\n\nSecRule ARGS \"@rx b\" \"id:17,phase:1,deny\"\n";

#[test]
fn the_core_rule_set_is_loaded_to_the_last_rule() {
    let agent = Agent::start(&["-n", "1"]);
    let line = agent.log.wait_for_text(" rules loaded, ");
    let count = |key| value(&line, key).unwrap().parse::<usize>().unwrap();
    assert!(count("rules_in_files") > 700, "{line}");
    assert_eq!(count("rules_in_files"), count("rules_in_engine"), "{line}");
    assert_eq!(count("rules_removed"), 0, "{line}");
    let output = run(&["--check"], &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    let expected =
        format!("rules in files: {0}, in engine: {0}, removed by directives: 0;", count("rules_in_files"));
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn each_rule_counts_in_all_files_and_as_a_link_of_a_chain() {
    let main =
        "SecRuleEngine On\nInclude FOLDER/more/*.conf\nInclude more/a.txt\nSecAction \"id:1,phase:1,pass\"\n";
    let chain = "SecRule ARGS \"@rx ,id:5\" \\\n  \"id:2,phase:1,deny,chain\"\nSecRule ARGS \"@rx b\" \"t:none\"\nSecMarker END\n";
    let long = format!("SecRule ARGS \"@rx {}\" \"id:3,phase:1,pass\"\n", "x".repeat(20_000));
    let contents = [
        ("rules.conf", main),
        ("more/chain.conf", chain),
        ("more/long.conf", &long),
        ("more/a.txt", "# C:\\\nsecaction \"id:4,phase:1,pass\""),
        ("more/.hidden.conf", "SecAction \"id:6,phase:1,pass\"\n"),
    ];
    let (said, status) = check(&contents);
    // To ModSecurity 2.9 any comment goes on after a backslash; to libmodsecurity 3 one that was a rule.
    let count = if engine() == 2 { 4 } else { 5 };
    let expected = format!("rules in files: {count}, in engine: {count}, removed by directives: 0;");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(status, Some(0));
}

#[test]
fn a_rule_that_the_engine_loses_is_named_with_its_place() {
    if engine() == 2 {
        let (said, status) = check(&[("rules.conf", LOST)]);
        assert!(said.contains("rules in files: 1, in engine: 1,") && status == Some(0), "{said}");
        return;
    }
    refused(
        &[("rules.conf", LOST)],
        &["rule 17 at FOLDER/rules.conf:3 is not in the engine", "in files: 1, in engine: 0"],
    );
    let included = format!("SecAction \"id:1,phase:1,pass\"\n{LOST}");
    let contents = [("rules.conf", "SecRuleEngine On\nInclude FOLDER/lost.conf\n"), ("lost.conf", &included)];
    refused(&contents, &["rule 17 at FOLDER/lost.conf:4", "in files: 2, in engine: 1"]);
}

#[test]
fn a_chain_without_its_last_link_is_not_whole() {
    let rules = "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,chain\"\n#SecRule ARGS \"@rx b\" \\\n\nSecRule ARGS \"@rx c\"\n";
    if engine() == 2 {
        let (said, status) = check(&[("rules.conf", rules)]);
        assert!(said.contains("rules in files: 2, in engine: 2,") && status == Some(0), "{said}");
        return;
    }
    refused(&[("rules.conf", rules)], &["without an id", "in files: 2, in engine: 1"]);
}

#[test]
fn what_directives_remove_is_told_and_no_loss() {
    let rules = "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS \"@rx b\" \"t:none\"\n\
                 SecRule ARGS \"@rx c\" \"id:2,phase:1,deny,tag:'some/tag'\"\n\
                 SecRule ARGS \"@rx d\" \"id:3,phase:1,deny,msg:'some message'\"\n\
                 SecRule ARGS \"@rx e\" \"id:4,phase:1,deny,status:474\"\n\
                 SecRuleRemoveById 1\nSecRuleRemoveByTag some/tag\nSecRuleRemoveByMsg \"some message\"\n";
    let (said, status) = check(&[("rules.conf", rules)]);
    assert!(said.contains("rules in files: 5, in engine: 1, removed by directives: 4;"), "{said}");
    assert_eq!(status, Some(0));
    // And of what is removed the engine indeed does nothing.
    let agent = Agent::with_rules(&format!("SecRuleEngine On\n{rules}"), &[]);
    let ask = |query| agent.link().ask(&crate::support::spop::Message::get("/", Some(query))).code();
    assert_eq!(["x=ab", "x=c", "x=d", "x=e"].map(ask), [Some(0), Some(0), Some(0), Some(474)]);
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_named() {
    refused(&[("rules.conf", "SecRuleEngine On\n\0\nSecRule\n")], &["FOLDER/rules.conf:2", "zero byte"]);
    refused(
        &[("rules.conf", "\nInclude FOLDER/none*.conf\n")],
        &["FOLDER/rules.conf:2", "FOLDER/none*.conf"],
    );
    // ModSecurity 2.9 loads the files of a folder.
    let folder = [
        ("rules.conf", "SecRuleEngine On\nInclude FOLDER/more/*\n"),
        ("more/folder/file", "SecAction \"id:1,phase:1,pass\"\n"),
    ];
    if engine() == 2 {
        let (said, status) = check(&folder);
        assert!(said.contains("rules in files: 1, in engine: 1,") && status == Some(0), "{said}");
    } else {
        refused(&folder, &["FOLDER/more/folder", "directory", "FOLDER/rules.conf:2"]);
    }
    refused(&[("rules.conf", "\n\nInclude FOLDER/rules.conf\n")], &["FOLDER/rules.conf:3"]);
}

#[test]
fn a_reload_that_would_lose_a_rule_changes_nothing() {
    let (_folder, path) = files(&[("rules.conf", "SecRuleEngine On\nSecAction \"id:1,phase:1,pass\"\n")]);
    let agent = Agent::start(&["-f", path.to_str().unwrap(), "-n", "1"]);
    // Each engine loses something else.
    let (lost, words) = match engine() {
        2 => (too_long(), ["directive is too long", ", line 1024:", "rules.conf"]),
        _ => (LOST.to_owned(), ["rule 17 at ", "rules.conf:3", "not in the engine"]),
    };
    fs::write(&path, lost).unwrap();
    agent.signal("HUP");
    let line = agent.log.wait_for_text(" cannot reload, the old rules stay");
    assert!(words.iter().all(|word| line.contains(word)), "{line}");
}

/// A rule above a mebibyte, in lines that are joined.
fn too_long() -> String {
    let lines = format!("{} \\\n", "x".repeat(1023)).repeat(1025);
    format!("SecRule ARGS:a \"@streq {lines}y\" \"id:9,phase:1,deny\"\nSecAction \"id:10,phase:1,deny\"\n")
}

#[test]
fn no_directive_is_so_long_that_what_follows_is_lost() {
    // What ModSecurity 2.9 has room for upstream, a byte less and more, and what is as long as the Core Rule Set's longest
    // or longer; in one line and in several.
    for length in [8190, 8191, 8192, 8193, 8194, 20_000, 300_000] {
        for line in [length, 100] {
            let begin = "SecRule ARGS:a \"@streq ";
            let end = "y\" \"id:1,phase:1,deny,status:471\"";
            let words = "x".repeat(length - begin.len() - end.len());
            let words: Vec<_> =
                words.as_bytes().chunks(line).map(|part| str::from_utf8(part).unwrap()).collect();
            let rules = format!(
                "SecRuleEngine On\n{begin}{}{end}\nSecRule ARGS:a \"@streq last\" \"id:2,phase:1,deny,status:472\"\n",
                words.join("\\\n")
            );
            let agent = Agent::with_rules(&rules, &["-n", "1"]);
            let said = agent.log.wait_for_text(" rules loaded, ");
            assert!(said.contains("rules_in_files: 2, rules_in_engine: 2,"), "{length}: {said}");
            let ack = agent.link().ask(&Message::get("/", Some("a=last")));
            assert_eq!(ack.code(), Some(472), "a directive of {length} bytes in lines of {line}");
        }
    }
}

#[test]
fn a_directive_that_is_too_long_is_named() {
    if engine() != 2 {
        println!("libmodsecurity 3 has no limit");
        return;
    }
    let included = format!("\n{}", too_long());
    let contents = [("rules.conf", "SecRuleEngine On\nInclude FOLDER/long.conf\n"), ("long.conf", &included)];
    // Of its lines the engine names the one that it had no more room for.
    refused(&contents, &["FOLDER/long.conf, line 1025: directive is too long"]);
    let comment =
        format!("SecRuleEngine On\n# {}\nSecAction \"id:10,phase:1,deny\"\n", "x".repeat(1024 * 1024));
    refused(&[("rules.conf", &comment)], &["FOLDER/rules.conf, line 2: directive is too long"]);
}

#[test]
fn a_pattern_of_files_is_loaded_in_the_order_of_the_alphabet() {
    // Made in an order that is neither that nor its reverse.
    let names = ["m", "c", "z", "a", "q", "b", "x", "e", "10", "9", "B"];
    let folder = tempfile::tempdir().unwrap();
    for (id, name) in (10..).zip(names) {
        let rule = format!("SecAction \"id:{id},phase:1,pass,nolog,setvar:tx.order=%{{tx.order}}-{name}\"\n");
        fs::write(folder.path().join(format!("{name}.conf")), rule).unwrap();
    }
    let rules = format!(
        "SecRuleEngine On\nSecAction \"id:1,phase:1,pass,nolog,setvar:tx.order=order\"\nInclude {}/*.conf\n\
         SecAction \"id:2,phase:1,pass,log,msg:'%{{tx.order}}'\"\n",
        folder.path().display()
    );
    let agent = Agent::with_rules(&rules, &["-n", "1"]);
    let ack = agent.link().ask(&Message::get("/", None));
    assert_eq!(ack.get("msg").unwrap().str(), "order-10-9-B-a-b-c-e-m-q-x-z");
}
