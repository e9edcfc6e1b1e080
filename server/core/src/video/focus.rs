//! Who is looked at: how loud they are in, whose cameras the video slots show out.

use std::time::{Duration, Instant};

use selector::SourceId;

/// Somebody has to be the loudest for so long before all look at them: a cough is shorter.
const LEAD: Duration = Duration::from_millis(300);

/// All look at somebody for so long at least.
const HOLD: Duration = Duration::from_secs(1);

/// Who is looked at in a room: the cameras, in the order in which those before them spoke, the last speaker first.
///
/// Somebody whose camera is off is looked past: the picture of whoever spoke before stays.
#[derive(Clone, Debug, Default)]
pub struct Focus {
    order: Vec<SourceId>,
    /// Who is the loudest, and since when.
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

    /// A camera is off. Returns whether it was on.
    pub fn remove(&mut self, camera: SourceId) -> bool {
        let before = self.order.len();
        self.order.retain(|other| *other != camera);
        self.leader = self.leader.filter(|(leader, _)| *leader != camera);
        before != self.order.len()
    }

    /// The camera of whoever is the loudest now, if that is on and anybody speaks. To be told some times a second. Returns whether
    /// others are looked at.
    pub fn hear(&mut self, now: Instant, loudest: Option<SourceId>) -> bool {
        let loudest = loudest.filter(|camera| self.order.contains(camera));
        let since = match self.leader {
            Some((leader, since)) if Some(leader) == loudest => since,
            _ => now,
        };
        self.leader = loudest.map(|camera| (camera, since));
        let Some(camera) = loudest.filter(|camera| self.order.first() != Some(camera)) else {
            return false;
        };
        let leads = now.saturating_duration_since(since) >= LEAD;
        let is_held = self.changed_at.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        if !leads || is_held {
            return false;
        }
        self.order.retain(|other| *other != camera);
        self.order.insert(0, camera);
        self.changed_at = Some(now);
        true
    }

    /// What somebody's video slots are to show, given what they show: in the first whom they `pinned`, or who spoke last; in the
    /// others who spoke before, each where they are already. Nobody is shown their `own` camera.
    pub fn slots(
        &self,
        own: SourceId,
        pinned: Option<SourceId>,
        former: &[Option<SourceId>],
        count: usize,
    ) -> Vec<Option<SourceId>> {
        let pinned = pinned.filter(|pinned| *pinned != own && self.order.contains(pinned));
        let others = self.order.iter().copied().filter(|&camera| camera != own && Some(camera) != pinned);
        let shown: Vec<SourceId> = pinned.into_iter().chain(others).take(count).collect();
        let Some((&first, rest)) = shown.split_first() else {
            return vec![None; count];
        };
        let mut slots = vec![None; count];
        slots[0] = Some(first);
        let kept_in = |index: usize| former.get(index).copied().flatten().filter(|it| rest.contains(it));
        for (index, slot) in slots.iter_mut().enumerate().skip(1) {
            *slot = kept_in(index);
        }
        let mut new =
            rest.iter().copied().filter(|camera| !slots.contains(&Some(*camera))).collect::<Vec<_>>();
        for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
            *slot = if new.is_empty() { None } else { Some(new.remove(0)) };
        }
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
        let mut hear = |ms, loudest: Option<u32>| focus.hear(at(ms), loudest.map(SourceId));
        assert!(!hear(0, Some(2)) && !hear(200, Some(2)));
        assert!(!hear(250, None), "a cough");
        assert!(!hear(300, Some(2)) && !hear(500, Some(2)) && hear(600, Some(2)));
        assert!(!hear(700, Some(3)) && !hear(1_100, Some(3)), "they have just begun");
        assert!(hear(1_600, Some(3)));
        assert_eq!(ids(&focus.slots(OWN, None, &[], 3)), [3, 2, 1]);
    }

    #[test]
    fn a_slot_goes_on_showing_whom_it_shows() {
        let (mut focus, start) = (focus(5), Instant::now());
        let before = focus.slots(OWN, None, &[], 4);
        assert_eq!(ids(&before), [1, 2, 3, 4]);
        focus.hear(start, Some(SourceId(5)));
        assert!(focus.hear(start + LEAD, Some(SourceId(5))));
        let after = focus.slots(OWN, None, &before, 4);
        assert_eq!(ids(&after), [5, 2, 3, 1], "the one that spoke longest ago makes way");
        assert!(focus.remove(SourceId(2)));
        assert_eq!(ids(&focus.slots(OWN, None, &after, 4)), [5, 4, 3, 1]);
    }

    #[test]
    fn nobody_sees_themselves_and_whoever_is_pinned_comes_first() {
        let focus = focus(3);
        let slots = |own, pinned: Option<u32>, count| {
            ids(&focus.slots(SourceId(own), pinned.map(SourceId), &[], count))
        };
        assert_eq!(slots(1, None, 3), [2, 3, 0]);
        assert_eq!(slots(1, Some(3), 2), [3, 2]);
        assert_eq!(slots(99, Some(7), 1), [1], "whose camera is off");
        assert_eq!(slots(2, Some(2), 2), [1, 3], "not even then");
        assert!(slots(1, None, 0).is_empty());
    }
}
