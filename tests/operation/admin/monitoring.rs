//! deploy/monitoring/ and its page in the guide, held against what a real agent answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::Subject;
use super::metrics::promtool;

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// Every name in this text that begins as the agent's metrics do.
fn names(text: &str) -> BTreeSet<&str> {
    let ends = |character: char| !character.is_ascii_alphanumeric() && character != '_';
    let names = text.match_indices("modsecurity_spoa_").map(|(at, _)| text[at..].split(ends).next().unwrap());
    names.collect()
}

/// The names of the samples of a real agent, and of its families, which are shorter where they are histograms.
fn real() -> (BTreeSet<String>, BTreeSet<String>) {
    let subject = Subject::start(&[]);
    let metrics = subject.get("/metrics").body;
    let (mut samples, mut families) = (BTreeSet::new(), BTreeSet::new());
    for line in metrics.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(family) => families.insert(family.split(' ').next().unwrap().to_owned()),
            None if line.starts_with('#') => false,
            None => samples.insert(line.split(['{', ' ']).next().unwrap().to_owned()),
        };
    }
    (samples, families)
}

#[test]
fn each_alert_and_each_query_is_of_metrics_that_there_are() {
    let (samples, _) = real();
    for file in ["deploy/monitoring/alerts.yml", "deploy/monitoring/grafana.json"] {
        let text = read(file);
        let used = names(&text);
        assert!(used.len() > 5, "{file} uses only {used:?}");
        let unknown: Vec<_> = used.into_iter().filter(|name| !samples.contains(*name)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{file}: no agent has these");
    }
}

#[test]
fn promtool_takes_the_alerts_and_the_queries_of_the_dashboard() {
    for words in [
        ["check", "rules", "deploy/monitoring/alerts.yml"],
        ["check", "config", "deploy/monitoring/prometheus.yml"],
    ] {
        let path = repository(words[2]);
        promtool(&[words[0], words[1], path.to_str().unwrap()], "");
    }
    // As rules, so that promtool reads each query: Grafana fills its variables in.
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/monitoring/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<_> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(queries.len() > 20, "only {} queries", queries.len());
    let rules = queries.iter().enumerate().map(|(number, query)| {
        let query =
            query["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$instance", ".*");
        serde_json::json!({ "record": format!("query:{number}"), "expr": query })
    });
    let rules =
        serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}

#[test]
fn the_guide_has_each_metric_and_no_other() {
    let (_, families) = real();
    let guide = read("deploy/guide/monitoring.md");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `modsecurity_spoa_"));
    let rows: BTreeSet<_> =
        rows.map(|row| format!("modsecurity_spoa_{}", row.split('`').next().unwrap())).collect();
    assert_eq!(rows, families);
}
