//! The audio m-lines of a connection: what an offer has in, what is what out. Those of video are in `video.rs`.

use selector::SLOTS_MAX;
use str0m::media::Mid;
use tercet_protocol::AudioOrigin;

use super::stream::{Numbers, Stream};

/// The lines that a client sends on: its microphone's and its screen's.
const UPSTREAMS_MAX: usize = AudioOrigin::ALL.len();

/// An audio m-line of an answered offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Negotiated {
    pub(super) mid: Mid,
    pub(super) way: Way,
    pub(super) numbers: Numbers,
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The client sends on it.
    Up,
    /// It only receives on it.
    Down,
    /// Neither: a client can stop a line, and start it again.
    Stopped,
}

/// A line that the client sends on.
struct Upstream {
    mid: Mid,
    active: bool,
}

/// A line that the client receives on.
pub(super) struct Downstream {
    active: bool,
    pub(super) stream: Stream,
}

/// All of them, each in its place for as long as it isn't stopped.
pub(super) struct Lines {
    /// What the client sends: the microphone first.
    upstream: Vec<Upstream>,
    /// What it receives: the slots, and after all of them the screen slot.
    downstream: Vec<Downstream>,
    slots_max: usize,
}

impl Lines {
    pub(super) fn new(slots_max: usize) -> Lines {
        Lines { upstream: Vec::new(), downstream: Vec::new(), slots_max: slots_max.min(SLOTS_MAX) }
    }

    /// The lines of a session description, in its order. The first on which the client sends is its microphone, the
    /// second its screen; those it only receives on are the slots, and then the screen slot.
    pub(super) fn seat(&mut self, read: Vec<Negotiated>) {
        self.upstream.iter_mut().for_each(|line| line.active = false);
        self.downstream.iter_mut().for_each(|line| line.active = false);
        // Those that are known keep their places; new ones, wherever they stand, take what is left.
        let is_known = |line: &Negotiated| {
            let mut known =
                self.upstream.iter().map(Seated::mid).chain(self.downstream.iter().map(Seated::mid));
            known.any(|mid| mid == line.mid)
        };
        let (known, new): (Vec<_>, Vec<_>) = read.into_iter().partition(is_known);
        for line in known.into_iter().chain(new) {
            match line.way {
                Way::Up => join(&mut self.upstream, line.mid, &line, UPSTREAMS_MAX),
                Way::Down => join(&mut self.downstream, line.mid, &line, self.slots_max + 1),
                Way::Stopped => {}
            }
        }
    }

    /// Whether nothing can be sent or received.
    pub(super) fn are_of_no_use(&self) -> bool {
        !self.upstream.iter().any(|line| line.active) && self.downstream.is_empty()
    }

    /// Those of the slots, and that of the screen slot.
    pub(super) fn downstream_mids(&self) -> (Vec<String>, Option<String>) {
        let mut mids = self.downstream.iter().map(|line| line.stream.mid.to_string());
        (mids.by_ref().take(self.slots_max).collect(), mids.next())
    }

    /// The line of a slot for audio of this origin, and its place among all that the client receives on, if anything
    /// can be sent on it.
    pub(super) fn of_slot(&mut self, origin: AudioOrigin, slot: usize) -> Option<(usize, &mut Stream)> {
        let place = match origin {
            AudioOrigin::Microphone => slot,
            AudioOrigin::Screen => self.slots_max + slot,
        };
        let line = self.downstream.get_mut(place).filter(|line| line.active)?;
        Some((place, &mut line.stream))
    }

    /// Those that the client receives on, by place.
    pub(super) fn downstream(&mut self) -> &mut [Downstream] {
        &mut self.downstream
    }

    /// The SSRC of what is sent on a line; `None` if nothing is.
    pub(super) fn ssrc_of(&self, mid: &str) -> Option<u32> {
        let line = self.downstream.iter().find(|line| line.active && *line.stream.mid == *mid)?;
        Some(line.stream.ssrc)
    }

    /// What the client sends on a line; `None` for one on which it has nothing to send.
    pub(super) fn origin_of(&self, mid: Mid) -> Option<AudioOrigin> {
        let place = self.upstream.iter().position(|line| line.active && line.mid == mid)?;
        AudioOrigin::ALL.get(place).copied()
    }
}

/// A line that has a place among others.
pub(super) trait Seated {
    /// What is known of a line when it is negotiated.
    type Line;
    fn new(line: &Self::Line) -> Self;
    fn mid(&self) -> Mid;
    fn is_active(&self) -> bool;
    /// It was negotiated again.
    fn renew(&mut self, line: &Self::Line);
}

impl Seated for Upstream {
    type Line = Negotiated;

    fn new(line: &Negotiated) -> Upstream {
        Upstream { mid: line.mid, active: true }
    }

    fn mid(&self) -> Mid {
        self.mid
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn renew(&mut self, _: &Negotiated) {
        self.active = true;
    }
}

impl Seated for Downstream {
    type Line = Negotiated;

