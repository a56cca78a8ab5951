//! What the supervision tree promises, on real sockets and real threads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use actors::TreeSettings;
use actors::spop::FrameType;
use support::{PATIENCE, Tree, settings};

#[test]
fn a_worker_that_panics_is_replaced_and_only_its_request_is_lost() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    for round in 1..=3 {
        assert_eq!(client.ask(&format!("panic {round}")), "crash");
        for _ in 0..10 {
            assert_eq!(client.ask("work"), "done");
        }
        tree.log.wait_for("worker restarted", round);
    }
    let crashes = tree.log.wait_for("worker crashed", 3);
    assert!(crashes[0].contains("generation=1") && crashes[0].contains("as ordered"), "{}", crashes[0]);
    assert!(tree.log.wait_for("worker restarted", 3)[0].contains("generation=2"));
    assert!(tree.log.wait_for("request not inspected error=crash", 1)[0].contains("order=panic 1"));
}

#[test]
fn workers_that_all_crash_at_once_all_come_back() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    for stream in 0..12 {
        client.order(stream, &format!("panic {stream}"));
        assert_eq!(client.ack(), (stream, "crash".to_owned()));
    }
    tree.log.wait_for("worker restarted", 12);
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn an_error_of_the_engine_costs_no_worker() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    assert_eq!(client.ask("fail"), "engine");
    assert_eq!(client.ask("work"), "done");
    tree.log.wait_for("request not inspected error=engine", 1);
}

/// Cheap requests go to an engine together. Whichever of them it dies of, it takes none of the others along.
#[test]
fn only_the_one_that_kills_the_engine_is_lost_of_those_that_it_has_together() {
    let tree = Tree::start(TreeSettings { workers: 1, queue: 100, ..settings() }, 0);
    let mut client = tree.connect();
    let start = Instant::now();
    for round in 0.. {
        let mut orders = vec![("work".to_owned(), "done"); 6];
        orders.insert(3, (format!("panic {round}"), "crash"));
        orders.extend(vec![("work".to_owned(), "done"); 6]);
        orders.insert(8, (format!("die {round}"), "timeout"));
        orders.insert(10, ("fail".to_owned(), "engine"));
        orders.insert(12, ("dawdle".to_owned(), "done"));
        for (stream, (order, _)) in orders.iter().enumerate() {
            client.order(stream as u64, order);
        }
        let mut answers: Vec<_> = orders.iter().map(|_| client.ack()).collect();
        answers.sort();
        let expected = orders.iter().enumerate();
        let expected: Vec<_> =
            expected.map(|(stream, (_, answer))| (stream as u64, (*answer).to_owned())).collect();
        assert_eq!(answers, expected, "round {round}");
        let amid = tree.agent.amid.lock().unwrap().clone();
        if ["panic", "die", "fail", "dawdle"].iter().all(|word| amid.contains(*word)) {
            tree.log.wait_for("worker restarted", 2 * (round + 1));
            let crashes = tree.log.wait_for("worker crashed", 2 * (round + 1));
            assert!(
                crashes.iter().any(|line| line.contains(&format!("order=panic {round}"))),
                "{crashes:#?}"
            );
            return;
        }
        assert!(start.elapsed() < PATIENCE, "after {round} rounds only these were together: {amid:?}");
    }
}

#[test]
fn a_notify_that_is_not_understood_is_answered() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    client.send(FrameType::Notify, actors::spop::FrameId { stream: 3, frame: 1 }, b"\xFFgarbage");
    assert_eq!(client.ack(), (3, "invalid".to_owned()));
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn acks_do_not_wait_for_each_other() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    client.order(2, "work");
    assert_eq!(client.ack(), (2, "done".to_owned()));
    tree.gate.open();
    assert_eq!(client.ack(), (1, "done".to_owned()));
}

#[test]
fn a_worker_takes_its_own_jobs_first_and_those_of_a_lane_in_order() {
    let tree = Tree::start(TreeSettings { workers: 1, queue: 100, ..settings() }, 0);
    let mut client = tree.connect();
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    for stream in 2..5 {
        client.order(stream, "work");
    }
    client.order(5, "work for 1");
    client.order(6, "work for 1");
    client.await_read();
    tree.gate.open();
    let order: Vec<_> = (0..6).map(|_| client.ack().0).collect();
    assert_eq!(order, [1, 5, 6, 2, 3, 4]);
}

