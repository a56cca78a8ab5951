//! The two things that a peer must do in time: send the rest of a frame that it has begun, and read what it is sent.
//!
//! A link may be idle without limit, as HAProxy keeps idle links open. The clock of a frame stands still while the agent
//! itself does not read.

use std::time::{Duration, Instant};

/// How long a frame may take from its first byte to its last. HAProxy writes frames whole.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may read nothing while output waits for it.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Since when the peer owes the rest of a frame, or a read.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    frame: Option<Instant>,
    write: Option<Instant>,
    watched: bool,
}

/// What a look at the clocks has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A frame was not completed in time.
    Frame,
    /// The peer has read nothing for too long.
    Write,
    /// No time limit has passed yet: look again after this time.
    Wait(Duration),
    /// No clock runs.
    Nothing,
}

impl Stalls {
    /// Bytes were read. `whole`: they completed a frame; `begun`: bytes of an incomplete frame are left.
    pub(crate) fn read(&mut self, whole: bool, begun: bool) {
        if !begun {
            self.frame = None;
        } else if whole || self.frame.is_none() {
            self.frame = Some(Instant::now());
        }
    }

    /// The agent has stopped reading, so the peer cannot go on with its frame.
    pub(crate) fn reading_stopped(&mut self) {
        self.frame = None;
    }

    /// The agent reads, and nothing more has arrived. `begun`: bytes of an incomplete frame are there.
    pub(crate) fn reading(&mut self, begun: bool) {
        if begun && self.frame.is_none() {
            self.frame = Some(Instant::now());
        }
    }

    /// The peer has read some of the output.
    pub(crate) fn written(&mut self) {
        self.write = None;
    }

    /// The socket takes no more output now.
    pub(crate) fn blocked(&mut self) {
        self.write.get_or_insert_with(Instant::now);
    }

    /// The time to the first look, when a clock has begun to run. `None` while looks are under way, until [`Stalls::find`]
    /// has returned [`Finding::Nothing`].
    pub(crate) fn watch(&mut self) -> Option<Duration> {
        if self.watched || (self.frame.is_none() && self.write.is_none()) {
            return None;
        }
        self.watched = true;
        Some(FRAME_TIMEOUT.min(WRITE_TIMEOUT))
    }

    /// Looks at the clocks.
    pub(crate) fn find(&mut self, now: Instant) -> Finding {
        let left = |since: Option<Instant>, limit: Duration| {
            since.map(|since| limit.saturating_sub(now.saturating_duration_since(since)))
        };
        let frame = left(self.frame, FRAME_TIMEOUT);
        let write = left(self.write, WRITE_TIMEOUT);
        if write == Some(Duration::ZERO) {
            return Finding::Write;
        }
        if frame == Some(Duration::ZERO) {
            return Finding::Frame;
        }
        match frame.into_iter().chain(write).min() {
            Some(left) => Finding::Wait(left),
            None => {
                self.watched = false;
                Finding::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = FRAME_TIMEOUT;

    #[test]
    fn a_peer_that_owes_nothing_is_not_watched() {
        let mut stalls = Stalls::default();
        stalls.read(true, false);
        stalls.written();
        assert_eq!(stalls.watch(), None);
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Nothing);
    }

    #[test]
    fn a_frame_that_was_begun_is_due_whatever_drips_in() {
        let mut stalls = Stalls::default();
        stalls.read(false, true);
        assert_eq!(stalls.watch(), Some(FRAME_TIMEOUT));
        assert_eq!(stalls.watch(), None, "one look at a time");
        let begun = stalls.frame;
        stalls.read(false, true);
        assert_eq!(stalls.frame, begun);
        assert!(matches!(stalls.find(Instant::now()), Finding::Wait(_)));
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Frame);
    }

    #[test]
    fn each_frame_has_its_own_time() {
        let mut stalls = Stalls { frame: Some(Instant::now() - LATER), ..Stalls::default() };
        stalls.read(true, true);
        assert!(matches!(stalls.find(Instant::now()), Finding::Wait(_)));
        stalls.read(true, false);
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Nothing);
    }

    #[test]
    fn a_frame_that_the_agent_does_not_read_is_not_due() {
        let mut stalls = Stalls::default();
        stalls.read(false, true);
        stalls.reading_stopped();
        stalls.blocked();
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Write);
        stalls.written();
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Nothing);
        stalls.reading(true);
        assert_eq!(stalls.find(Instant::now() + LATER), Finding::Frame);
    }

    #[test]
    fn output_is_due_from_the_last_time_that_some_was_taken() {
        let mut stalls = Stalls { write: Some(Instant::now() - LATER), ..Stalls::default() };
        stalls.blocked();
        assert_eq!(stalls.find(Instant::now()), Finding::Write);
        stalls.written();
        stalls.blocked();
        assert!(matches!(stalls.find(Instant::now()), Finding::Wait(_)));
    }
}
