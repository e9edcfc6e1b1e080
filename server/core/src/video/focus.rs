//! Who is looked at: who shares a screen and how loud the others are in, what the video slots show out.

use std::time::{Duration, Instant};

use selector::SourceId;

/// Somebody has to be the loudest for so long before all look at them: a cough is shorter. Half an interval more than some whole
/// ones of the ten a second in which it is asked.
const LEAD: Duration = Duration::from_millis(250);

/// All look at somebody for so long at least.
const HOLD: Duration = Duration::from_secs(1);

/// Who is looked at in a room: the screen that is shared, and the cameras, in the order in which those before them spoke, the last
/// speaker first.
///
/// Somebody whose camera is off is looked past: the picture of whoever spoke before stays. Of several screens the first is looked
/// at, until it is shared no more.
#[derive(Clone, Debug, Default)]
pub struct Focus {
    order: Vec<SourceId>,
    /// Since which turn each screen is shared, the first first.
    screens: Vec<(u64, SourceId)>,
    /// Who is the loudest of those who speak, and since when.
    leader: Option<(SourceId, Instant)>,
    changed_at: Option<Instant>,
}

impl Focus {
    /// A camera is on. Returns whether that is new.
    pub fn add(&mut self, camera: SourceId) -> bool {
        let is_new = !self.order.contains(&camera);
        if is_new {
            self.order.push(camera);
        }
        is_new
    }

    /// A screen is shared, since that turn: the room's nodes agree on who came first. Returns whether that is new. One that is known
    /// from another turn has ended since, though nobody heard of it.
    pub fn share(&mut self, screen: SourceId, turn: u64) -> bool {
        let is_new = self.turn_of(screen) != Some(turn);
        if is_new {
            self.screens.retain(|(_, other)| *other != screen);
            let place = self.screens.partition_point(|other| *other < (turn, screen));
            self.screens.insert(place, (turn, screen));
        }
        is_new
    }

    /// Since which turn a screen is shared, if it is.
    pub fn turn_of(&self, screen: SourceId) -> Option<u64> {
        self.screens.iter().find(|(_, other)| *other == screen).map(|(turn, _)| *turn)
    }

    /// A camera is off, or a screen shared no more. Returns whether it was.
    pub fn remove(&mut self, source: SourceId) -> bool {
        let before = self.order.len() + self.screens.len();
        self.order.retain(|other| *other != source);
        self.screens.retain(|(_, other)| *other != source);
        self.leader = self.leader.filter(|(leader, _)| *leader != source);
        before != self.order.len() + self.screens.len()
    }

    /// The camera of whoever is the loudest now, if that is on and anybody speaks, and when they were last heard to. To be told
    /// some times a second. Returns whether others are looked at.
    pub fn hear(&mut self, now: Instant, loudest: Option<(SourceId, Instant)>) -> bool {
        let Some((camera, active_at)) = loudest.filter(|(camera, _)| self.order.contains(camera)) else {
            self.leader = None;
            return false;
        };
        let since = match self.leader {
            Some((leader, since)) if leader == camera => since,
            _ => active_at,
        };
        self.leader = Some((camera, since));
        if self.order.first() == Some(&camera) {
            return false;
        }
        let leads = active_at.saturating_duration_since(since) >= LEAD;
        let is_held = self.changed_at.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        if !leads || is_held {
            return false;
        }
        self.order.retain(|other| *other != camera);
        self.order.insert(0, camera);
        self.changed_at = Some(now);
        true
    }

    /// The screen that is looked at: by all but its sharer, who is shown no other in place of it.
    pub fn screen(&self) -> Option<SourceId> {
        self.screens.first().map(|(_, screen)| *screen)
    }