#[test]
fn what_does_not_fit_in_the_queue_is_answered_at_once() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    for stream in 0..2 {
        client.order(stream, "wait");
    }
    tree.gate.await_waiting(2);
    for stream in 2..7 {
        client.order(stream, "work");
    }
    assert_eq!(client.ack(), (6, "overload".to_owned()), "the queue has room for four");
    tree.gate.open();
    let mut rest: Vec<_> = (0..6).map(|_| client.ack()).collect();
    rest.sort();
    assert_eq!(rest, (0..6).map(|stream| (stream, "done".to_owned())).collect::<Vec<_>>());
}

#[test]
fn an_engine_that_had_to_be_ended_is_replaced_too() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    assert_eq!(client.ask("die"), "timeout");
    assert!(tree.log.wait_for("worker crashed", 1)[0].contains("took too long, as ordered"));
    tree.log.wait_for("worker restarted", 1);
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn what_is_overdue_is_answered_then_and_not_by_its_engine() {
    let deadline = Duration::from_secs(1);
    let tree = Tree::start(TreeSettings { deadline, workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    let start = Instant::now();
    // One in the engine, one in the queue.
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    client.order(2, "panic if you are run");
    let mut answers = [client.ack(), client.ack()];
    answers.sort();
    assert_eq!(answers, [(1, "timeout".to_owned()), (2, "timeout".to_owned())]);
    assert!(start.elapsed() >= deadline);
    tree.gate.open();
    // Until the worker has passed over the second, that stands in front of whatever comes.
    let mut answer = client.ask("work");
    while answer == "overload" && start.elapsed() < PATIENCE {
        answer = client.ask("work");
    }
    assert_eq!(answer, "done", "the worker lives");
    let logged = tree.log.wait_for("", 1);
    assert!(!logged.iter().any(|line| line.contains("worker crashed")), "it was run: {logged:#?}");
}

#[test]
fn what_would_be_too_late_is_refused_at_once() {
    let settings =
        TreeSettings { workers: 1, queue: 100, throttle: Duration::from_millis(100), ..settings() };
    let tree = Tree::start(TreeSettings { deadline: Duration::from_millis(350), ..settings }, 0);
    let mut client = tree.connect();
    for stream in 0..10 {
        client.order(stream, "work");
    }
    let answers: Vec<_> = (0..10).map(|_| client.ack()).collect();
    let refused = answers.iter().filter(|(_, answer)| answer == "overload").count();
    assert_eq!(answers[0].1, "overload", "before the first is done");
    assert!(refused >= 6 && answers.iter().any(|(_, answer)| answer == "done"), "{answers:?}");
}

#[test]
fn when_jobs_wait_a_client_with_more_than_its_share_is_refused_and_others_are_not() {
    // At a second for each job 12 s may wait for the two workers: 9 s for a client that is alone.
    let settings = TreeSettings {
        throttle: Duration::from_secs(1),
        deadline: Duration::from_millis(7500),
        ..settings()
    };
    let tree = Tree::start(TreeSettings { queue: 100, ..settings }, 0);
    let mut client = tree.connect();
    for stream in 0..2 {
        client.order(stream, "wait from 1");
    }
    tree.gate.await_waiting(2);
    for stream in 2..20 {
        client.order(stream, "work from 1");
    }
    let refused: Vec<_> = (9..20).map(|_| client.ack()).collect();
    assert_eq!(refused, (9..20).map(|stream| (stream, "overload".to_owned())).collect::<Vec<_>>());
    let causes = tree.log.wait_for("error=overload", 1);
    assert!(causes[0].contains("fairness") && causes[0].contains("order=work from 1"), "{causes:?}");
    // Another client still finds room, and a third one.
    client.order(20, "work from 2");
    client.order(21, "work from 3");
    client.order(22, "work from 1");
    assert_eq!(client.ack(), (22, "overload".to_owned()));
}

#[test]
fn a_reload_happens_between_two_jobs_and_loses_none() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    for stream in 0..4 {
        client.order(stream, "wait");
    }
    tree.gate.await_waiting(2);
    tree.reload();
    let mut other = tree.connect();
    assert_eq!(*tree.agent.reloads.done.lock().unwrap(), 0, "both engines have a request");
    tree.gate.open();
    let start = Instant::now();
    while *tree.agent.reloads.done.lock().unwrap() < settings().workers {
        for worker in 1..=settings().workers {
            assert_eq!(other.ask(&format!("work for {worker}")), "done");
        }
        assert!(start.elapsed() < PATIENCE);
    }
    let mut answers: Vec<_> = (0..4).map(|_| client.ack()).collect();
    answers.sort();
    assert_eq!(answers, (0..4).map(|stream| (stream, "done".to_owned())).collect::<Vec<_>>());
    let logged = tree.log.wait_for("", 1);
    assert!(!logged.iter().any(|line| line.contains("worker crashed")), "{logged:#?}");
}

#[test]
fn a_reload_that_fails_costs_a_restart_and_no_request() {
    let tree = Tree::start(TreeSettings { workers: 1, ..settings() }, 0);
    let mut client = tree.connect();
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    client.order(2, "work");
    client.await_read();
    *tree.agent.reloads.to_fail.lock().unwrap() = true;
    tree.reload();
    tree.gate.open();
    assert_eq!([client.ack(), client.ack()], [(1, "done".to_owned()), (2, "done".to_owned())]);
    assert!(tree.log.wait_for("worker crashed", 1)[0].contains("false reload"));
    tree.log.wait_for("worker restarted", 1);
    assert_eq!(client.ask("work"), "done");
}

#[test]
fn the_throttle_bounds_the_rate() {
    let throttle = Duration::from_millis(20);
    let tree = Tree::start(TreeSettings { throttle, queue: 100, ..settings() }, 0);
    let mut client = tree.connect();
    let start = Instant::now();
    for stream in 0..20 {
        client.order(stream, "work");
    }
    for _ in 0..20 {
        assert_eq!(client.ack().1, "done");
    }
    // 20 messages, 2 workers: ten waits each. A lower bound, so a slow machine cannot break it.
    assert!(start.elapsed() >= throttle * 10, "{:?}", start.elapsed());
}

#[test]
fn a_stop_answers_what_is_in_flight_and_then_disconnects() {
    let tree = Tree::start(settings(), 0);
    let mut client = tree.connect();
    for stream in 0..4 {
        client.order(stream, "wait");
    }
    tree.gate.await_waiting(2);
    tree.stop();
    tree.gate.open();
    let mut answers: Vec<_> = (0..4).map(|_| client.ack()).collect();
    answers.sort();
    assert_eq!(answers, (0..4).map(|stream| (stream, "done".to_owned())).collect::<Vec<_>>());
    let goodbye = client.receive().unwrap();
    assert_eq!(goodbye.kind, FrameType::AgentDisconnect);
    assert_eq!(&goodbye.payload[..14], b"\x0Bstatus-code\x03\x00", "status 0");
    assert!(client.receive().is_none(), "then the link is closed");
    tree.join();
}

#[test]
fn what_is_not_done_within_the_grace_is_answered_as_shutdown() {
    let tree = Tree::start(TreeSettings { grace: Duration::from_millis(50), ..settings() }, 0);
    let mut client = tree.connect();
    client.order(1, "wait");
    tree.gate.await_waiting(1);
    tree.stop();
    assert_eq!(client.ack(), (1, "shutdown".to_owned()));
    assert_eq!(client.receive().unwrap().kind, FrameType::AgentDisconnect);
}

#[test]
fn a_link_that_only_connects_and_closes_is_quiet() {
    let tree = Tree::start(settings(), 0);
    drop(TcpStream::connect(tree.address).unwrap());
    assert_eq!(tree.connect().ask("work"), "done");
    let logged = tree.log.wait_for("", 1);
    assert!(!logged.iter().any(|line| line.contains("broke the protocol")), "{logged:?}");
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_and_closed_and_logged_within_bounds() {
    let tree = Tree::start(settings(), 0);
    for _ in 0..50 {
        let mut stream = TcpStream::connect(tree.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer[4], 102, "an AGENT-DISCONNECT");
    }
    let first = tree.log.wait_for("link closed, the peer broke the protocol", 1);
    assert!(first[0].contains("frame is too big (3)"), "{}", first[0]);
    tree.log.wait_for("more links closed", 1);
    let lines = tree.log.wait_for("broke the protocol", 2);
    assert!(lines.len() < 10, "{lines:?}");
}
