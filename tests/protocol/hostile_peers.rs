//! Do peers that are slow, never read, come in thousands or have the wrong door harm nobody but themselves?
//!
//! What the agent gives them is 10 seconds; no test waits for longer, and those that do so run at the same time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::agent::{Agent, rule_file};
use crate::support::log::Log;
use crate::support::process::{AGENT, clean_environment, end, guarded, signal, spawn};
use crate::support::spop::{Link, Message, hello, hello_frame};
use crate::support::waiting::{SetAtEnd, wait_until};
use crate::support::wire::{Frame, NOTIFY};

const RULES: &str = "SecRuleEngine On\n";

/// What the agent allows for a HELLO, for the rest of a frame, and for reading.
const TIMEOUT: Duration = Duration::from_secs(10);

fn good() -> Message {
    Message::get("/", None)
}

#[track_caller]
fn assert_serves(link: &mut Link) {
    assert_eq!(link.ask(&good()).code(), Some(0));
}

/// Sends this on a link and then nothing: what the DISCONNECT says, and after how long it came.
fn refusal(mut link: Link, bytes: &[u8]) -> (i64, Duration) {
    link.send_bytes(bytes);
    let start = Instant::now();
    (link.expect_farewell().code, start.elapsed())
}

#[track_caller]
fn assert_timed_out((code, after): (i64, Duration)) {
    assert_eq!(code, 2);
    assert!(after > TIMEOUT - Duration::from_secs(1), "not given its time: closed after {after:?}");
}

#[test]
fn a_hello_that_does_not_come_is_refused_with_2() {
    let agent = Agent::with_rules(RULES, &[]);
    let hello = hello_frame(hello()).encode();
    thread::scope(|scope| {
        for length in [0, 1, 4, 11, hello.len() - 1] {
            let (agent, hello) = (&agent, &hello);
            scope.spawn(move || assert_timed_out(refusal(agent.connect(), &hello[..length])));
        }
    });
    assert_serves(&mut agent.link());
}

#[test]
fn a_frame_that_is_not_completed_is_refused_with_2_and_nothing_else_is_timed() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut idle = agent.link();
    let mut idle_after_work = agent.link();
    assert_serves(&mut idle_after_work);
    let frame = good().notify(1, 1).encode();
    thread::scope(|scope| {
        let agent = &agent;
        for length in [1, 3, 4, 5, 9, frame.len() - 1] {
            let frame = &frame;
            scope.spawn(move || assert_timed_out(refusal(agent.link(), &frame[..length])));
        }
        scope.spawn(|| drip(agent, &frame));
        scope.spawn(|| always_begun(agent));
    });
    assert_serves(&mut idle);
    assert_serves(&mut idle_after_work);
    assert!(
        agent.log.wait_for_text("the peer broke the protocol").contains("the rest of a frame does not come")
    );
}

/// A byte now and then does not buy more time.
fn drip(agent: &Agent, frame: &[u8]) {
    let stream = TcpStream::connect(agent.address()).unwrap();
    let mut drops = stream.try_clone().unwrap();
    let mut link = Link::over(stream);
    link.shake_hands();
    let ended = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for byte in frame {
                if ended.load(Ordering::Relaxed) || drops.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(200));
            }
        });
        let _end = SetAtEnd(&ended);
        assert_timed_out((link.expect_farewell().code, start.elapsed()));
    });
}

