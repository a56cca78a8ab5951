//! Both ends in one process.

use super::*;
use std::os::fd::AsFd;
use std::thread;
use std::time::Instant;

const SOON: Duration = Duration::from_secs(5);

fn ends() -> (WorkerEnd, EngineEnd) {
    let (worker, file) = WorkerEnd::create().unwrap();
    (worker, EngineEnd::open(file.as_fd()).unwrap())
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// Hands over a batch of these jobs. Returns how many fit into it.
fn hand_over(worker: &mut WorkerEnd, jobs: &[&[u8]]) -> usize {
    worker.begin();
    let count = jobs.iter().take_while(|job| worker.add(&frame(job)).unwrap()).count();
    worker.hand_over();
    count
}

/// The next job; `None` at the end.
fn next(engine: &mut EngineEnd) -> Option<Bytes> {
    loop {
        match engine.next_job(None).unwrap() {
            NextJob::Job(job) => return Some(job),
            NextJob::Nothing => {}
            NextJob::End => return None,
        }
    }
}

fn verdict(worker: &mut WorkerEnd) -> Bytes {
    loop {
        match worker.wait(SOON) {
            Received::Verdict(verdict) => return verdict,
            Received::Nothing => {}
            Received::Garbage | Received::Alarm => panic!("no verdict"),
        }
    }
}

#[test]
fn jobs_and_verdicts_of_all_lengths_get_through() {
    let (mut worker, mut engine) = ends();
    let echo = thread::spawn(move || {
        while let Some(job) = next(&mut engine) {
            engine.answer(&frame(&job[..job.len().min(MAX_VERDICT)])).unwrap();
        }
    });
    for length in (0..40).chain([4095, 4096, 4097, MAX_VERDICT, MAX_JOB, 3]).chain([7; 2000]) {
        let job: Vec<u8> = (0..length).map(|index| (index * 7 + length) as u8).collect();
        hand_over(&mut worker, &[&job]);
        assert!(verdict(&mut worker) == job[..length.min(MAX_VERDICT)], "{length}");
    }
    drop(worker);
    echo.join().unwrap();
}

#[test]
fn what_is_too_long_is_not_handed_over() {
    let (mut worker, mut engine) = ends();
    worker.begin();
    assert!(worker.add(&vec![0; 2 * MAX_JOB]).is_err());
    assert!(engine.answer(&vec![0; 2 * MAX_VERDICT]).is_err());
    assert_eq!(worker.memory.counters().each_ref().map(|line| line.0.load(Relaxed)), [0, 0, 0, 0]);
}

#[test]
fn a_length_beyond_the_limit_is_garbage() {
    let (mut worker, mut engine) = ends();
    for length in [MAX_VERDICT as u32 + 1, u32::MAX] {
        hand_over(&mut worker, &[b"job"]);
        next(&mut engine).unwrap();
        engine.answer(&length.to_be_bytes()).unwrap();
        assert!(matches!(worker.wait(SOON), Received::Garbage));
    }
}

#[test]
fn an_alarm_wakes_the_worker_at_once_but_not_before_a_verdict() {
    let (mut worker, mut engine) = ends();
    let alarm = worker.alarm();
    hand_over(&mut worker, &[b"1"]);
    next(&mut engine).unwrap();
    engine.answer(&frame(b"2")).unwrap();
    let start = Instant::now();
    let bell = thread::spawn(|| {
        thread::sleep(Duration::from_millis(50));
        drop(alarm);
    });
    assert_eq!(verdict(&mut worker), "2");
    hand_over(&mut worker, &[b"3"]);
    assert!(matches!(worker.wait(SOON), Received::Alarm));
    assert!(start.elapsed() < SOON);
    bell.join().unwrap();
}

#[test]
fn more_verdicts_than_jobs_are_garbage() {
    let (mut worker, engine) = ends();
    hand_over(&mut worker, &[b"1", b"2"]);
    engine.memory.counters()[1].post(3);
    assert!(matches!(worker.wait(SOON), Received::Garbage));
    engine.memory.counters()[1].post(NUMBER);
    assert!(matches!(worker.wait(SOON), Received::Garbage));
}

#[test]
fn a_batch_wakes_its_worker_at_its_end() {
    let (mut worker, mut engine) = ends();
    assert_eq!(hand_over(&mut worker, &[b"1", b"2", b"3"]), 3);
    assert_eq!(next(&mut engine).unwrap(), "1");
    let memory = Arc::clone(&worker.memory);
    let waiting = thread::spawn(move || {
        // Two of three do not wake it, the third does.
        let sleep = worker.wait(SOON);
        (worker, sleep)
    });
    while memory.counters()[1].0.load(Acquire) & WAITING == 0 {
        thread::yield_now();
    }
    engine.answer(&frame(b"to 1")).unwrap();
    assert_eq!(next(&mut engine).unwrap(), "2");
    engine.answer(&frame(b"to 2")).unwrap();
    assert_eq!(next(&mut engine).unwrap(), "3");
    assert_eq!(
        memory.counters()[1].0.load(Acquire),
        WAITING | 2,
        "it sleeps on, and the next post can wake it"
    );
    engine.answer(&frame(b"to 3")).unwrap();
    let (mut worker, first) = waiting.join().unwrap();
    assert!(matches!(first, Received::Verdict(verdict) if verdict == "to 1"));
    assert_eq!([verdict(&mut worker), verdict(&mut worker)], ["to 2", "to 3"]);
    assert!(matches!(worker.wait(Duration::from_millis(1)), Received::Nothing));
}

#[test]
fn a_batch_takes_what_fits() {
    let (mut worker, mut engine) = ends();
    let (small, large) = (vec![b's'; 1000], vec![b'l'; KEPT - 2000]);
    assert_eq!(hand_over(&mut worker, &[&small, &large, &small, &small]), 2);
    for job in [&small, &large] {
        assert_eq!(next(&mut engine).unwrap(), *job);
        engine.answer(&frame(job)).unwrap();
    }
    assert_eq!([verdict(&mut worker), verdict(&mut worker)], [small.clone(), large]);
    let longest = vec![b'x'; MAX_JOB];
    assert_eq!(hand_over(&mut worker, &[&longest, &small]), 1);
    assert_eq!(next(&mut engine).unwrap(), longest);
    engine.answer(&frame(b"done")).unwrap();
    verdict(&mut worker);
    assert_eq!(hand_over(&mut worker, &[&small, &longest]), 1);
    assert_eq!(next(&mut engine).unwrap(), small);
    engine.answer(&frame(b"done")).unwrap();
    verdict(&mut worker);
    assert_eq!(hand_over(&mut worker, &vec![&b"1"[..]; AT_A_TIME + 1]), AT_A_TIME);
}

#[test]
fn what_is_not_begun_is_taken_back_and_what_is_begun_is_not() {
    let (mut worker, mut engine) = ends();
    hand_over(&mut worker, &[b"1", b"2", b"3", b"4"]);
    assert_eq!(worker.take_back(), 4, "nothing is begun: it has had no turn");
    next(&mut engine).unwrap();
    engine.answer(&frame(b"to 1")).unwrap();
    assert_eq!(worker.take_back(), 2, "the second is claimed");
    assert_eq!(worker.take_back(), 2);
    assert_eq!(verdict(&mut worker), "to 1");
    assert_eq!(next(&mut engine).unwrap(), "2");
    engine.answer(&frame(b"to 2")).unwrap();
    assert_eq!(verdict(&mut worker), "to 2");
    assert!(matches!(engine.next_job(Some(Duration::ZERO)).unwrap(), NextJob::Nothing));
    hand_over(&mut worker, &[b"5", b"6"]);
    assert_eq!(next(&mut engine).unwrap(), "5");
    engine.answer(&frame(b"to 5")).unwrap();
    assert_eq!(next(&mut engine).unwrap(), "6");
    engine.answer(&frame(b"to 6")).unwrap();
    assert_eq!([verdict(&mut worker), verdict(&mut worker)], ["to 5", "to 6"]);
}

#[test]
fn an_engine_that_lies_about_what_it_has_begun_gets_no_verdict_in() {
    let (mut worker, engine) = ends();
    for (begun, left) in [(1, 1), (2, 2), (NUMBER, 3), (TAKEN_BACK, 1)] {
        hand_over(&mut worker, &[b"1", b"2", b"3"]);
        engine.memory.counters()[2].0.store(begun, Relaxed);
        assert_eq!(worker.take_back(), left, "{begun}");
    }
    engine.memory.counters()[1].post(2);
    assert!(matches!(worker.wait(SOON), Received::Garbage), "only one is asked for");
}

#[test]
fn jobs_that_are_taken_back_at_any_moment_are_never_answered_and_the_others_always() {
    let (mut worker, mut engine) = ends();
    let echo = thread::spawn(move || {
        while let Some(job) = next(&mut engine) {
            engine.answer(&frame(&job)).unwrap();
        }
    });
    let mut taken_back = 0;
    for round in 0..20_000_u32 {
        let jobs: Vec<_> = (0..8).map(|place| (round * 8 + place).to_be_bytes()).collect();
        let parts: Vec<_> = jobs.iter().map(|job| &job[..]).collect();
        assert_eq!(hand_over(&mut worker, &parts), 8);
        for _ in 0..round % 64 {
            std::hint::spin_loop();
        }
        let count = worker.take_back();
        taken_back += 8 - count;
        for job in &jobs[..count] {
            assert_eq!(verdict(&mut worker), job[..]);
        }
    }
    println!("{taken_back} of 160,000 taken back");
    drop(worker);
    echo.join().unwrap();
}

#[test]
fn numbers_begin_again() {
    let (mut worker, mut engine) = ends();
    (worker.batch, engine.batch) = (NUMBER - 1, NUMBER - 1);
    (worker.verdicts, engine.verdicts) = (NUMBER - 1, NUMBER - 1);
    engine.memory.counters()[1].post(NUMBER - 1);
    for _ in 0..3 {
        hand_over(&mut worker, &[b"job"]);
        assert_eq!(next(&mut engine).unwrap(), "job");
        engine.answer(&frame(b"verdict")).unwrap();
        assert_eq!(verdict(&mut worker), "verdict");
    }
    assert_eq!((worker.batch, worker.verdicts), (1, 1));
}

#[test]
fn the_pages_of_a_long_job_are_given_back() {
    let (mut worker, mut engine) = ends();
    hand_over(&mut worker, &[&vec![b'x'; MAX_JOB]]);
    next(&mut engine).unwrap();
    engine.answer(&frame(&vec![b'y'; MAX_VERDICT])).unwrap();
    verdict(&mut worker);
    for (range, kept) in [(JOBS, KEPT), (JOBS.end..JOBS.end + VERDICT, KEPT_VERDICT)] {
        let words = &worker.memory.words()[range];
        assert!(words[1..kept / WORD].iter().all(|word| word.load(Relaxed) != 0), "of use for the next");
        assert!(words[kept / WORD..].iter().all(|word| word.load(Relaxed) == 0), "what is left there");
    }
}

#[test]
fn nobody_can_take_the_memory_away() {
    let (_worker, file) = WorkerEnd::create().unwrap();
    assert!(rustix::fs::ftruncate(&file, 0).is_err());
    assert!(rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::WRITE).is_err());
}

#[test]
fn the_engine_is_at_a_job_from_its_begin_to_its_verdict_and_not_when_it_has_claimed_it() {
    let (mut worker, mut engine) = ends();
    hand_over(&mut worker, &[b"1", b"2"]);
    assert!(!worker.is_at_job());
    next(&mut engine).unwrap();
    assert!(worker.is_at_job());
    engine.answer(&frame(b"to 1")).unwrap();
    assert!(!worker.is_at_job(), "the second is claimed, and what the engine does now is something else");
    assert_eq!(verdict(&mut worker), "to 1");
    next(&mut engine).unwrap();
    assert!(worker.is_at_job());
    engine.answer(&frame(b"to 2")).unwrap();
    assert!(!worker.is_at_job());
}
