//! With `--watch`: is each way in which a file becomes another one a reload, and nothing else?

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::agent::Agent;
use crate::support::spop::Message;
use crate::support::tls::Certificates;
use crate::support::waiting::wait_until;

/// Rules that deny one word.
fn rules(word: &str) -> String {
    format!("SecRuleEngine On\nSecRule ARGS:q \"@streq {word}\" \"id:1,phase:1,deny\"\n")
}

/// Writes the file in one step: a half that is written could be rules, too.
fn put(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

fn start(rules: &Path, more: &[&str]) -> Agent {
    Agent::start(&[&["--watch", "--debug", "-n", "1", "-f", rules.to_str().unwrap()][..], more].concat())
}

/// Waits until the rules are in force that deny this word.
fn wait_for(agent: &Agent, word: &str) {
    let mut link = agent.link();
    let query = format!("q={word}");
    wait_until(&format!("rules that deny {word}"), || {
        link.ask(&Message::get("/", Some(&query))).code() == Some(403)
    });
}

fn reloads(agent: &Agent) -> usize {
    agent.log.lines_with(" rules reloaded, ").len()
}

#[test]
fn what_editors_do_is_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let (file, new, old) =
        (folder.path().join("a.conf"), folder.path().join(".a.swp"), folder.path().join("a.conf~"));
    fs::write(&file, rules("first")).unwrap();
    let agent = start(&file, &[]);
    wait_for(&agent, "first");
    // In place.
    fs::write(&file, rules("second")).unwrap();
    wait_for(&agent, "second");
    // A new file in the place of the old one, twice, as a watch on a file would be lost then.
    for word in ["third", "fourth"] {
        fs::write(&new, rules(word)).unwrap();
        fs::rename(&new, &file).unwrap();
        wait_for(&agent, word);
    }
    // The old one is kept.
    fs::rename(&file, &old).unwrap();
    fs::write(&file, rules("fifth")).unwrap();
    wait_for(&agent, "fifth");
}

#[test]
fn the_link_that_kubernetes_swaps_is_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, word: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("a.conf"), rules(word)).unwrap();
    };
    version("..1", "first");
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.conf", at("a.conf")).unwrap();
    let agent = start(&at("a.conf"), &[]);
    for (number, word) in [(2, "second"), (3, "third"), (4, "fourth")] {
        let name = format!("..{number}");
        version(&name, word);
        symlink(&name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(&format!("..{}", number - 1))).unwrap();
        wait_for(&agent, word);
    }
}

#[test]
fn the_link_that_git_sync_swaps_is_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, word: &str| {
        fs::create_dir_all(at(name).join("rules")).unwrap();
        fs::write(at(name).join("rules/a.conf"), rules(word)).unwrap();
    };
    version("worktrees/1", "first");
    symlink("worktrees/1", at("current")).unwrap();
    let agent = start(&at("current/rules/a.conf"), &[]);
    for (number, word) in [(2, "second"), (3, "third")] {
        let name = format!("worktrees/{number}");
        version(&name, word);
        symlink(&name, at("next")).unwrap();
        fs::rename(at("next"), at("current")).unwrap();
        wait_for(&agent, word);
    }
}

#[test]
fn included_files_lists_and_certificates_are_watched_too() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, included, list) =
        (folder.path().join("a.conf"), elsewhere.path().join("b.conf"), elsewhere.path().join("words.data"));
    fs::write(&file, format!("SecRuleEngine On\nInclude {}\n", included.display())).unwrap();
    fs::write(&included, "SecRule ARGS:q \"@pmFromFile words.data\" \"id:1,phase:1,deny\"\n").unwrap();
    fs::write(&list, "first\n").unwrap();
    let (certificates, others) = (Certificates::default(), Certificates::default());
    let agent = start(&file, &["--tls", &certificates.option(false)]);
    let denies = |certificates: &Certificates, word: &str| {
        let mut link = certificates.link(agent.address(), None);
        let query = format!("q={word}");
        wait_until(word, || link.ask(&Message::get("/", Some(&query))).code() == Some(403));
    };
    denies(&certificates, "first");
    put(&list, "second\n");
    denies(&certificates, "second");
    put(&included, "SecRule ARGS:q \"@streq third\" \"id:1,phase:1,deny\"\n");
    denies(&certificates, "third");
    certificates.replace_server(&others);
    let is_believed = || others.connect(agent.address(), None).write_all(&[0]).is_ok();
    wait_until("the new certificate", is_believed);
    denies(&others, "third");
}

#[test]
fn wrong_rules_change_nothing_until_they_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, rules("first")).unwrap();
    let agent = start(&file, &[]);
    put(&file, "SecRulez nonsense\n");
    agent.log.wait_for_text(" cannot reload, the old rules stay");
    wait_for(&agent, "first");
    let mark = agent.log.lines().len();
    fs::remove_file(&file).unwrap();
    agent
        .log
        .wait_for_after(mark, "another failure", |line| line.contains(" cannot reload, the old rules stay"));
    wait_for(&agent, "first");
    put(&file, &rules("second"));
    wait_for(&agent, "second");
}

#[test]
fn what_happens_to_other_files_is_no_reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, rules("first")).unwrap();
    let agent = start(&file, &[]);
    agent.log.wait_for_text(" watching, ");
    for round in 0..20 {
        fs::write(folder.path().join("other.conf"), round.to_string()).unwrap();
        fs::write(folder.path().join(format!("{round}.log")), "").unwrap();
        fs::remove_file(folder.path().join(format!("{round}.log"))).unwrap();
    }
    put(&file, &rules("second"));
    wait_for(&agent, "second");
    let said = agent.log.lines_with(" reloading, a file has changed");
    assert!(said.len() == 1 && said[0].contains("a.conf"), "{said:?}");
}

#[test]
fn many_changes_in_a_row_are_few_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, rules("first")).unwrap();
    let agent = start(&file, &[]);
    for number in 0..200 {
        fs::write(&file, rules(&number.to_string())).unwrap();
    }
    fs::write(&file, rules("last")).unwrap();
    wait_for(&agent, "last");
    assert!(reloads(&agent) < 20, "{} reloads for 200 changes", reloads(&agent));
}

#[test]
fn with_threads_the_process_is_replaced_and_goes_on_watching() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, rules("first")).unwrap();
    let agent = start(&file, &["--isolation", "thread"]);
    for (number, word) in [(2, "second"), (3, "third")] {
        put(&file, &rules(word));
        wait_until("the next process", || agent.log.lines_with(" ready, ").len() >= number);
        wait_for(&agent, word);
    }
}
