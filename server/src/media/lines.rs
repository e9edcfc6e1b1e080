//! The audio m-lines of a connection: what an offer has in, what is what out.

use std::cell::OnceCell;
use std::sync::Arc;

use arrayvec::ArrayVec;
use selector::SLOTS_MAX;
use str0m::media::{Direction, Mid, Pt};
use str0m::rtp::RedDecoder;
use tercet_core::{AudioPacket, Encoding};
use tercet_protocol::TrackOrigin;

use super::fanout::Stream;

/// The lines that a client sends on: its microphone's and its screen's.
const UPSTREAMS_MAX: usize = TrackOrigin::ALL.len();

/// The slots and the screen slot.
const DOWNSTREAMS_MAX: usize = SLOTS_MAX + 1;

/// An audio m-line, with the payload types its client gave it.
pub(super) struct Line {
    pub(super) mid: Mid,
    pub(super) opus_pt: Pt,
    pub(super) red_pt: Option<Pt>,
    /// Whether anything is sent on it: a client can stop a line, and start it again.
    pub(super) active: bool,
    /// What the client receives on it.
    pub(super) stream: Option<Stream>,
}

/// All of them, each in its place for as long as it isn't stopped.
pub(super) struct Lines {
    /// What the client sends: the microphone first.
    upstream: ArrayVec<Line, UPSTREAMS_MAX>,
    /// What it receives: the slots, and after all of them the screen slot.
    downstream: ArrayVec<Line, DOWNSTREAMS_MAX>,
    /// Streams of lines that lost their places: a line that comes back in another place has its former SSRC.
    retired: Vec<Stream>,
    slots_max: usize,
}

impl Lines {
    pub(super) fn new(slots_max: usize) -> Lines {
        Lines {
            upstream: ArrayVec::new(),
            downstream: ArrayVec::new(),
            retired: Vec::new(),
            slots_max: slots_max.min(SLOTS_MAX),
        }
    }

    /// The lines of a session description, in its order, with the direction that the server has on each. The first on
    /// which the client sends is its microphone, the second its screen; those it only receives on are the slots, and
    /// then the screen slot.
    pub(super) fn seat(&mut self, read: Vec<(Direction, Line)>) {
        for line in self.upstream.iter_mut().chain(&mut self.downstream) {
            line.active = false;
        }
        // Those that are known keep their places; new ones, wherever they stand, take what is left.
        let is_known = |(_, line): &(Direction, Line)| {
            self.upstream.iter().chain(&self.downstream).any(|known| known.mid == line.mid)
        };
        let (known, new): (Vec<_>, Vec<_>) = read.into_iter().partition(is_known);
        for (direction, line) in known.into_iter().chain(new) {
            match direction {
                Direction::RecvOnly | Direction::SendRecv => {
                    let unsent = Line { stream: None, ..line };
                    unsent.join(&mut self.upstream, UPSTREAMS_MAX, &mut self.retired);
                }
                Direction::SendOnly => line.join(&mut self.downstream, self.slots_max + 1, &mut self.retired),
                Direction::Inactive => {}
            }
        }
    }

    /// Forgets what was sent on streams that are gone for good: no line comes back with their SSRC.
    pub(super) fn forget_retired(&mut self, mut is_gone: impl FnMut(u32) -> bool) {
        self.retired.retain(|stream| !is_gone(stream.ssrc()));
    }

    /// Whether nothing can be sent or received.
    pub(super) fn are_of_no_use(&self) -> bool {
        !self.upstream.iter().any(|line| line.active) && self.downstream.is_empty()
    }

    /// Those of the slots, and that of the screen slot.
    pub(super) fn downstream_mids(&self) -> (Vec<String>, Option<String>) {
        let mut mids = self.downstream.iter().map(|line| line.mid.to_string());
        (mids.by_ref().take(self.slots_max).collect(), mids.next())
    }

