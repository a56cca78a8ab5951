//! What it costs to find the operators that match a value, for values as clean requests have them.
//!
//! `cargo bench --bench matching`; `SCREEN_RULES` names another folder of rules than that of the installed Core Rule Set.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, unreachable_pub, missing_docs)]

#[path = "../differential/screen_match/rule_sets.rs"]
mod rule_sets;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use modsecurity_spoa::rules::version::EngineVersion;
use modsecurity_spoa::screen::automaton::{Candidates, Pattern, Scanner};
use modsecurity_spoa::screen::operators::{Context, Match, Operator, OperatorCache};

const VALUES: [(&str, &str); 12] = [
    ("word", "checkout"),
    ("number", "1234567"),
    ("path", "/products/shoes/running-shoe-42.html"),
    (
        "user agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("cookie", "GA1.2.1466532712.1718793622"),
    (
        "token",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    ),
    ("mail", "jane.doe@example.com"),
    ("sentence", "I would like to order two of the blue ones, and please send the invoice to my office."),
    ("referer", "https://www.example.com/shop/category?page=2&sort=price"),
    ("german", "Können Sie mir bitte bis Freitag sagen, ob die Größe 42 wieder lieferbar ist? Danke, Jürgen"),
    ("text 2 KB", ""),
];

const TEXT: &str = "Dear team, last week I ordered a table and four chairs, and when the delivery came on Monday one of the chairs was missing. \
The driver told me that it would come from another warehouse within a day or so; it has not come, and nobody answers the telephone. \
Could you look into it and tell me when I can expect it? If it is not available any more I would take a similar one in dark brown (oak or walnut), \
or have the money back. My order number is 2024-118/7, the invoice says $1,249.00. Thank you - Anna. ";

struct Rules {
    written: Vec<rule_sets::Written>,
    operators: Vec<Operator>,
}

fn read(version: EngineVersion) -> Rules {
    let folder = std::env::var_os("SCREEN_RULES").unwrap_or("/usr/share/modsecurity-crs/rules".into());
    let mut rules = Rules { written: Vec::new(), operators: Vec::new() };
    for written in rule_sets::operators(&PathBuf::from(folder)) {
        let context =
            Context { version, folder: &written.folder, match_limit: Some(500_000), depth_limit: None };
        let argument = written.argument(version == EngineVersion::V2);
        if let Ok(operator) = Operator::compile(&written.name, &argument, written.is_negated, &context) {
            rules.operators.push(operator);
            rules.written.push(written);
        }
    }
    rules
}

/// Nanoseconds of one call, the best of several rounds.
fn time(mut call: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..200 {
            call();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / 200.0);
    }
    best
}

fn main() {
    let is_verbose = std::env::args().any(|argument| argument == "--verbose");
    for &version in EngineVersion::BUILT {
        let start = Instant::now();
        let rules = read(version);
        let compiled = start.elapsed();
        let patterns: Vec<Pattern> = rules.operators.iter().map(Operator::pattern).collect();
        let start = Instant::now();
        let scanner = Scanner::new(&patterns).unwrap();
        let built = start.elapsed();
        let mut own = scanner.cache();
        let mut cache = OperatorCache::default();
        let mut candidates = Candidates::new(patterns.len());
        let mut always = Candidates::new(patterns.len());
        scanner.scan(&mut own, b"", &mut always);
        println!(
            "\n{version}: {} operators compiled in {compiled:?}, scanner built in {built:?}: literals, states, always {:?}, {} KB",
            rules.operators.len(),
            scanner.kinds(),
            scanner.memory() / 1024
        );
        println!(
            "{:12} {:>6} {:>9} {:>8} {:>11} {:>9}",
            "value", "bytes", "scan ns", "ns/byte", "candidates", "verify ns"
        );
        for (name, value) in VALUES {
            let value = if value.is_empty() { TEXT.repeat(4) } else { value.to_owned() };
            let first = Instant::now();
            scanner.scan(&mut own, value.as_bytes(), &mut candidates);
            let first = first.elapsed();
            let scan = time(|| scanner.scan(&mut own, black_box(value.as_bytes()), &mut candidates));
            let worth: Vec<usize> = candidates
                .iter()
                .filter(|&number| !always.contains(number) && !matches!(patterns[number], Pattern::Always))
                .collect();
            let verify = time(|| {
                for &number in &worth {
                    black_box(rules.operators[number].matches(&mut cache, value.as_bytes()));
                }
            });
            println!(
                "{name:12} {:6} {scan:9.0} {:8.2} {:11} {verify:9.0}   first {first:?}",
                value.len(),
                scan / value.len() as f64,
                worth.len()
            );
            if is_verbose {
                for number in worth {
                    let found = rules.operators[number].matches(&mut cache, value.as_bytes());
                    let is = if found == Match::No { "no " } else { "YES" };
                    let cost = time(|| {
                        black_box(rules.operators[number].matches(&mut cache, value.as_bytes()));
                    });
                    println!(
                        "    {is} {cost:6.0} {}",
                        rules.written[number].text().chars().take(150).collect::<String>()
                    );
                }
            }
        }
        println!("own cache: {} KB", own.memory() / 1024);
    }
}