    /// What somebody's video slots are to show, given what they show: in the first one the `screen`, if they are to see it; in the next
    /// ones whom they `pinned`, in that order, or in one who spoke last; in the others who spoke before, each where they are already.
    /// Nobody is shown their `own` camera.
    pub fn slots(
        &self,
        own: SourceId,
        screen: Option<SourceId>,
        pinned: &[SourceId],
        former: &[Option<SourceId>],
        count: usize,
    ) -> Vec<Option<SourceId>> {
        let mut chosen: Vec<SourceId> = Vec::new();
        for &camera in pinned {
            if camera != own && self.order.contains(&camera) && !chosen.contains(&camera) {
                chosen.push(camera);
            }
        }
        let mut others =
            self.order.iter().copied().filter(|camera| *camera != own && !chosen.contains(camera));
        let speaker = if chosen.is_empty() { others.next() } else { None };
        let rest: Vec<SourceId> = others.collect();
        let mut first: Vec<SourceId> = screen.into_iter().chain(chosen).chain(speaker).collect();
        first.truncate(count);
        let rest = &rest[..rest.len().min(count - first.len())];
        let mut slots: Vec<Option<SourceId>> = first.iter().copied().map(Some).collect();
        let kept_in = |index: usize| former.get(index).copied().flatten().filter(|it| rest.contains(it));
        slots.extend((first.len()..count).map(kept_in));
        let new: Vec<SourceId> = rest.iter().copied().filter(|it| !slots.contains(&Some(*it))).collect();
        let free = slots.iter_mut().filter(|slot| slot.is_none());
        free.zip(new).for_each(|(slot, camera)| *slot = Some(camera));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: SourceId = SourceId(99);

    fn ids(slots: &[Option<SourceId>]) -> Vec<u32> {
        slots.iter().map(|slot| slot.map_or(0, |source| source.0)).collect()
    }

    fn focus(cameras: u32) -> Focus {
        let mut focus = Focus::default();
        (1..=cameras).for_each(|camera| assert!(focus.add(SourceId(camera))));
        focus
    }

    #[test]
    fn whoever_speaks_is_looked_at_and_a_cough_is_not() {
        let (mut focus, start) = (focus(3), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut hear =
            |ms, loudest: Option<u32>| focus.hear(at(ms), loudest.map(|camera| (SourceId(camera), at(ms))));
        assert!(!hear(0, Some(2)) && !hear(200, Some(2)));
        assert!(!hear(250, None), "a cough");
        assert!(!hear(300, Some(2)) && !hear(500, Some(2)) && hear(600, Some(2)));
        assert!(!hear(700, Some(3)) && !hear(1_100, Some(3)), "they have just begun");
        assert!(hear(1_600, Some(3)));
        assert!(!hear(2_900, Some(2)));
        let cough = at(2_950);
        assert!(
            !focus.hear(at(3_300), Some((SourceId(2), cough))),
            "what was heard counts, not how long it was waited for"
        );
        assert_eq!(ids(&focus.slots(OWN, None, &[], &[], 3)), [3, 2, 1]);
    }

    #[test]
    fn a_slot_goes_on_showing_whom_it_shows() {
        let (mut focus, start) = (focus(5), Instant::now());
        let before = focus.slots(OWN, None, &[], &[], 4);
        assert_eq!(ids(&before), [1, 2, 3, 4]);
        focus.hear(start, Some((SourceId(5), start)));
        assert!(focus.hear(start + LEAD, Some((SourceId(5), start + LEAD))));
        let after = focus.slots(OWN, None, &[], &before, 4);
        assert_eq!(ids(&after), [5, 2, 3, 1], "the one that spoke longest ago makes way");
        assert!(focus.remove(SourceId(2)));
        assert_eq!(ids(&focus.slots(OWN, None, &[], &after, 4)), [5, 4, 3, 1]);
    }

    #[test]
    fn nobody_sees_themselves_and_whoever_is_pinned_comes_first() {
        let focus = focus(3);
        let slots = |own, pinned: &[u32], count| {
            let pinned: Vec<SourceId> = pinned.iter().copied().map(SourceId).collect();
            ids(&focus.slots(SourceId(own), None, &pinned, &[], count))
        };
        assert_eq!(slots(1, &[], 3), [2, 3, 0]);
        assert_eq!(slots(1, &[3], 2), [3, 2]);
        assert_eq!(slots(99, &[7], 1), [1], "whose camera is off");
        assert_eq!(slots(2, &[2], 2), [1, 3], "not even then");
        assert_eq!(slots(99, &[3, 7, 3, 2], 3), [3, 2, 1]);
        assert_eq!(slots(99, &[3, 2], 1), [3]);
        assert!(slots(1, &[], 0).is_empty());
    }

    #[test]
    fn a_screen_comes_before_all() {
        let mut focus = focus(3);
        let before = focus.slots(OWN, None, &[], &[], 3);
        assert!(focus.share(SourceId(101), 7) && !focus.share(SourceId(101), 7));
        let slots = |focus: &Focus, own, pinned: &[u32], count| {
            let pinned: Vec<SourceId> = pinned.iter().copied().map(SourceId).collect();
            ids(&focus.slots(SourceId(own), focus.screen(), &pinned, &before, count))
        };
        assert_eq!(slots(&focus, 99, &[], 3), [101, 1, 2]);
        assert_eq!(slots(&focus, 99, &[3, 2], 3), [101, 3, 2]);
        assert_eq!(slots(&focus, 2, &[], 3), [101, 1, 3]);
        assert_eq!(slots(&focus, 99, &[3], 1), [101]);
        assert!(slots(&focus, 99, &[], 0).is_empty());
        assert!(focus.remove(SourceId(101)) && !focus.remove(SourceId(101)));
        assert_eq!(slots(&focus, 99, &[], 3), [1, 2, 3]);
    }

    #[test]
    fn a_second_screen_waits_whoever_is_told_of_it_first() {
        let mut focus = Focus::default();
        for (screen, turn) in [(2, 9), (3, 9), (1, 7)] {
            assert!(focus.share(SourceId(screen), turn));
        }
        assert_eq!((focus.turn_of(SourceId(2)), focus.turn_of(SourceId(4))), (Some(9), None));
        // It ended and began again, and only the latter was heard of.
        assert!(focus.share(SourceId(1), 10));
        let mut looked_at = Vec::new();
        while let Some(screen) = focus.screen() {
            looked_at.push(screen.0);
            focus.remove(screen);
        }
        assert_eq!(looked_at, [2, 3, 1]);
    }
}
