//! Two agents behind one HAProxy: nothing is lost while one of them dies or restarts, and a response finds the agent that has
//! its request.

use crate::support::agent::{Agent, rule_file};
use crate::support::client;
use crate::support::haproxy::{Haproxy, patient_spoe_file, repository};
use crate::support::waiting::{SetAtEnd, comes_true, wait_until};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Clients at a time.
const CLIENTS: usize = 4;

/// A stall is what ends with HAProxy's `timeout processing`, which is 20 s in the tests.
const STALL: Duration = Duration::from_secs(10);

/// What phase 1 keeps of the request decides about the response, so one that has lost its transaction passes.
const RULES: &str = r#"SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecAction "id:1,phase:1,pass,nolog,setvar:tx.word=%{ARGS.word}"
SecRule TX:word "@streq marked" "id:3,phase:3,deny,status:403,log"
SecRule RESPONSE_BODY "@contains secret" "id:4,phase:4,deny,status:403,log"
"#;

/// Two agents behind a HAProxy with deploy/haproxy/two-agents.
struct Site {
    agents: [Option<Agent>; 2],
    addresses: [String; 2],
    haproxy: Haproxy,
    rules: PathBuf,
    _folders: [TempDir; 2],
}

impl Site {
    fn start() -> Self {
        let (rules_folder, rules) = rule_file(RULES);
        let agents = [1, 2].map(|number| launch(number, "127.0.0.1:0", &rules));
        let addresses = agents.each_ref().map(|agent| agent.address().to_owned());
        let folder = tempfile::tempdir().unwrap();
        let sample = repository("deploy/haproxy/two-agents");
        let spoe = patient_spoe_file(&sample.join("spoe.conf"), folder.path());
        let variables =
            [("MODSEC_SPOE_CONF", spoe.to_str().unwrap()), ("MODSEC_AGENT_2", addresses[1].as_str())];
        let haproxy = Haproxy::start_from(&sample.join("haproxy.cfg"), &addresses[0], &variables);
        let site =
            Self { agents: agents.map(Some), addresses, haproxy, rules, _folders: [rules_folder, folder] };
        site.wait_until_up();
        site
    }

    /// Waits until HAProxy has found all agents well, and no request is refused for it.
    fn wait_until_up(&self) {
        let down = || {
            let statistics = self.haproxy.admin("show stat");
            let servers = statistics.lines().filter(|line| line.starts_with("modsecurity-agent"));
            servers.filter(|line| line.contains(",agent") && line.contains(",DOWN,")).count()
        };
        wait_until("all agents up", || down() == 0);
    }

    /// Ends this agent by this signal, waits until HAProxy knows it, starts it anew, and waits until HAProxy knows that.
    fn restart(&mut self, index: usize, signal: &str) {
        let mut agent = self.agents[index].take().unwrap();
        agent.signal(signal);
        agent.wait();
        drop(agent);
        self.agents[index] = Some(launch(index + 1, &self.addresses[index], &self.rules));
        self.wait_until_up();
    }

    fn get(&self, target: &str) -> client::Answer {
        client::curl(&["--connect-to", &format!("::{}", self.haproxy.v4)], target, &[]).0
    }
}

fn launch(number: usize, address: &str, rules: &std::path::Path) -> Agent {
    let name = format!("agent{number}");
    let options =
        ["-n", "2", "--responses", "1000", "--deadline", "10s", "--listen", address, "--name", &name];
    let options: Vec<_> = options.into_iter().chain(["-f", rules.to_str().unwrap()]).collect();
    // Its address may be taken for a moment by the one before.
    let mut started = None;
    wait_until("a free address", || {
        let agent = Agent::launch(&options, &[]);
        let is_ready = || !agent.log.lines_with(" ready, ").is_empty();
        let ended = || !agent.log.lines_with("ddress already in use").is_empty();
        assert!(comes_true(Duration::from_secs(30), || is_ready() || ended()));
        if is_ready() {
            started = Some(agent.ready());
        }
        started.is_some()
    });
    started.unwrap()
}

/// What is in HAProxy's lines of these requests.
fn counts(lines: &[String], name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap();
        *counts.entry(value.to_owned()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn each_response_finds_the_agent_that_has_its_request() {
    let site = Site::start();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let site = &site;
            scope.spawn(move || {
                for number in 0..300 / CLIENTS {
                    // Only who knows the request knows that it is marked.
                    let (word, status) = if number % 3 == 0 { ("marked", 403) } else { ("plain", 200) };
                    let answer = site.get(&format!("/say?words=hello&word={word}&number={client}-{number}"));
                    assert_eq!(answer.status, status, "{answer:?}");
                }
            });
        }
    });
    let lines = || site.haproxy.log.lines_with(" web ");
    wait_until("a line for each request", || lines().len() == 300);
    let (lost, agents) = (counts(&lines(), "modsec_lost"), counts(&lines(), "modsec_agent"));
    println!("lost: {lost:?}; agents: {agents:?}");
    assert_eq!(lost, BTreeMap::from([("0".to_owned(), 300)]));
    assert_eq!(agents.keys().collect::<Vec<_>>(), ["agent1", "agent2"], "both are used");
}

#[test]
fn agents_that_die_or_restart_cost_what_was_in_them_and_no_stall() {
    let mut site = Site::start();
    let (v4, stop) = (site.haproxy.v4, AtomicBool::new(false));
    let (waits, refused, done) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _stop = SetAtEnd(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let way = ["--connect-to", &format!("::{v4}")];
                    let answer = client::curl(&way, "/say?words=secret", &[]).0;
                    // Never what leaks, whoever has inspected it.
                    assert!(answer.status == 403 || answer.status == 503, "{answer:?}");
                    refused.fetch_add(usize::from(answer.status == 503), Ordering::Relaxed);
                    waits.lock().unwrap().push(begin.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let some_more = || {
            let goal = done.load(Ordering::Relaxed) + 40;
            wait_until("requests", || done.load(Ordering::Relaxed) >= goal);
        };
        some_more();
        for (index, signal) in [(0, "TERM"), (1, "TERM")] {
            site.restart(index, signal);
            some_more();
        }
        let after_stops = refused.load(Ordering::Relaxed);
        for (index, signal) in [(0, "KILL"), (1, "KILL")] {
            site.restart(index, signal);
            some_more();
        }
        stop.store(true, Ordering::Relaxed);
        println!(
            "refused: {after_stops} while agents stopped, {} while they were killed",
            refused.load(Ordering::Relaxed) - after_stops
        );
        // A request may come on a link just when the agent closes it.
        assert!(after_stops <= 2, "{:#?}", site.haproxy.log.lines_with(" 503 "));
    });
    let mut waits = waits.into_inner().unwrap();
    waits.sort();
    let (p99, longest) = (waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
    println!("{} requests, p99 {p99:?}, longest {longest:?}", waits.len());
    assert!(longest < STALL, "a request waited for an agent that is gone: {longest:?}");
    // A request and a response of each client may be in the agent that is killed.
    assert!(refused.into_inner() <= 2 * 2 * CLIENTS);
}
