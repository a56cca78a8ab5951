//! What a peer must get done in time: the rest of a frame that it has begun, and reading what it is sent.
//!
//! Nothing else on a link has a time limit: HAProxy keeps idle ones for as long as it likes. The clocks stand still while
//! the agent itself is what holds the peer up.

use std::time::{Duration, Instant};

/// How long a frame may take from its first byte to its last. HAProxy writes frames whole.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may take none of what waits to be written.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Since when the peer owes something.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    frame: Option<Instant>,
    write: Option<Instant>,
    watched: bool,
}

/// What to do when it is time to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A frame was begun and not completed.
    Frame,
    /// Nothing of the output was taken.
    Write,
    /// The peer owes something, but not for long enough: look again after this time.
    Wait(Duration),
    /// The peer owes nothing.
    Nothing,
}

impl Stalls {
    /// Bytes were read: `whole` says whether they completed a frame, `begun` whether some of another are left.
    pub(crate) fn read(&mut self, whole: bool, begun: bool) {
        if !begun {
            self.frame = None;
        } else if whole || self.frame.is_none() {
            self.frame = Some(Instant::now());
        }
    }

    /// The agent does not read: the peer cannot go on with its frame.
    pub(crate) fn reading_stopped(&mut self) {
        self.frame = None;
    }

    /// Reading goes on, or there was nothing to read: `begun` says whether a frame was begun.
    pub(crate) fn reading(&mut self, begun: bool) {
        if begun && self.frame.is_none() {
            self.frame = Some(Instant::now());
        }
    }

    /// The peer took some of the output, or there is none.
    pub(crate) fn written(&mut self) {
        self.write = None;
    }

    /// The peer takes nothing of the output now.
    pub(crate) fn blocked(&mut self) {
        self.write.get_or_insert_with(Instant::now);
    }

    /// When to look for the first time; once, until [`Stalls::find`] has said that there is nothing more to look for.
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
