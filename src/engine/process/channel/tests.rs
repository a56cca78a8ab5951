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

/// The next job, until the end.
fn next(engine: &mut EngineEnd) -> Option<Bytes> {
    loop {
        match engine.next_job(None).unwrap() {
            Next::Job(job) => return Some(job),
            Next::Nothing => {}
            Next::End => return None,
        }
    }
}

fn verdict(worker: &mut WorkerEnd) -> Bytes {
    loop {
        match worker.wait(SOON) {
            Found::Verdict(verdict) => return verdict,
            Found::Nothing => {}
            Found::Garbage | Found::Alarm => panic!("no verdict"),
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
        worker.hand_over(&frame(&job)).unwrap();
        assert!(verdict(&mut worker) == job[..length.min(MAX_VERDICT)], "{length}");
    }
    drop(worker);
    echo.join().unwrap();
}

#[test]
fn what_is_too_long_is_not_handed_over() {
    let (mut worker, mut engine) = ends();
    assert!(worker.hand_over(&vec![0; 2 * MAX_JOB]).is_err());
    assert!(engine.answer(&vec![0; 2 * MAX_VERDICT]).is_err());
    assert_eq!(worker.memory.lines().each_ref().map(|line| line.0.load(Relaxed)), [0, 0]);
}

#[test]
fn a_length_beyond_the_limit_is_garbage() {
    let (mut worker, mut engine) = ends();
    for length in [MAX_VERDICT as u32 + 1, u32::MAX] {
        worker.hand_over(&frame(b"job")).unwrap();
        next(&mut engine).unwrap();
        engine.answer(&length.to_be_bytes()).unwrap();
        assert!(matches!(worker.wait(SOON), Found::Garbage));
    }
}

#[test]
fn an_alarm_wakes_the_worker_at_once_but_not_before_a_verdict() {
    let (mut worker, mut engine) = ends();
    let alarm = worker.alarm();
    worker.hand_over(&frame(b"1")).unwrap();
    next(&mut engine).unwrap();
    engine.answer(&frame(b"2")).unwrap();
    let start = Instant::now();
    let bell = thread::spawn(|| {
        thread::sleep(Duration::from_millis(50));
        drop(alarm);
    });
    assert_eq!(verdict(&mut worker), "2");
    worker.hand_over(&frame(b"3")).unwrap();
    assert!(matches!(worker.wait(SOON), Found::Alarm));
    assert!(start.elapsed() < SOON);
    bell.join().unwrap();
}

#[test]
fn the_verdict_on_another_job_is_none() {
    let (mut worker, mut engine) = ends();
    worker.hand_over(&frame(b"1")).unwrap();
    next(&mut engine).unwrap();
    worker.hand_over(&frame(b"2")).unwrap();
    engine.answer(&frame(b"to 1")).unwrap();
    assert!(matches!(worker.wait(Duration::from_millis(1)), Found::Nothing));
}

#[test]
fn numbers_begin_again() {
    let (mut worker, mut engine) = ends();
    (worker.number, engine.number) = (NUMBER - 1, NUMBER - 1);
    for _ in 0..3 {
        worker.hand_over(&frame(b"job")).unwrap();
        assert_eq!(next(&mut engine).unwrap(), "job");
        engine.answer(&frame(b"verdict")).unwrap();
        assert_eq!(verdict(&mut worker), "verdict");
    }
    assert_eq!(worker.number, 1);
}

#[test]
fn the_pages_of_a_long_job_are_given_back() {
    let (mut worker, mut engine) = ends();
    worker.hand_over(&frame(&vec![b'x'; MAX_JOB])).unwrap();
    next(&mut engine).unwrap();
    engine.answer(&frame(&vec![b'y'; MAX_VERDICT])).unwrap();
    verdict(&mut worker);
    for range in [JOB, VERDICT] {
        let words = area(&worker.memory, range);
        assert!(words[1..KEPT / WORD].iter().all(|word| word.load(Relaxed) != 0), "of use for the next");
        assert!(words[KEPT / WORD..].iter().all(|word| word.load(Relaxed) == 0), "what is left there");
    }
}

#[test]
fn nobody_can_take_the_memory_away() {
    let (_worker, file) = WorkerEnd::create().unwrap();
    assert!(rustix::fs::ftruncate(&file, 0).is_err());
    assert!(rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::WRITE).is_err());
}
