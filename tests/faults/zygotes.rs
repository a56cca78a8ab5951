//! Does the agent survive its zygote without reading a file, and what does it do when the spare is gone, too?

use crate::census::Process;
use crate::load::send_during;
use crate::subject::{Subject, WORKERS, attack, clean, faulty};
use crate::support::process::signal;
use crate::support::waiting::wait_until;
use std::fs;
use std::time::{Duration, Instant};

/// Kills the zygote, and waits until its spare has taken over.
fn kill_the_zygote(subject: &Subject) {
    let zygote = subject.zygote();
    // Which may just be replaced by a newer one.
    subject.spare();
    let takeovers = || subject.agent.log.lines_with(" spare zygote took over, ").len();
    let before = takeovers();
    signal(zygote.pid, "KILL");
    wait_until("the spare takes over", || takeovers() > before);
}

/// Kills the zygote and its spare, and both before the front can do anything about either.
fn kill_both(subject: &Subject) {
    let (zygote, spare) = (subject.zygote(), subject.spare());
    // A zygote that is stopped forks no other spare in the place of the dead one.
    signal(zygote.pid, "STOP");
    wait_until("the zygote stops", || Process::find(zygote.pid).is_some_and(|zygote| zygote.state == 'T'));
    signal(spare.pid, "KILL");
    wait_until("the end of the spare", || !spare.runs());
    signal(zygote.pid, "KILL");
}

/// The code of an attack, once an engine has answered it.
fn code_of_an_attack(subject: &Subject) -> i64 {
    let mut link = subject.agent.link();
    let mut code = None;
    wait_until("a verdict", || {
        code = link.ask(&attack(1)).code();
        code.is_some()
    });
    code.unwrap()
}

#[test]
fn a_zygote_that_dies_changes_no_rules() {
    let subject = Subject::start();
    // As an editor leaves a file that it is about to write.
    fs::write(subject.rules(), "").unwrap();
    for _ in 0..3 {
        kill_the_zygote(&subject);
        assert_eq!(code_of_an_attack(&subject), 403);
    }
    fs::remove_file(subject.rules()).unwrap();
    kill_the_zygote(&subject);
    assert_eq!(code_of_an_attack(&subject), 403);
    assert!(!subject.agent.log.lines().iter().any(|line| line.contains("read anew")));
}

#[test]
fn a_zygote_that_dies_after_a_refused_reload_is_no_outage() {
    let subject = Subject::start();
    fs::write(subject.rules(), "SecRulez nonsense\n").unwrap();
    subject.agent.signal("HUP");
    subject.agent.log.wait_for_text(" cannot reload, the old rules stay");
    kill_the_zygote(&subject);
    assert_eq!(code_of_an_attack(&subject), 403);
}

#[test]
fn after_a_reload_the_new_rules_are_the_ones_that_stay() {
    let subject = Subject::start();
    let old = subject.zygote();
    let rules = fs::read_to_string(subject.rules()).unwrap();
    fs::write(subject.rules(), rules.replace("status:403", "status:406")).unwrap();
    subject.agent.signal("HUP");
    subject.agent.log.wait_for_text(" rules reloaded, ");
    wait_until("the end of the old zygote and its spare", || !old.runs() && subject.zygotes().len() == 1);
    fs::write(subject.rules(), "").unwrap();
    kill_the_zygote(&subject);
    assert_eq!(code_of_an_attack(&subject), 406);
}

#[test]
fn under_load_engines_are_back_within_100_ms() {
    let subject = Subject::start();
    let mut times = Vec::new();
    let outcomes = send_during(&subject, |load| {
        let mut link = subject.agent.link();
        for round in 0..20_u64 {
            let spare = subject.spare();
            let start = Instant::now();
            signal(subject.zygote().pid, "KILL");
            wait_until("the spare takes over", || subject.zygotes().iter().any(|now| now.pid == spare.pid));
            // Not the same request twice, which could be blamed for the end of its engine.
            let numbers = 1_000_000 + round * 1000..;
            assert!(
                numbers.into_iter().take(1000).any(|number| link.ask(&attack(number)).code() == Some(403))
            );
            times.push(start.elapsed());
            load.wait_for_more(200);
        }
    });
    outcomes.expect_right_but_for(20 * WORKERS, "crash");
    times.sort_unstable();
    println!("killed 20 times, verdicts again after: {times:?}");
    // A busy machine makes some of them late.
    assert!(times[10] < Duration::from_millis(100), "{times:?}");
    assert_eq!(subject.agent.log.lines_with(" spare zygote took over, ").len(), 20);
    wait_until("all engines", || subject.engines().len() == WORKERS);
}

#[test]
fn nothing_is_left_of_zygotes_that_died() {
    let mut subject = Subject::start();
    for _ in 0..5 {
        kill_the_zygote(&subject);
        subject.helpers();
    }
    let zombies = || Process::children_of(subject.agent.pid()).into_iter().filter(|child| child.state == 'Z');
    wait_until("no zombies", || zombies().count() == 0);
    let (zygote, spare) = (subject.zygote(), subject.spare());
    let helpers = subject.helpers();
    subject.agent.signal("TERM");
    assert_eq!(subject.agent.wait().code(), Some(0));
    assert!(!zygote.runs() && !spare.runs() && !helpers.iter().any(Process::runs));
}

