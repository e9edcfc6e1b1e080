//! The video of a room on one worker: who shows what in which slot.

use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};
use selector::SourceId;

use super::{
    Allocator, Content, Demand, ENCODINGS_MAX, EncodingId, Layer, LayerCost, RewrittenVideo, VideoPacket,
    VideoSlot,
};
use crate::EndpointId;

/// The video of a room on one worker.
///
/// Of the streams that need a keyframe, which methods return, its caller asks the senders for one: by way of a
/// [`KeyframeGate`](super::KeyframeGate) each, on the worker of the camera and on each of the others.
#[derive(Default)]
pub struct VideoShard {
    viewers: FxHashMap<EndpointId, Viewer>,
    /// Who has a slot that shows a source, or is to.
    watchers: FxHashMap<SourceId, FxHashSet<(EndpointId, usize)>>,
    /// Whose viewers may wait for a keyframe for which it was too soon.
    waiting: FxHashSet<(EndpointId, usize)>,
    /// What is known of the layers of sources.
    layers: FxHashMap<SourceId, SourceLayers>,
}

/// What is known of a source's layers, on the worker that it comes to, and told to others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceLayers {
    /// What they are of.
    pub content: Content,
    /// What comes of it now.
    pub costs: Vec<LayerCost>,
    /// How high the smallest pictures are, in pixels; 0 if that isn't known.
    pub smallest_height: u32,
    /// How many streams it may have.
    pub encodings: u8,
}

/// What of a source is of use to some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of its streams those that are to be shown now, bit by bit.
    pub encodings: u8,
    /// As many of the smallest sizes as they would look at if their networks took it.
    pub layers: u8,
}

impl Wanted {
    /// What both want.
    pub fn and(self, other: Wanted) -> Wanted {
        let Wanted { encodings, layers } = other;
        Wanted { encodings: self.encodings | encodings, layers: self.layers.max(layers) }
    }
}

/// What a viewer's slots get.
#[derive(Debug, Default)]
pub struct Allotted {
    /// The streams that need a keyframe.
    pub needed: Vec<EncodingId>,
    /// What all that they would look at takes, kbit/s.
    pub desired_kbps: u32,
    /// What their network has to take for them to get more; `None` if they have all that.
    pub next_kbps: Option<u32>,
}

#[derive(Default)]
struct Viewer {
    slots: Vec<VideoSlot>,
    reachable: bool,
    /// What the slots are to show, of which there may be fewer yet.
    wanted: Vec<Option<SourceId>>,
    /// How high they are drawn, in pixels, where that is known.
    heights: FxHashMap<usize, u32>,
    /// Where it chose itself: no more than this, however high a slot is drawn.
    limits: FxHashMap<usize, Layer>,
    /// What its network takes, if that is known.
    estimate_kbps: Option<u32>,
    allocator: Allocator,
    /// What it answered last, by slot, and for which source.
    answers: Vec<Option<(SourceId, Layer)>>,
}

impl Viewer {
    /// How high a slot is drawn: as high as may be, if that isn't known.
    fn height(&self, slot: usize) -> u32 {
        self.heights.get(&slot).copied().unwrap_or(u32::MAX)
    }

    /// What a slot may have of its source at most.
    fn limit(&self, slot: usize) -> Layer {
        self.limits.get(&slot).copied().unwrap_or(Layer::MAX)
    }
}

/// A layer that takes so much more or less, in percent, is news.
const NEWS_PERCENT: u32 = 25;

impl SourceLayers {
    /// Whether somebody who knows the `former` ones should be told of these at once.
    pub fn are_news_after(&self, former: &SourceLayers) -> bool {
        let is_near = |(now, former): (&LayerCost, &LayerCost)| {
            let (layer, apart) = (now.layer, now.kbps.abs_diff(former.kbps));
            layer == former.layer && now.height == former.height && apart <= former.kbps * NEWS_PERCENT / 100
        };
        self.costs.len() != former.costs.len()
            || self.smallest_height != former.smallest_height
            || self.encodings != former.encodings
            || !self.costs.iter().zip(&former.costs).all(is_near)
    }

