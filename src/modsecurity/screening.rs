//! The screen before an engine: which requests it takes off the engine, and whether the engine agrees.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::ffi::shared_memory::Memory;
use crate::message::request::Request;
use crate::message::verdict::{Screened, Verdict};
use crate::rules::screening::{ScreenMode, Screening};
use crate::screen::{Finding, Off, Scratch, Screen};

/// The screen of one set of rules.
#[derive(Debug)]
pub struct RuleScreen {
    /// The screen, or why there is none.
    pub screen: Result<Screen, Off>,
    /// Rules that deny what the engine gave up on, by their ids.
    pub gives_up: Vec<i64>,
}

/// What the screen is told by the rules of all applications.
pub struct Switch {
    screening: Screening,
    /// Set by the engine that finds the screen wrong; all engines with these rules see it, as it is shared when they are forked.
    flag: Option<Memory>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("screening", &self.screening).finish_non_exhaustive()
    }
}

impl Switch {
    pub(super) fn new(screening: Screening) -> Self {
        let flag = match screening.mode {
            ScreenMode::Off => None,
            ScreenMode::Shadow | ScreenMode::On => Memory::create(0).ok().map(|(memory, _)| memory),
        };
        Self { screening, flag }
    }

    /// The mode, as long as nobody has found the screen wrong. Without memory for the flag there is no screen.
    fn mode(&self) -> ScreenMode {
        let [flag, ..] = match &self.flag {
            Some(memory) => memory.counters(),
            None => return ScreenMode::Off,
        };
        if flag.0.load(Ordering::Relaxed) == 0 { self.screening.mode } else { ScreenMode::Off }
    }

    fn switch_off(&self) {
        if let Some(memory) = &self.flag {
            let [flag, ..] = memory.counters();
            flag.0.store(1, Ordering::Relaxed);
        }
    }
}

/// What the screen says before the engine inspects a request.
pub(super) enum Before {
    /// The engine is not asked: the request is proven clean, with this score.
    Settled(Option<i64>),
    /// The engine inspects the request, and the screen has said this.
    Ask(Screened),
    /// The engine inspects the request; the screen has proven it clean, with this score.
    Compare(Option<i64>),
}

/// The screens of one engine.
#[derive(Debug, Default)]
pub(super) struct Screener {
    scratches: HashMap<Option<Vec<u8>>, Scratch>,
    /// Requests proven clean since the last one that the engine inspected as well.
    unchecked: u32,
}

impl Screener {
    /// Examines a request. `application` is the name of the application whose rules these are.
    pub(super) fn before(
        &mut self,
        switch: &Switch,
        rules: Option<&RuleScreen>,
        application: Option<&[u8]>,
        request: &Request,
    ) -> Before {
        let mode = switch.mode();
        let rules = rules.filter(|_| mode != ScreenMode::Off);
        let screen = match rules.map(|rules| &rules.screen) {
            None => return Before::Ask(Screened::NotAsked),
            Some(Err(off)) => return Before::Ask(Screened::Off(off.to_string())),
            Some(Ok(screen)) => screen,
        };
        let scratch = match self.scratches.get_mut(&application.map(<[u8]>::to_vec)) {
            Some(scratch) => scratch,
            None => self.scratches.entry(application.map(<[u8]>::to_vec)).or_insert_with(|| screen.scratch()),
        };
        match screen.examine(scratch, request) {
            Finding::NotProven(reason) => Before::Ask(Screened::Open(reason.to_string())),
            Finding::Proven { score } if mode == ScreenMode::Shadow => Before::Compare(score),
            Finding::Proven { score } => {
                self.unchecked += 1;
                if self.unchecked >= switch.screening.sample {
                    self.unchecked = 0;
                    return Before::Compare(score);
                }
                Before::Settled(score)
            }
        }
    }
}

/// Compares the engine's verdict with the screen's proof.
pub(super) fn compared(
    score: Option<i64>,
    verdict: &Verdict,
    switch: &Switch,
    rules: Option<&RuleScreen>,
) -> Screened {
    let is_clean = verdict.intervention.is_none()
        && verdict.rules.is_empty()
        && verdict.matches.is_empty()
        && verdict.anomaly_score == score;
    // What the engine gave up on, the screen has searched to the end.
    let gives_up = rules.map(|rules| rules.gives_up.as_slice()).unwrap_or_default();
    let has_given_up = !verdict.rules.is_empty() && verdict.rules.iter().all(|rule| gives_up.contains(rule));
    if is_clean || has_given_up {
        return Screened::Agreed;
    }
    switch.switch_off();
    Screened::Wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_finds_something_switches_the_screen_off() {
        let shadow = Screening { mode: ScreenMode::Shadow, sample: 1 };
        let gives_up =
            RuleScreen { screen: Err(Off { place: None, cause: String::new() }), gives_up: vec![7] };
        let clean = Verdict { anomaly_score: Some(0), ..Verdict::default() };
        for (verdict, wanted) in [
            (clean.clone(), Screened::Agreed),
            (Verdict { rules: vec![7], ..clean.clone() }, Screened::Agreed),
            (Verdict { rules: vec![7, 8], ..clean.clone() }, Screened::Wrong),
            (Verdict { anomaly_score: Some(5), ..clean.clone() }, Screened::Wrong),
            (Verdict { anomaly_score: None, ..clean.clone() }, Screened::Wrong),
            (Verdict { intervention: Verdict::denied(403, "").intervention, ..clean }, Screened::Wrong),
        ] {
            let switch = Switch::new(shadow);
            assert_eq!(switch.mode(), ScreenMode::Shadow);
            assert_eq!(compared(Some(0), &verdict, &switch, Some(&gives_up)), wanted, "{verdict:?}");
            let is_off = switch.mode() == ScreenMode::Off;
            assert_eq!(is_off, wanted == Screened::Wrong);
        }
        assert_eq!(Switch::new(Screening::OFF).mode(), ScreenMode::Off);
    }
}