/// A link that always has half a frame, but of another one each time, is a busy one.
fn always_begun(agent: &Agent) {
    let mut link = agent.link();
    let (start, mut number) = (Instant::now(), 1);
    let half = |number: u64| {
        let frame = good().notify(number, 1).encode();
        (frame[..frame.len() / 2].to_vec(), frame[frame.len() / 2..].to_vec())
    };
    link.send_bytes(&half(number).0);
    while start.elapsed() < TIMEOUT + Duration::from_secs(1) {
        link.send_bytes(&[half(number).1, half(number + 1).0].concat());
        let ack = link.expect_ack();
        assert_eq!((ack.stream, ack.code()), (number, Some(0)));
        number += 1;
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_peer_that_never_reads_is_closed_and_harms_nobody_else() {
    let agent = Agent::with_rules(RULES, &[]);
    assert_serves(&mut agent.link());
    let memory = agent.front_resident_kib();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let (mut link, mut served) = (agent.link(), 0);
            while !ended.load(Ordering::Relaxed) {
                assert_serves(&mut link);
                served += 1;
            }
            served
        });
        let (blocked, most) = {
            let _end = SetAtEnd(&ended);
            never_read(&agent)
        };
        println!("closed after {blocked:?}; {} requests of another link served", served.join().unwrap());
        println!("resident memory: {memory} KiB before, at most {most} KiB meanwhile");
        assert!(blocked > TIMEOUT - Duration::from_secs(2), "not given its time: closed after {blocked:?}");
        assert!(most < memory + 16_000, "resident memory grew from {memory} to {most} KiB");
    });
    let line = agent.log.wait_for("that it does not read", |line| line.contains("it does not read"));
    assert!(line.contains(" WARN "), "{line}");
    assert_serves(&mut agent.link());
}

/// Sends what is answered and reads nothing until the link is closed: for how long nothing more was taken, and how much
/// memory the agent had at most.
fn never_read(agent: &Agent) -> (Duration, u64) {
    let mut stream = TcpStream::connect(agent.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(&hello_frame(hello()).encode()).unwrap();
    let broken: Vec<u8> = (1..1000).flat_map(|id| Frame::new(NOTIFY, id, 1, vec![0xFF]).encode()).collect();
    let (mut position, mut taken, mut most) = (0, Instant::now(), 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match stream.write(&broken[position..]) {
            Ok(count) => {
                taken = Instant::now();
                position = (position + count) % broken.len();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                most = most.max(agent.front_resident_kib());
            }
            Err(_) => return (taken.elapsed(), most),
        }
        assert!(Instant::now() < deadline, "the link is not closed");
    }
}

#[test]
fn ten_thousand_idle_links_are_held_and_the_agent_serves() {
    let hard = raise_own_limit();
    let wanted = 10_000.min(hard.saturating_sub(500));
    let agent = Agent::with_rules(RULES, &[]);
    assert_serves(&mut agent.link());
    let memory = agent.front_resident_kib();
    let mut links: Vec<_> = (0..wanted).map(|_| agent.link()).collect();
    let full = agent.front_resident_kib();
    let each = (full - memory) * 1024 / wanted as u64;
    println!("{wanted} links: resident memory {memory} KiB before, {full} KiB with them: {each} bytes each");
    assert_serves(&mut agent.link());
    for link in links.iter_mut().step_by(997) {
        assert_serves(link);
    }
    assert!(each < 4 * 1024, "{each} bytes for an idle link");
    drop(links);
    assert_serves(&mut agent.link());
}

/// The links of a test take descriptors of this process too. Gives how many there may be.
fn raise_own_limit() -> usize {
    let pid = std::process::id().to_string();
    let limit = |what: &[&str]| {
        let mut command = Command::new("prlimit");
        let output = command.args(["--pid", &pid, "--raw", "--noheadings"]).args(what).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let hard = limit(&["--nofile", "-o", "HARD"]).trim().to_owned();
    limit(&[&format!("--nofile={hard}:{hard}")]);
    hard.parse().unwrap_or(usize::MAX)
}

/// Sets how many descriptors the agent may have.
fn limit_descriptors(agent: &Agent, limit: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &agent.pid().to_string(), &format!("--nofile={limit}")])
        .status();
    assert!(status.unwrap().success());
}

/// Descriptors that links leave to the rest of the agent with five workers.
const LEFT_TO_ENGINES: usize = 16 + 4 * 5;