    /// How many of the smallest sizes there have to be for one to be as high as that. Each is twice as high as the one before.
    fn needed_for(&self, height: u32) -> u8 {
        let sizes = ENCODINGS_MAX as u8;
        if self.smallest_height == 0 {
            return sizes;
        }
        let is_enough = |size: &u8| self.smallest_height << (size - 1) >= height;
        (1..sizes).find(is_enough).unwrap_or(sizes)
    }
}

impl VideoShard {
    /// A viewer has these slots from now on, on a connection that is not there yet. What they are to show outlasts it.
    pub fn set_slots(&mut self, id: EndpointId, slots: impl IntoIterator<Item = VideoSlot>) {
        self.unlist(id);
        let viewer = self.viewers.entry(id).or_default();
        (viewer.slots, viewer.reachable) = (slots.into_iter().collect(), false);
        self.place(id);
    }

    /// More slots for a viewer whose connection got more m-lines.
    pub fn add_slots(
        &mut self,
        now: Instant,
        id: EndpointId,
        slots: impl IntoIterator<Item = VideoSlot>,
    ) -> Vec<EncodingId> {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.slots.extend(slots);
        }
        self.renew(now, id)
    }

    /// How many slots a viewer has.
    pub fn slot_count(&self, id: EndpointId) -> usize {
        self.viewers.get(&id).map_or(0, |viewer| viewer.slots.len())
    }

    /// Sets what a viewer's slots are to show. Returns the streams that need a keyframe.
    pub fn watch(&mut self, now: Instant, id: EndpointId, wanted: Vec<Option<SourceId>>) -> Vec<EncodingId> {
        self.viewers.entry(id).or_default().wanted = wanted;
        self.renew(now, id)
    }

    /// Sets how high a viewer's slots are drawn, in pixels; as high as may be where it isn't said.
    pub fn set_heights(&mut self, id: EndpointId, heights: impl IntoIterator<Item = (usize, u32)>) {
        self.viewers.entry(id).or_default().heights = heights.into_iter().collect();
    }

    /// Sets what a viewer's slots may have at most; all that there is where it isn't said. It holds for whomever a slot shows.
    pub fn set_limits(&mut self, id: EndpointId, limits: impl IntoIterator<Item = (usize, Layer)>) {
        self.viewers.entry(id).or_default().limits = limits.into_iter().collect();
    }

    /// What is known of the layers of those whom a viewer's slots are to show, slot by slot; `None` where that is nobody, or nothing
    /// is known.
    pub fn layers_for(&self, id: EndpointId) -> impl ExactSizeIterator<Item = Option<&SourceLayers>> {
        let slots = self.viewers.get(&id).map_or(&[][..], |viewer| &viewer.slots);
        slots.iter().map(|slot| self.layers.get(&slot.wanted()?))
    }

    /// What a viewer's network takes, if that is known.
    pub fn estimate(&self, id: EndpointId) -> Option<u32> {
        self.viewers.get(&id)?.estimate_kbps
    }

    /// A viewer's network takes so much.
    pub fn set_estimate(&mut self, id: EndpointId, kbps: Option<u32>) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.estimate_kbps = kbps;
        }
    }

    /// What is known of a source's layers.
    pub fn set_layers(&mut self, source: SourceId, layers: SourceLayers) {
        self.layers.insert(source, layers);
    }

    /// Nothing is known of a source's layers any more.
    pub fn forget_layers(&mut self, source: SourceId) {
        self.layers.remove(&source);
    }

    /// The viewers.
    pub fn viewers(&self) -> impl Iterator<Item = EndpointId> {
        self.viewers.keys().copied()
    }

    /// The sources that somebody here has a slot for.
    pub fn watched(&self) -> impl Iterator<Item = SourceId> {
        self.watchers.keys().copied()
    }

    /// Divides what a viewer's network takes among their slots.
    pub fn allocate(&mut self, now: Instant, id: EndpointId) -> Allotted {
        let Some(viewer) = self.viewers.get_mut(&id).filter(|viewer| viewer.reachable) else {
            return Allotted::default();
        };
        let known =
            |slot: &VideoSlot| self.layers.get(&slot.wanted()?).filter(|known| !known.costs.is_empty());
        let demand = |(index, slot): (usize, &VideoSlot)| {
            let answered = viewer.answers.get(index).copied().flatten();
            let height = viewer.height(index);
            Demand {
                costs: known(slot).map_or(&[], |layers| &layers.costs),
                content: known(slot).map_or(Content::default(), |layers| layers.content),
                height: if slot.wanted().is_some() { height } else { 0 },
                importance: importance(index, height),
                min: Layer::default(),
                max: viewer.limit(index),
                current: answered.filter(|(of, _)| slot.wanted() == Some(*of)).map(|(_, layer)| layer),
            }
        };
        let demands: Vec<Demand<'_>> = viewer.slots.iter().enumerate().map(demand).collect();
        let allocation = viewer.allocator.allocate(now, viewer.estimate_kbps, &demands);
        let answers = viewer.slots.iter().zip(&allocation.layers);
        viewer.answers = answers.map(|(slot, layer)| slot.wanted().zip(*layer)).collect();
        let mut needed = Vec::new();
        let limits = &viewer.limits;
        for ((index, slot), target) in viewer.slots.iter_mut().enumerate().zip(allocation.layers) {
            if slot.wanted().is_none() {
                continue;
            }
            let is_known = known(slot).is_some();
            let is_unlimited = viewer.estimate_kbps.is_none();
            let limit = limits.get(&index).copied().unwrap_or(Layer::MAX);
            slot.set_target(match target {
                // Of what nobody has measured yet the least, and that as often as it comes.
                Some(_) if !is_known && is_unlimited => Some(limit),
                Some(target) if !is_known => Some(Layer { temporal: limit.temporal, ..target }),
                target => target,
            });
            let least_of = |encoding: u8| {
                let costs = known(slot).into_iter().flat_map(|layers| &layers.costs);
                costs.filter(|cost| cost.layer.spatial == encoding).map(|cost| cost.kbps).min()
            };
            let larger_kbps = slot.passes_larger().and_then(least_of);
            if larger_kbps.zip(viewer.estimate_kbps).is_some_and(|(kbps, estimate)| kbps > estimate) {
                slot.cut();
            }
            if is_known && slot.needs_keyframe() {
                needed.extend(slot.wanted_encoding());
            }
        }
        Allotted { needed, desired_kbps: allocation.desired_kbps, next_kbps: allocation.next_kbps }
    }

    /// What of a source is of use to those here.
    pub fn wanted_of(&self, source: SourceId) -> Wanted {
        let mut wanted = Wanted::default();
        let layers = self.layers.get(&source);
        for &(id, index) in self.watchers.get(&source).into_iter().flatten() {
            let Some(viewer) = self.viewers.get(&id).filter(|viewer| viewer.reachable) else {
                continue;
            };
            let Some(slot) = viewer.slots.get(index) else {
                continue;
            };
            let is_wanted = slot.wanted() == Some(source);
            let shown = slot.shown_encoding().filter(|shown| shown.source == source);
            for encoding in shown.into_iter().chain(slot.wanted_encoding().filter(|_| is_wanted)) {
                wanted.encodings |= 1 << encoding.number.min(ENCODINGS_MAX as u8 - 1);
            }
            let height = viewer.height(index);
            if is_wanted && height > 0 {
                let needed = layers.map_or(ENCODINGS_MAX as u8, |layers| layers.needed_for(height));
                let allowed = viewer.limit(index).spatial.saturating_add(1);
                wanted.layers = wanted.layers.max(needed.min(allowed));
            }
        }
        wanted
    }

    /// Tells whether a viewer's connection is up. Nothing is forwarded to one whose isn't. Returns the streams that need a
    /// keyframe.
    pub fn set_reachable(&mut self, now: Instant, id: EndpointId, reachable: bool) -> Vec<EncodingId> {
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return Vec::new();
        };
        if std::mem::replace(&mut viewer.reachable, reachable) == reachable {
            return Vec::new();
        }
        // What they showed they show no more: nobody is listed for that.
        self.unlist(id);
        self.viewers.get_mut(&id).into_iter().flat_map(|it| &mut it.slots).for_each(VideoSlot::interrupt);
        let needed = self.renew(now, id);
        if reachable { needed } else { Vec::new() }
    }

    /// A viewer is gone.
    pub fn remove(&mut self, id: EndpointId) {
        self.unlist(id);
        self.viewers.remove(&id);
    }

    /// A viewer can't go on in a slot. Returns of which stream a keyframe is to be asked for now; otherwise see
    /// [`VideoShard::due_wishes`].
    pub fn wish(&mut self, now: Instant, id: EndpointId, slot: usize) -> Option<EncodingId> {
        let slots = &mut self.viewers.get_mut(&id)?.slots;
        let wish = slots.get_mut(slot)?;
        let encoding = wish.wanted_encoding().or(wish.shown_encoding())?;
        let is_due = wish.wish(now);
        if !is_due {
            self.waiting.insert((id, slot));
        }
        is_due.then_some(encoding)
    }

    /// Of which streams keyframes are to be asked for now for which it was too soon.
    pub fn due_wishes(&mut self, now: Instant) -> Vec<EncodingId> {
        let mut due = Vec::new();
        let viewers = &mut self.viewers;
        self.waiting.retain(|(id, slot)| {
            let slot = viewers.get_mut(id).and_then(|viewer| viewer.slots.get_mut(*slot));
            let Some(slot) = slot.filter(|slot| slot.has_wish()) else {
                return false;
            };
            let is_due = slot.is_wish_due(now);
            due.extend(slot.wanted_encoding().or(slot.shown_encoding()).filter(|_| is_due));
            !is_due
        });
        due
    }

    /// Whether anybody here has a slot for a source.
    pub fn is_watched(&self, source: SourceId) -> bool {
        self.watchers.contains_key(&source)
    }

    /// A source has ended, or is withheld.
    pub fn interrupt(&mut self, source: SourceId) {
        let watchers = self.watchers.get(&source).into_iter().flatten().copied();
        for (id, index) in watchers.collect::<Vec<_>>() {
            let slot = self.viewers.get_mut(&id).and_then(|viewer| viewer.slots.get_mut(index));
            let Some(slot) = slot.filter(|slot| slot.shown() == Some(source)) else {
                continue;
            };
            slot.interrupt();
            if slot.wanted() != Some(source) {
                self.unlist_slot(source, id, index);
            }
        }
    }

    /// Hands a packet to each slot that shows its source: `each` gets the viewer, the slot, and the numbers there. Returns
    /// whether a slot can't go on with the source without a keyframe.
    pub fn forward(
        &mut self,
        now: Instant,
        packet: &VideoPacket,
        mut each: impl FnMut(EndpointId, usize, RewrittenVideo),
    ) -> bool {
        let (mut switched, mut is_lost) = (Vec::new(), false);
        for &(id, index) in self.watchers.get(&packet.source).into_iter().flatten() {
            let viewer = self.viewers.get_mut(&id).filter(|viewer| viewer.reachable);
            let Some(slot) = viewer.and_then(|viewer| viewer.slots.get_mut(index)) else {
                continue;
            };
            let former = slot.shown();
            if let Some(rewritten) = slot.rewrite(now, packet) {
                each(id, index, rewritten);
            }
            if let Some(former) = former.filter(|former| slot.shown() != Some(*former)) {
                is_lost |= slot.wanted() == Some(former);
                switched.push((former, id, index));
            }
        }
        for (former, id, index) in switched {
            let viewer = self.viewers.get(&id).and_then(|viewer| viewer.slots.get(index));
            if viewer.is_some_and(|slot| slot.wanted() != Some(former)) {
                self.unlist_slot(former, id, index);
            }
        }
        is_lost
    }

    /// Gives a viewer's slots what they are to show, and as much of it as there is room for. Returns the streams that need a keyframe.
    fn renew(&mut self, now: Instant, id: EndpointId) -> Vec<EncodingId> {
        self.place(id);
        self.allocate(now, id);
        let slots = self.viewers.get(&id).into_iter().flat_map(|viewer| &viewer.slots);
        slots.filter(|slot| slot.needs_keyframe()).filter_map(VideoSlot::wanted_encoding).collect()
    }

    fn place(&mut self, id: EndpointId) {
        self.unlist(id);
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        for (index, slot) in viewer.slots.iter_mut().enumerate() {
            let wanted = viewer.wanted.get(index).copied().flatten();
            slot.show(wanted);
            let shown = slot.shown();
            for source in wanted.into_iter().chain(shown.filter(|_| shown != wanted)) {
                self.watchers.entry(source).or_default().insert((id, index));
            }
        }
    }

    /// Nobody is listed for what a viewer's slots show, or are to.
    fn unlist(&mut self, id: EndpointId) {
        let slots = self.viewers.get(&id).map_or(&[][..], |viewer| &viewer.slots);
        let of_slot =
            |(index, slot): (usize, &VideoSlot)| [slot.wanted(), slot.shown()].map(|of| (of, index));
        let listed: Vec<_> = slots.iter().enumerate().flat_map(of_slot).collect();
        for (source, index) in listed {
            if let Some(source) = source {
                self.unlist_slot(source, id, index);
            }
        }
    }

    fn unlist_slot(&mut self, source: SourceId, id: EndpointId, slot: usize) {
        if let Some(watchers) = self.watchers.get_mut(&source) {
            watchers.remove(&(id, slot));
            if watchers.is_empty() {
                self.watchers.remove(&source);
            }
        }
    }
}