#[test]
fn a_killed_agent_takes_with_it_a_spare_that_took_over() {
    let mut subject = Subject::start();
    kill_the_zygote(&subject);
    let mut all = subject.helpers();
    all.push(subject.spare());
    subject.agent.signal("KILL");
    subject.agent.wait();
    wait_until("the end of all", || !all.iter().any(Process::runs));
}

#[test]
fn a_spare_that_dies_costs_nothing_and_is_replaced() {
    let subject = Subject::start();
    let helpers = subject.helpers();
    let outcomes = send_during(&subject, |load| {
        for _ in 0..3 {
            let spare = subject.spare();
            signal(spare.pid, "KILL");
            wait_until("another spare", || subject.spare().pid != spare.pid);
            load.wait_for_more(100);
        }
    });
    outcomes.expect_right();
    assert!(helpers.iter().all(Process::runs), "{helpers:#?}");
    fs::write(subject.rules(), "").unwrap();
    kill_the_zygote(&subject);
    assert_eq!(code_of_an_attack(&subject), 403);
}

#[test]
fn a_spare_that_cannot_be_forked_is_said_to_be_missing_until_it_is_back() {
    let subject = Subject::start();
    let spare = subject.spare();
    subject.cannot_fork(true);
    signal(spare.pid, "KILL");
    let line = subject.agent.log.wait_for_text(" no spare zygote, retrying, ");
    assert!(line.contains(" WARN "), "{line}");
    assert_eq!(subject.agent.link().ask(&attack(1)).code(), Some(403));
    subject.cannot_fork(false);
    subject.agent.log.wait_for_text(" spare zygote is there again, ");
    kill_the_zygote(&subject);
    assert_eq!(code_of_an_attack(&subject), 403);
}

#[test]
fn an_engine_that_cannot_be_forked_says_which_limits_to_look_at() {
    let subject = Subject::with_options(&["--deadline", "10s", "-n", "1"]);
    subject.cannot_fork(true);
    signal(subject.engine(1).pid, "KILL");
    let line = subject.agent.log.wait_for_text("EAGAIN");
    for limit in ["TasksMax=", "pids.max", "ulimit -u"] {
        assert!(line.contains(limit), "{line}");
    }
    subject.cannot_fork(false);
    assert_eq!(code_of_an_attack(&subject), 403);
}

#[test]
fn without_zygote_and_spare_the_rules_are_read_anew_and_the_log_says_so() {
    let subject = Subject::start();
    kill_both(&subject);
    let line = subject.agent.log.wait_for_text(" zygote restarted, rules read anew, ");
    assert!(line.contains(" WARN "), "{line}");
    assert_eq!(code_of_an_attack(&subject), 403);
    subject.spare();
}

#[test]
fn a_zygote_that_cannot_come_back_fails_health_checks_until_it_can() {
    let subject = Subject::with_options(&["--deadline", "500ms"]);
    let rules = std::fs::read(subject.rules()).unwrap();
    std::fs::remove_file(subject.rules()).unwrap();
    kill_both(&subject);
    let cause = subject.agent.log.wait_for_text(" zygote cannot load the rules, ");
    assert!(cause.contains("rules.conf"), "{cause}");
    let mut link = subject.agent.link();
    let start = Instant::now();
    wait_until("a health check fails", || {
        let ack = link.ask(&clean(1));
        assert!(matches!(ack.error(), Some("crash" | "timeout" | "overload")), "{ack:?}");
        !subject.is_healthy()
    });
    println!("no zygote: health checks fail after {:?}", start.elapsed());
    std::fs::write(subject.rules(), rules).unwrap();
    wait_until("health checks succeed again", || subject.is_healthy());
    wait_until("verdicts again", || link.ask(&clean(1)).code() == Some(0));
    println!("verdicts again after {:?}", start.elapsed());
    wait_until("all engines", || subject.engines().len() == WORKERS);
}

#[test]
fn an_engine_that_comes_after_its_worker_gave_up_is_ended() {
    let subject = Subject::start();
    let zygote = subject.zygote();
    let maps = || {
        let maps = fs::read_to_string(format!("/proc/{}/maps", subject.agent.pid())).unwrap();
        maps.lines().filter(|line| line.contains("memfd:jobs")).count()
    };
    let before = maps();
    signal(zygote.pid, "STOP");
    // An idle worker would only hear of the end of its engine from the zygote.
    assert_eq!(subject.agent.link().ask(&faulty("null", 1)).error(), Some("crash"));
    let gave_up = "the zygote does not answer";
    wait_until("a worker gives up twice", || subject.agent.log.lines_with(gave_up).len() >= 2);
    signal(zygote.pid, "CONT");
    assert_eq!(code_of_an_attack(&subject), 403);
    subject.helpers();
    wait_until("as many engines as workers", || subject.engines().len() == WORKERS);
    wait_until("memory shared with engines, as before", || maps() == before);
}