    /// The line of a slot for audio of this origin, and its place among all that the client receives on, if anything
    /// can be sent on it.
    pub(super) fn of_slot(&mut self, origin: TrackOrigin, slot: usize) -> Option<(usize, &mut Line)> {
        let place = match origin {
            TrackOrigin::Microphone => slot,
            TrackOrigin::Screen => self.slots_max + slot,
        };
        let line = self.downstream.get_mut(place).filter(|line| line.active)?;
        Some((place, line))
    }

    /// Those that the client receives on, by place.
    pub(super) fn downstream(&self) -> &[Line] {
        &self.downstream
    }

    /// What the client sends on a line; `None` for one on which it has nothing to send.
    pub(super) fn origin_of(&self, mid: Mid) -> Option<TrackOrigin> {
        let place = self.upstream.iter().position(|line| line.active && line.mid == mid)?;
        TrackOrigin::ALL.get(place).copied()
    }
}

impl Line {
    /// Takes its place among others. One that the client has stopped makes room for a new one; beyond `lines_max`
    /// there is none.
    fn join<const N: usize>(
        mut self,
        lines: &mut ArrayVec<Line, N>,
        lines_max: usize,
        retired: &mut Vec<Stream>,
    ) {
        let known = lines.iter().position(|line| line.mid == self.mid);
        let place = known.or_else(|| lines.iter().position(|line| !line.active)).unwrap_or(lines.len());
        if place >= lines_max.min(N) {
            return;
        }
        retired.extend(lines.get_mut(place).and_then(|former| former.stream.take()));
        if let Some(stream) = &mut self.stream
            && let Some(own) = retired.iter().position(|former| former.ssrc() == stream.ssrc())
        {
            stream.continue_from(retired.swap_remove(own));
        }
        if place < lines.len() {
            lines[place] = self;
        } else {
            lines.push(self);
        }
    }

    /// The packet as this client can read it. Redundant audio passes untouched where the client
    /// negotiated it with the sender's number for Opus, which stands inside the payload; anybody
    /// else gets the primary block, which is the sender's Opus, untouched.
    pub(super) fn encode(&self, packet: &Outbound<'_>) -> Option<(Pt, Arc<[u8]>)> {
        match (packet.audio.encoding, self.red_pt) {
            (Encoding::Red { opus_pt }, Some(red_pt)) if opus_pt == *self.opus_pt => {
                Some((red_pt, packet.audio.payload.clone()))
            }
            _ => Some((self.opus_pt, packet.opus()?)),
        }
    }
}

/// A packet on its way to many listeners.
pub(super) struct Outbound<'a> {
    pub(super) audio: &'a AudioPacket,
    /// The Opus within redundant audio: taken out once, by the first who needs it.
    primary: OnceCell<Option<Arc<[u8]>>>,
}

impl Outbound<'_> {
    pub(super) fn new(audio: &AudioPacket) -> Outbound<'_> {
        Outbound { audio, primary: OnceCell::new() }
    }

    fn opus(&self) -> Option<Arc<[u8]>> {
        match self.audio.encoding {
            Encoding::Opus => Some(self.audio.payload.clone()),
            Encoding::Red { .. } => self.primary.get_or_init(|| primary_of(&self.audio.payload)).clone(),
        }
    }
}