    fn new(line: &Negotiated) -> Downstream {
        Downstream { active: true, stream: Stream::new(line.mid, line.numbers) }
    }

    fn mid(&self) -> Mid {
        self.stream.mid
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn renew(&mut self, line: &Negotiated) {
        self.active = true;
        self.stream.renumber(line.numbers);
    }
}

/// A line takes its place among others. One that the client has stopped makes room for a new one; beyond `lines_max` there
/// is none.
pub(super) fn join<L: Seated>(lines: &mut Vec<L>, mid: Mid, line: &L::Line, lines_max: usize) {
    if let Some(known) = lines.iter_mut().find(|known| known.mid() == mid) {
        known.renew(line);
    } else if let Some(stopped) = lines.iter_mut().find(|other| !other.is_active()) {
        *stopped = L::new(line);
    } else if lines.len() < lines_max {
        lines.reserve_exact(1);
        lines.push(L::new(line));
    }
}

#[cfg(test)]
mod tests {
    use str0m::media::Pt;

    use super::*;

    fn numbers() -> Numbers {
        Numbers { opus_pt: Pt::from(111), red_pt: None, level_id: Some(1), mid_id: None }
    }

    fn seated(lines: &mut Lines, offer: &[(&str, Way)]) -> (Vec<String>, Option<String>) {
        let read = |&(mid, way)| Negotiated { mid: Mid::from(mid), way, numbers: numbers() };
        lines.seat(offer.iter().map(read).collect());
        lines.downstream_mids()
    }

    fn origin(lines: &Lines, mid: &str) -> Option<AudioOrigin> {
        lines.origin_of(Mid::from(mid))
    }

    #[test]
    fn a_new_line_in_place_of_a_stopped_one_moves_no_other() {
        let mut lines = Lines::new(2);
        let offer =
            [("mic", Way::Up), ("a", Way::Down), ("b", Way::Down), ("scr", Way::Up), ("c", Way::Down)];
        assert_eq!(seated(&mut lines, &offer), (vec!["a".into(), "b".into()], Some("c".into())));
        // RFC 8829, section 5.2.2: a new m-line takes the index of a stopped one, before those that go on.
        let offer =
            [("mic", Way::Up), ("new", Way::Up), ("b", Way::Down), ("scr", Way::Up), ("c", Way::Down)];
        seated(&mut lines, &offer);
        assert_eq!(origin(&lines, "mic"), Some(AudioOrigin::Microphone));
        assert_eq!(origin(&lines, "scr"), Some(AudioOrigin::Screen));
        assert_eq!(origin(&lines, "new"), None);
        assert!(lines.of_slot(AudioOrigin::Microphone, 0).is_none());
        let offer =
            [("mic", Way::Up), ("d", Way::Down), ("b", Way::Down), ("scr", Way::Up), ("c", Way::Down)];
        assert_eq!(seated(&mut lines, &offer), (vec!["d".into(), "b".into()], Some("c".into())));
    }

    #[test]
    fn a_stopped_microphone_leaves_its_place_to_a_new_line() {
        let mut lines = Lines::new(1);
        seated(&mut lines, &[("mic", Way::Up), ("scr", Way::Up), ("a", Way::Down)]);
        seated(&mut lines, &[("new", Way::Up), ("scr", Way::Up), ("a", Way::Down)]);
        assert_eq!(origin(&lines, "new"), Some(AudioOrigin::Microphone));
        assert_eq!(origin(&lines, "scr"), Some(AudioOrigin::Screen));
        assert_eq!(origin(&lines, "mic"), None);
    }

    #[test]
    fn a_line_has_one_ssrc_for_as_long_as_it_has_its_place_and_nobody_has_it_afterwards() {
        let mut lines = Lines::new(2);
        let mut seen = Vec::new();
        let mut ssrcs = |lines: &Lines| {
            let now = ["a", "b", "c"].map(|mid| lines.ssrc_of(mid));
            seen.extend(now.into_iter().flatten().filter(|ssrc| !seen.contains(ssrc)).collect::<Vec<_>>());
            (now, seen.len())
        };
        seated(&mut lines, &[("a", Way::Down), ("b", Way::Down)]);
        let (first, _) = ssrcs(&lines);
        // One pauses and comes back.
        seated(&mut lines, &[("a", Way::Stopped), ("b", Way::Down)]);
        assert_eq!(ssrcs(&lines), ([None, first[1], None], 2));
        seated(&mut lines, &[("a", Way::Down), ("b", Way::Down)]);
        assert_eq!(ssrcs(&lines), (first, 2));
        // One pauses, another takes its place, and it comes back in a third's.
        seated(&mut lines, &[("a", Way::Stopped), ("b", Way::Down), ("c", Way::Down)]);
        assert_eq!(ssrcs(&lines).1, 3);
        seated(&mut lines, &[("a", Way::Down), ("b", Way::Stopped), ("c", Way::Down)]);
        let (last, all) = ssrcs(&lines);
        assert!(all == 4 && last[0] != first[0] && last[1].is_none());
    }
}
