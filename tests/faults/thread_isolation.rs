//! `--isolation thread`: what this form promises, with the same real faults as crashes.rs.

use crate::subject::{Subject, attack, clean, faulty};
use crate::support::process::{engine, signal};
use crate::support::waiting::wait_until;
use std::time::{Duration, Instant};

/// An engine in a thread, and a long deadline: only faults are the matter here.
fn subject(options: &[&str]) -> Subject {
    Subject::with_options(&[&["--isolation", "thread", "--deadline", "10s"], options].concat())
}

/// The lines of the log that contain this.
fn told(subject: &Subject, text: &str) -> usize {
    subject.agent.log.lines_with(text).len()
}

/// The request of the fault is settled at once; then the process is another, on the same socket, and works.
#[track_caller]
fn is_survived(kind: &str, name: &str) {
    let subject = subject(&[]);
    for round in 1..=3 {
        let mut link = subject.agent.link();
        assert_eq!(link.ask(&clean(round)).code(), Some(0));
        let start = Instant::now();
        let ack = link.ask(&faulty(kind, round));
        assert_eq!((ack.code(), ack.error()), (None, Some("crash")));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(link.expect_farewell().code, 0, "the link is closed as in any stop");
        // The socket never closes: this waits in it for the new process.
        let mut link = subject.agent.link();
        assert_eq!(link.ask(&clean(100 + round)).code(), Some(0));
        assert_eq!(link.ask(&attack(100 + round)).code(), Some(403));
        wait_until("the log tells", || told(&subject, " replacing the process") == round as usize);
    }
    assert_eq!(told(&subject, " tainted: an engine faulted"), 3);
    for line in subject.crashes().iter().filter(|line| line.contains("engine thread got")) {
        assert!(line.contains(name) && line.contains("uri=\"/shop?item="), "{line}");
    }
}

#[test]
fn writing_to_null_is_survived() {
    is_survived("null", "SIGSEGV");
}

#[test]
fn abort_is_survived() {
    is_survived("abort", "SIGABRT");
}

#[test]
fn a_stack_overflow_is_survived() {
    is_survived("stack", "SIGSEGV");
}

#[test]
fn freeing_twice_is_survived() {
    is_survived("free", "SIGABRT");
}

#[test]
fn a_drop_without_what_it_closes_is_survived() {
    if engine() == 2 {
        is_survived("drop", "SIGSEGV");
    } else {
        println!("libmodsecurity 3 closes nothing itself: its `drop` follows no pointer");
    }
}

#[test]
fn an_exception_costs_one_request_and_no_process() {
    if engine() == 2 {
        println!("ModSecurity 2.9 is written in C: it throws nothing");
        return;
    }
    let subject = subject(&[]);
    let mut link = subject.agent.link();
    assert_eq!(link.ask(&faulty("throw", 1)).error(), Some("engine"));
    assert_eq!(link.ask(&clean(2)).code(), Some(0));
    assert_eq!(told(&subject, " tainted"), 0);
}

#[test]
fn an_endless_loop_is_left_behind_with_the_process() {
    let subject = subject(&["--engine-limit", "100ms"]);
    let mut link = subject.agent.link();
    assert_eq!(link.ask(&faulty("spin", 1)).error(), Some("timeout"));
    assert_eq!(subject.agent.link().ask(&clean(2)).code(), Some(0));
    wait_until("the log tells", || told(&subject, " replacing the process") == 1);
}

#[test]
fn what_the_other_threads_have_is_finished_first() {
    let subject = subject(&[]);
    let mut link = subject.agent.link();
    // One write: all of it is read before the fault is.
    let mut bytes = Vec::new();
    for number in 1..=40 {
        let message = match number {
            20 => faulty("null", number),
            number if number % 2 == 0 => attack(number),
            number => clean(number),
        };
        bytes.extend(message.notify(number, 1).encode());
    }
    link.send_bytes(&bytes);
    for _ in 1..=40 {
        let ack = link.expect_ack();
        match ack.code() {
            Some(0) => assert_eq!(ack.stream % 2, 1, "{ack:?}"),
            Some(403) => assert_eq!(ack.stream % 2, 0, "{ack:?}"),
            _ => assert!(ack.error().is_some(), "{ack:?}"),
        }
    }
    assert_eq!(link.expect_farewell().code, 0);
}

#[test]
fn a_fault_outside_engine_code_ends_the_process_as_ever() {
    let subject = subject(&[]);
    assert_eq!(subject.agent.link().ask(&clean(1)).code(), Some(0));
    // The main thread gets a signal that is sent to the process. The first restores the default action, as the fault
    // itself would come again.
    let pid = subject.agent.pid();
    wait_until("the agent ends", || {
        signal(pid, "SEGV");
        !std::path::Path::new(&format!("/proc/{pid}")).exists() || state(pid) == 'Z'
    });
}

/// The state of a process, as /proc has it.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('Z')
}

#[test]
fn nothing_piles_up_over_many_replacements() {
    let subject = subject(&[]);
    let descriptors = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let replace = |number: u64| {
        assert_eq!(subject.agent.link().ask(&faulty("null", number)).error(), Some("crash"));
        assert_eq!(subject.agent.link().ask(&clean(number)).code(), Some(0));
    };
    replace(0);
    wait_until("the log tells", || told(&subject, " ready, ") == 2);
    let before = descriptors(subject.agent.pid());
    (1..=10).for_each(replace);
    wait_until("the log tells", || told(&subject, " ready, ") == 12);
    assert!(descriptors(subject.agent.pid()) <= before + 2, "{before} descriptors have become more");
}
