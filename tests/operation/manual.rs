//! Do the manual page and the completions have every option and command of `--help`?

use crate::support::process::run;
use std::process::{Command, Stdio};

fn printed(words: &[&str]) -> String {
    let output = run(words, &[]);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first words of the lines of `--help` under a heading: options as `--rules`, commands as `probe`.
fn listed(heading: &str) -> Vec<String> {
    let help = printed(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.is_empty());
    // A second line of a description begins further to the right.
    let names = lines.filter(|line| line.len() - line.trim_start().len() <= 8).filter_map(|line| {
        let words = line.split("  ").find(|part| !part.is_empty())?.split_whitespace();
        words.into_iter().find(|word| !heading.starts_with("OPTIONS") || word.starts_with("--"))
    });
    names.map(str::to_owned).collect()
}

#[test]
fn the_page_has_every_option_and_command_with_its_description() {
    let page = printed(&["man"]).replace("\\-", "-");
    let plain: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let (options, commands) = (listed("OPTIONS:"), listed("SUBCOMMANDS:"));
    assert!(options.len() > 25 && commands.len() >= 3, "{options:?} {commands:?}");
    for name in options.iter().chain(&commands) {
        let entry = page
            .split(".TP\n.B ")
            .find(|entry| entry.lines().next().unwrap().split(' ').any(|word| word == name));
        let entry = entry.unwrap_or_else(|| panic!("the page has no {name}"));
        assert!(entry.lines().nth(1).is_some_and(|text| text.len() > 5), "{name} has no description");
    }
    // Nothing that the help says is lost on the way: options with their descriptions, and what stands behind them.
    let help = printed(&["--help"]);
    let text =
        help.split_once("OPTIONS:").unwrap().1.replace("SUBCOMMANDS:", "").replace("Exit status: ", "");
    for word in text.split_whitespace() {
        assert!(plain.contains(&word.replace('\\', "\\e")), "{word:?} is not on the page");
    }
    for heading in ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "ENVIRONMENT", "EXIT STATUS"] {
        assert!(page.contains(&format!(".SH {heading}\n")), "no section {heading}");
    }
    assert!(page.contains("\nmodsecurity-spoa - Agent that lets ModSecurity"), "{page}");
}

#[test]
fn the_completions_have_every_option_and_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for name in listed("OPTIONS:") {
            let name = if shell == "fish" { format!("-l {}", &name[2..]) } else { name };
            assert!(script.contains(&name), "{shell}: {name} is not in the script");
        }
        for name in listed("SUBCOMMANDS:") {
            assert!(script.contains(&name), "{shell}: {name} is not in the script");
        }
    }
}

#[test]
fn bash_completes_an_option() {
    let ask = "source /dev/stdin; COMP_WORDS=(modsecurity-spoa --block); COMP_CWORD=1; \
               _modsecurity-spoa modsecurity-spoa --block modsecurity-spoa; echo \"${COMPREPLY[*]}\"";
    let mut bash = Command::new("bash");
    let mut child = bash.args(["-c", ask]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let script = printed(&["completions", "bash"]);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--block-page\n");
}