#[test]
fn links_leave_the_descriptors_that_engines_need() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    let used = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    limit_descriptors(&agent, &format!("{}:", used + 60));
    let _waiting: Vec<_> = (0..100).map(|_| agent.connect()).collect();
    agent.log.wait_for_text("cannot accept links");
    for engine in agent.engines() {
        signal(engine, "KILL");
    }
    wait_until("all engines again", || agent.log.lines_with(" worker restarted, ").len() >= 5);
    assert_serves(&mut link);
    let failed = agent.log.lines_with("engine did not start");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn without_descriptors_links_go_on_the_log_says_so_once_and_accepting_recovers() {
    let agent = Agent::with_rules(RULES, &[]);
    let mut link = agent.link();
    assert_serves(&mut link);
    let used = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    limit_descriptors(&agent, &format!("{}:", used + 8 + LEFT_TO_ENGINES));
    let mut waiting: Vec<_> = (0..30).map(|_| agent.connect()).collect();
    let line = agent.log.wait_for_text("cannot accept links");
    assert!(line.contains(" ERRO ") && line.contains("Too many open files"), "{line}");
    // Each that goes lets another in, and then there is none again.
    for _ in 0..10 {
        drop(waiting.remove(0));
        waiting[0].shake_hands();
        assert_serves(&mut waiting[0]);
        assert_serves(&mut link);
        waiting.push(agent.connect());
    }
    assert_eq!(
        agent.log.lines_with("accepting links again").len(),
        0,
        "it is not over yet: {:#?}",
        agent.log.lines()
    );
    drop(waiting);
    assert_serves(&mut agent.link());
    assert_serves(&mut link);
    // The next link that comes later says so.
    wait_until("links to be accepted again", || {
        assert_serves(&mut agent.link());
        !agent.log.lines_with("accepting links again").is_empty()
    });
    let (_, log) = agent.stop();
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!((lines("cannot accept links"), lines("accepting links again")), (1, 1), "{log:#?}");
}

#[test]
fn the_limit_of_descriptors_is_raised_and_a_low_one_is_in_the_log() {
    let (_folder, rules) = rule_file(RULES);
    let mut command = guarded("prlimit");
    command.args(["--nofile=64:300", AGENT, "--listen", "127.0.0.1:0", "-f", rules.to_str().unwrap()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    clean_environment(&mut command);
    let mut child = spawn(command);
    let log = Log::follow(child.stderr.take().unwrap());
    log.wait_for_text(" ready, ");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    end(&mut child);
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["300", "300"]);
    let lines = log.lines_with("few descriptors");
    assert!(lines.len() == 1 && lines[0].contains(" WARN ") && lines[0].contains("limit: 300"), "{lines:?}");
    // Where there are enough, nothing is said.
    assert_eq!(Agent::with_rules(RULES, &[]).log.lines_with("few descriptors"), Vec::<String>::new());
}

#[test]
fn what_has_the_wrong_door_is_called_by_its_name() {
    for (bytes, name) in [
        (&b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"[..], "the peer speaks HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the peer speaks HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", "the peer speaks TLS"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n", "the peer speaks the PROXY protocol"),
    ] {
        let agent = Agent::with_rules(RULES, &["-n", "1"]);
        let mut stream = TcpStream::connect(agent.address()).unwrap();
        stream.write_all(bytes).unwrap();
        let line = agent.log.wait_for_text("link closed, the peer broke the protocol");
        assert!(line.contains(" WARN ") && line.contains(name), "{line}");
    }
}

#[test]
fn http_and_tls_at_the_port_cost_a_line_a_second_at_most() {
    let agent = Agent::with_rules(RULES, &[]);
    let tls = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"[..], &[0xAB; 506]].concat();
    let start = Instant::now();
    for number in 0..400 {
        let mut stream = TcpStream::connect(agent.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let bytes = if number % 2 == 0 { &b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"[..] } else { &tls };
        stream.write_all(bytes).unwrap();
        // Its DISCONNECT is the last that it says, and it echoes nothing.
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.len() < 100 && answer[4] == 102, "{}", answer.escape_ascii());
    }
    assert_serves(&mut agent.link());
    let seconds = start.elapsed().as_secs() as usize + 2;
    let (_, log) = agent.stop();
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    // The first of each second, and how many came after it.
    let (first, more) = (lines("link closed, the peer broke"), lines("more links closed"));
    assert!(
        first >= 1 && more >= 1 && first <= seconds && more <= seconds,
        "{first} and {more} lines in {seconds} s"
    );
}
