//! The manual page and the completions of shells, both made from what structopt knows of the options: they cannot differ
//! from `--help`.

use structopt::clap::{App, Shell};

/// The name of the program, and of its page.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The completions for this shell.
pub(super) fn completions(mut app: App<'_, '_>, shell: Shell) -> String {
    let mut script = Vec::new();
    app.gen_completions_to(NAME, shell, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page for section 1, for man(7).
pub(super) fn page(app: App<'_, '_>, version: &str) -> String {
    // Asked for as on a command line, which is when clap orders the options. Width 0: no line of it is broken.
    let asked = app.set_term_width(0).get_matches_from_safe([NAME, "--help"]);
    let help = asked.err().map(|help| help.message).unwrap_or_default();
    // Without the versions of the engines, for which the foot of the page has no room.
    let version = escaped(version.split(' ').next().unwrap_or_default());
    let mut page = format!(".TH {} 1 \"\" \"{NAME} {version}\"\n", NAME.to_uppercase());
    for (index, paragraph) in paragraphs(&help).enumerate() {
        page.push_str(&section(index, &paragraph));
    }
    page
}

/// The paragraphs of the help, each as its lines.
fn paragraphs(help: &str) -> impl Iterator<Item = Vec<&str>> {
    help.split("\n\n").map(|paragraph| paragraph.lines().filter(|line| !line.is_empty()).collect())
}

/// One paragraph of the help as a section. The first has the program's name and what it is; those with indented lines a
/// heading, a word in capitals; what comes after the options is text.
fn section(index: usize, paragraph: &[&str]) -> String {
    let (first, rest) = match paragraph {
        [first, rest @ ..] => (*first, rest),
        [] => return String::new(),
    };
    if index == 0 {
        let about = rest.join(" ");
        return format!(".SH NAME\n{NAME} \\- {}\n", escaped(about.trim_end_matches('.')));
    }
    match first.trim_end_matches(':') {
        "USAGE" => {
            let usage: Vec<_> = rest.iter().map(|line| escaped(line.trim())).collect();
            format!(".SH SYNOPSIS\n{}\n", usage.join("\n.br\n"))
        }
        "SUBCOMMANDS" => list("COMMANDS", rest),
        "OPTIONS" => list("OPTIONS", rest),
        _ => {
            let text = paragraph.join("\n");
            match text.strip_prefix("Exit status: ") {
                Some(statuses) => format!(".SH EXIT STATUS\n{}\n", escaped(statuses)),
                None => format!(".SH ENVIRONMENT\n{}\n", escaped(&text)),
            }
        }
    }
}

/// A list of options or commands: the name, two blanks or more, and the description.
fn list(heading: &str, lines: &[&str]) -> String {
    let mut section = format!(".SH {heading}\n");
    for line in lines {
        let (name, description) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        section.push_str(&format!(".TP\n.B {}\n{}\n", escaped(name), escaped(description.trim())));
    }
    section
}

/// The text, with what means something to roff escaped, and each of its lines a line of text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_roff_is_escaped() {
        assert_eq!(escaped(".so /etc\n'x' a\\b --c"), "\\&.so /etc\n\\&'x' a\\eb \\-\\-c");
    }
}