fn primary_of(redundant: &[u8]) -> Option<Arc<[u8]>> {
    let blocks = RedDecoder::decode(redundant).ok()?;
    blocks.iter().find(|block| block.is_primary).map(|block| block.payload.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Direction = Direction::RecvOnly;
    const RECEIVED: Direction = Direction::SendOnly;

    fn seated(lines: &mut Lines, offer: &[(&str, Direction)]) -> (Vec<String>, Option<String>) {
        let line = |mid| Line {
            mid: Mid::from(mid),
            opus_pt: Pt::from(111),
            red_pt: None,
            active: true,
            stream: None,
        };
        lines.seat(offer.iter().map(|&(mid, direction)| (direction, line(mid))).collect());
        lines.downstream_mids()
    }

    fn origin(lines: &Lines, mid: &str) -> Option<TrackOrigin> {
        lines.origin_of(Mid::from(mid))
    }

    #[test]
    fn a_new_line_in_place_of_a_stopped_one_moves_no_other() {
        let mut lines = Lines::new(2);
        let slots = seated(
            &mut lines,
            &[("mic", SENT), ("a", RECEIVED), ("b", RECEIVED), ("scr", SENT), ("c", RECEIVED)],
        );
        assert_eq!(slots, (vec!["a".into(), "b".into()], Some("c".into())));
        // RFC 8829, section 5.2.2: a new m-line takes the index of a stopped one, before those that go on.
        let again = [("mic", SENT), ("new", SENT), ("b", RECEIVED), ("scr", SENT), ("c", RECEIVED)];
        seated(&mut lines, &again);
        assert_eq!(origin(&lines, "mic"), Some(TrackOrigin::Microphone));
        assert_eq!(origin(&lines, "scr"), Some(TrackOrigin::Screen));
        assert_eq!(origin(&lines, "new"), None);
        assert!(lines.of_slot(TrackOrigin::Microphone, 0).is_none());
        let again = [("mic", SENT), ("d", RECEIVED), ("b", RECEIVED), ("scr", SENT), ("c", RECEIVED)];
        assert_eq!(seated(&mut lines, &again), (vec!["d".into(), "b".into()], Some("c".into())));
    }

    #[test]
    fn a_stopped_microphone_leaves_its_place_to_a_new_line() {
        let mut lines = Lines::new(1);
        seated(&mut lines, &[("mic", SENT), ("scr", SENT), ("a", RECEIVED)]);
        seated(&mut lines, &[("new", SENT), ("scr", SENT), ("a", RECEIVED)]);
        assert_eq!(origin(&lines, "new"), Some(TrackOrigin::Microphone));
        assert_eq!(origin(&lines, "scr"), Some(TrackOrigin::Screen));
        assert_eq!(origin(&lines, "mic"), None);
    }

    #[test]
    fn a_line_that_lost_its_place_uses_no_index_twice() {
        let mut lines = Lines::new(2);
        let seat = |lines: &mut Lines, offer: &[(u32, Direction)]| {
            let line = |ssrc: u32| Line {
                mid: Mid::from(&*ssrc.to_string()),
                opus_pt: Pt::from(111),
                red_pt: None,
                active: true,
                // One that is sealed here, and others that str0m has to.
                stream: Some(Stream::new(ssrc, &ssrc.to_string(), Some(1), Some(13 + ssrc as u8))),
            };
            lines.seat(offer.iter().map(|&(ssrc, direction)| (direction, line(ssrc))).collect());
        };
        let uses = |lines: &mut Lines, slot, index| {
            let (_, line) = lines.of_slot(TrackOrigin::Microphone, slot).expect("something is sent on it");
            line.stream.as_mut().expect("it can be sealed").use_index(index)
        };
        seat(&mut lines, &[(1, RECEIVED), (2, RECEIVED)]);
        assert!(uses(&mut lines, 0, 500) && uses(&mut lines, 1, 100));
        let stopped = Direction::Inactive;
        // A new line takes the place of one that pauses, which comes back in another place.
        seat(&mut lines, &[(1, stopped), (2, RECEIVED), (3, RECEIVED)]);
        assert!(uses(&mut lines, 0, 501));
        seat(&mut lines, &[(1, RECEIVED), (2, stopped), (3, RECEIVED)]);
        assert!(!uses(&mut lines, 1, 500) && uses(&mut lines, 1, 501));
        // And again, and back where it was.
        seat(&mut lines, &[(1, stopped), (2, RECEIVED), (3, stopped)]);
        seat(&mut lines, &[(1, RECEIVED), (2, RECEIVED), (3, stopped)]);
        for index in [100, 500, 501] {
            assert!(!(uses(&mut lines, 0, index) && uses(&mut lines, 1, index)), "{index}");
        }
    }
}
