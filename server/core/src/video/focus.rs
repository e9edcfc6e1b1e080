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

    /// What somebody's video slots are to show, given what they show: in the first ones whom they `pinned`, in that order, or in one
    /// who spoke last; in the others who spoke before, each where they are already. Nobody is shown their `own` camera.
    pub fn slots(
        &self,
        own: SourceId,
        pinned: &[SourceId],
        former: &[Option<SourceId>],
        count: usize,
    ) -> Vec<Option<SourceId>> {
        let mut first: Vec<SourceId> = Vec::new();
        for &camera in pinned {
            if camera != own && self.order.contains(&camera) && !first.contains(&camera) {
                first.push(camera);
            }
        }
        let mut others =
            self.order.iter().copied().filter(|camera| *camera != own && !first.contains(camera));
        let speaker = if first.is_empty() { others.next() } else { None };
        let rest: Vec<SourceId> = others.collect();
        first.extend(speaker);
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
        let mut hear = |ms, loudest: Option<u32>| focus.hear(at(ms), loudest.map(SourceId));
        assert!(!hear(0, Some(2)) && !hear(200, Some(2)));
        assert!(!hear(250, None), "a cough");
        assert!(!hear(300, Some(2)) && !hear(500, Some(2)) && hear(600, Some(2)));
        assert!(!hear(700, Some(3)) && !hear(1_100, Some(3)), "they have just begun");
        assert!(hear(1_600, Some(3)));
        assert_eq!(ids(&focus.slots(OWN, &[], &[], 3)), [3, 2, 1]);
    }

    #[test]
    fn a_slot_goes_on_showing_whom_it_shows() {
        let (mut focus, start) = (focus(5), Instant::now());
        let before = focus.slots(OWN, &[], &[], 4);
        assert_eq!(ids(&before), [1, 2, 3, 4]);
        focus.hear(start, Some(SourceId(5)));
        assert!(focus.hear(start + LEAD, Some(SourceId(5))));
        let after = focus.slots(OWN, &[], &before, 4);
        assert_eq!(ids(&after), [5, 2, 3, 1], "the one that spoke longest ago makes way");
        assert!(focus.remove(SourceId(2)));
        assert_eq!(ids(&focus.slots(OWN, &[], &after, 4)), [5, 4, 3, 1]);
    }

    #[test]
    fn nobody_sees_themselves_and_whoever_is_pinned_comes_first() {
        let focus = focus(3);
        let slots = |own, pinned: &[u32], count| {
            let pinned: Vec<SourceId> = pinned.iter().copied().map(SourceId).collect();
            ids(&focus.slots(SourceId(own), &pinned, &[], count))
        };
        assert_eq!(slots(1, &[], 3), [2, 3, 0]);
        assert_eq!(slots(1, &[3], 2), [3, 2]);
        assert_eq!(slots(99, &[7], 1), [1], "whose camera is off");
        assert_eq!(slots(2, &[2], 2), [1, 3], "not even then");
        assert_eq!(slots(99, &[3, 7, 3, 2], 3), [3, 2, 1]);
        assert_eq!(slots(99, &[3, 2], 1), [3]);
        assert!(slots(1, &[], 0).is_empty());
    }
}