/// Whom one looks at comes first, and of the others those who are drawn larger.
fn importance(slot: usize, height: u32) -> u8 {
    let size = height.checked_ilog2().unwrap_or(0) as u8;
    if slot == 0 { u8::MAX } else { size }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, VideoCodec, VideoFormat};
    use super::*;
    use crate::StreamEpoch;

    fn packet(source: u32, seq: u64, begins_keyframe: bool) -> VideoPacket {
        VideoPacket {
            source: SourceId(source),
            encoding: 0,
            encodings: 1,
            epoch: StreamEpoch(0),
            seq,
            timestamp: seq as u32 * 3_000,
            marker: true,
            format: VideoFormat { codec: VideoCodec::Vp8, profile: 0, mode: 0 },
            begins_keyframe,
            part: Part::default(),
            descriptor: None,
            payload: [1].into(),
        }
    }

    fn seen(shard: &mut VideoShard, packet: &VideoPacket) -> Vec<(u64, usize)> {
        let mut seen = Vec::new();
        shard.forward(Instant::now(), packet, |id, slot, _| seen.push((id.0, slot)));
        seen.sort_unstable();
        seen
    }

    /// Of whom streams are.
    fn of(encodings: impl IntoIterator<Item = EncodingId>) -> Vec<u32> {
        encodings.into_iter().map(|encoding| encoding.source.0).collect()
    }

    fn source(number: u32) -> Option<SourceId> {
        Some(SourceId(number))
    }

    #[test]
    fn each_slot_shows_what_it_is_to_show_and_nobody_else_gets_it() {
        let mut shard = VideoShard::default();
        let slots = |count| (0..count).map(|_| VideoSlot::new(0, 0));
        for (id, count) in [(1, 2), (2, 1), (3, 1)] {
            shard.set_slots(EndpointId(id), slots(count));
            shard.set_reachable(Instant::now(), EndpointId(id), true);
        }
        assert_eq!(of(shard.watch(Instant::now(), EndpointId(1), vec![source(7), source(8)])), [7, 8]);
        assert_eq!(of(shard.watch(Instant::now(), EndpointId(2), vec![source(7), source(9)])), [7]);
        assert!(seen(&mut shard, &packet(7, 0, false)).is_empty());
        assert_eq!(seen(&mut shard, &packet(7, 1, true)), [(1, 0), (2, 0)]);
        assert_eq!(seen(&mut shard, &packet(8, 1, true)), [(1, 1)]);
        assert!(!shard.is_watched(SourceId(9)), "there is no slot for it");
        // One looks at somebody else.
        assert_eq!(of(shard.watch(Instant::now(), EndpointId(2), vec![source(8)])), [8]);
        assert_eq!(seen(&mut shard, &packet(7, 2, false)), [(1, 0), (2, 0)], "until a keyframe");
        assert_eq!(seen(&mut shard, &packet(8, 2, true)), [(1, 1), (2, 0)]);
        assert_eq!(seen(&mut shard, &packet(7, 3, false)), [(1, 0)]);
        assert_eq!(of(shard.wish(Instant::now(), EndpointId(2), 0)), [8]);
        shard.remove(EndpointId(1));
        assert!(!shard.is_watched(SourceId(7)) && shard.is_watched(SourceId(8)));
    }

    #[test]
    fn a_slot_shows_no_more_than_its_viewer_chose() {
        let (mut shard, id, now) = (VideoShard::default(), EndpointId(1), Instant::now());
        shard.set_slots(id, [VideoSlot::new(0, 0), VideoSlot::new(0, 0)]);
        shard.set_reachable(now, id, true);
        let (small, any) = (Layer { spatial: 0, temporal: u8::MAX }, Layer::MAX);
        shard.set_limits(id, [(0, small)]);
        shard.watch(now, id, vec![source(7), source(8)]);
        let targets = |shard: &VideoShard| {
            shard.viewers[&id].slots.iter().map(|it| it.target().map(|it| it.spatial)).collect::<Vec<_>>()
        };
        assert_eq!(targets(&shard), [Some(0), Some(u8::MAX)], "also while nothing is known");
        let wanted = |shard: &VideoShard, of| shard.wanted_of(SourceId(of)).layers;
        assert_eq!((wanted(&shard, 7), wanted(&shard, 8)), (1, 4), "what nobody may have isn't sent");

        let cost =
            |(spatial, kbps, height)| LayerCost { layer: Layer { spatial, temporal: 0 }, kbps, height };
        let costs: Vec<LayerCost> = [(0, 100, 180), (1, 400, 360), (2, 1_500, 720)].map(cost).into();
        let layers = SourceLayers { costs, smallest_height: 180, encodings: 3, ..SourceLayers::default() };
        shard.set_layers(SourceId(7), layers.clone());
        shard.set_layers(SourceId(8), layers.clone());
        shard.allocate(now, id);
        assert_eq!(targets(&shard), [Some(0), Some(2)]);
        assert_eq!(shard.layers_for(id).collect::<Vec<_>>(), [Some(&layers), Some(&layers)]);
        // Whomever it shows; and what fits is still what the network takes.
        shard.watch(now, id, vec![source(8), source(7)]);
        assert_eq!(targets(&shard), [Some(0), Some(2)]);
        shard.set_limits(id, [(0, Layer { spatial: 1, ..any })]);
        shard.set_estimate(id, Some(300));
        shard.allocate(now, id);
        assert_eq!(targets(&shard), [Some(0), Some(0)]);
        shard.set_limits(id, []);
        shard.set_estimate(id, None);
        // By now the network has taken all for long enough.
        let later = now + std::time::Duration::from_secs(60);
        shard.allocate(later, id);
        shard.allocate(later + std::time::Duration::from_secs(60), id);
        assert_eq!(targets(&shard), [Some(2), Some(2)], "as much as there is again");
    }

    #[test]
    fn whoever_comes_back_needs_a_keyframe() {
        let (mut shard, id) = (VideoShard::default(), EndpointId(1));
        shard.watch(Instant::now(), id, vec![source(7)]);
        shard.set_slots(id, [VideoSlot::new(0, 0)]);
        assert!(seen(&mut shard, &packet(7, 0, true)).is_empty(), "the connection isn't up");
        assert_eq!(of(shard.set_reachable(Instant::now(), id, true)), [7]);
        assert_eq!(seen(&mut shard, &packet(7, 1, true)), [(1, 0)]);
        shard.set_reachable(Instant::now(), id, false);
        assert!(seen(&mut shard, &packet(7, 2, false)).is_empty());
        assert_eq!(of(shard.set_reachable(Instant::now(), id, true)), [7]);
        assert!(seen(&mut shard, &packet(7, 3, false)).is_empty());
        shard.interrupt(SourceId(7));
        assert_eq!(seen(&mut shard, &packet(7, 4, true)), [(1, 0)]);
    }
    #[test]
    fn nobody_is_listed_for_what_a_slot_shows_no_more() {
        let id = EndpointId(1);
        let between_two = || {
            let mut shard = VideoShard::default();
            shard.set_slots(id, [VideoSlot::new(0, 0)]);
            shard.set_reachable(Instant::now(), id, true);
            shard.watch(Instant::now(), id, vec![source(7)]);
            seen(&mut shard, &packet(7, 0, true));
            shard.watch(Instant::now(), id, vec![source(8)]);
            assert!(shard.is_watched(SourceId(7)) && shard.is_watched(SourceId(8)));
            shard
        };
        let mut left = between_two();
        assert!(left.set_reachable(Instant::now(), id, false).is_empty());
        assert!(!left.is_watched(SourceId(7)) && left.is_watched(SourceId(8)));
        assert_eq!(of(left.set_reachable(Instant::now(), id, true)), [8]);
        let mut ended = between_two();
        ended.interrupt(SourceId(7));
        assert!(!ended.is_watched(SourceId(7)) && ended.is_watched(SourceId(8)));
        ended.remove(id);
        assert!(!ended.is_watched(SourceId(8)));
    }
    #[test]
    fn a_slot_that_lost_what_it_shows_needs_a_keyframe() {
        let (mut shard, id, now) = (VideoShard::default(), EndpointId(1), Instant::now());
        shard.set_slots(id, [VideoSlot::new(0, 0)]);
        shard.set_reachable(Instant::now(), id, true);
        shard.watch(Instant::now(), id, vec![source(7)]);
        let mut is_lost = |seq, begins| shard.forward(now, &packet(7, seq, begins), |_, _, _| {});
        assert!(!is_lost(0, true) && !is_lost(1, false));
        assert!(is_lost(1_000, false), "once");
        assert!(!is_lost(1_001, false) && !is_lost(1_002, true));
    }
    #[test]
    fn a_wish_that_comes_too_soon_waits() {
        let (mut shard, id, now) = (VideoShard::default(), EndpointId(1), Instant::now());
        shard.set_slots(id, [VideoSlot::new(0, 0)]);
        shard.set_reachable(Instant::now(), id, true);
        shard.watch(Instant::now(), id, vec![source(7)]);
        assert_eq!(of(shard.wish(now, id, 0)), [7]);
        assert_eq!(seen(&mut shard, &packet(7, 0, true)).len(), 1);
        assert_eq!(shard.wish(Instant::now(), id, 0), None);
        let later = Instant::now() + std::time::Duration::from_secs(2);
        assert!(shard.due_wishes(now).is_empty());
        assert_eq!((of(shard.due_wishes(later)), shard.due_wishes(later)), (vec![7], Vec::new()));
    }

    #[test]
    fn a_screen_is_larger_before_it_is_smoother_and_a_camera_the_other_way_round() {
        let mut shard = VideoShard::default();
        let (id, now) = (EndpointId(1), Instant::now());
        shard.set_slots(id, [VideoSlot::new(1, 1)]);
        shard.set_reachable(now, id, true);
        shard.set_estimate(id, Some(250));
        let kbps = [[60, 70, 80], [200, 300, 500]];
        let of_size = |(spatial, rates): (u8, [u32; 3])| {
            (0..).zip(rates).map(move |(temporal, kbps)| LayerCost {
                layer: Layer { spatial, temporal },
                kbps,
                height: 360 << spatial,
            })
        };
        let costs: Vec<LayerCost> = (0..).zip(kbps).flat_map(of_size).collect();
        let mut given = |source, content| {
            let layers = SourceLayers { content, costs: costs.clone(), smallest_height: 360, encodings: 2 };
            shard.set_layers(SourceId(source), layers);
            shard.watch(now, id, vec![Some(SourceId(source))]);
            shard.viewers[&id].slots[0].target().map(|it| (it.spatial, it.temporal))
        };
        assert_eq!(given(7, Content::Camera), Some((0, 2)));
        assert_eq!(given(8, Content::Screen), Some((1, 0)));
    }
}
