//! Which layers there are for the video slots of those who want to know; to the control plane what changed of that, out.

use std::time::{Duration, Instant};

use tercet_core::{EndpointId, SourceLayers};

use super::Plane;
use crate::media::WorkerEvent;

/// Who follows them is told no more often than this: what layers take wavers all the time.
const TOLD_INTERVAL: Duration = Duration::from_secs(1);

/// What a client was told of the layers for its slots.
#[derive(Debug, Default)]
pub(super) struct FollowedLayers {
    told: Option<(Vec<Option<SourceLayers>>, Instant)>,
}

impl FollowedLayers {
    /// Whether it is told now, of layers that are these.
    fn is_due<'a>(
        &self,
        now: Instant,
        slots: impl ExactSizeIterator<Item = Option<&'a SourceLayers>>,
    ) -> bool {
        let Some((told, at)) = &self.told else {
            return true;
        };
        let is_news = |(slot, told): (Option<&SourceLayers>, &Option<SourceLayers>)| match (slot, told) {
            (Some(layers), Some(told)) => layers.are_news_after(told) || layers.encodings != told.encodings,
            (slot, told) => slot.is_some() != told.is_some(),
        };
        now >= *at + TOLD_INTERVAL && (slots.len() != told.len() || slots.zip(told).any(is_news))
    }
}

impl Plane {
    /// A client wants to be told of layers, anew if it was before; or not any more.
    pub(super) fn follow_layers(&mut self, id: EndpointId, follows: bool) {
        if follows && self.endpoints.contains_key(&id) {
            self.following.insert(id, FollowedLayers::default());
        } else {
            self.following.remove(&id);
        }
    }

    /// Tells those who follow them of the layers that there are now, if that is news.
    pub(super) fn tell_of_layers(&mut self, now: Instant) {
        // It would be lost, and taken for told.
        if self.is_ahead_of_control() {
            return;
        }
        let mut news = Vec::new();
        for (&endpoint, followed) in &mut self.following {
            let room = self.endpoints.get(&endpoint).and_then(|it| self.rooms.get(&it.room));
            let Some(video) = room.map(|local| &local.video) else {
                continue;
            };
            if followed.is_due(now, video.layers_for(endpoint)) {
                let slots: Vec<_> = video.layers_for(endpoint).map(|layers| layers.cloned()).collect();
                followed.told = Some((slots.clone(), now));
                news.push(WorkerEvent::LayersChanged { endpoint, slots });
            }
        }
        news.into_iter().for_each(|event| self.tell(event));
    }
}

#[cfg(test)]
mod tests {
    use tercet_core::{Layer, LayerCost};

    use super::*;

    fn layers(kbps: u32) -> SourceLayers {
        let costs = vec![LayerCost { layer: Layer::default(), kbps, height: 180 }];
        SourceLayers { costs, smallest_height: 180, encodings: 3, ..SourceLayers::default() }
    }

    #[test]
    fn a_follower_is_told_at_once_and_then_of_what_changes_notably_once_a_second() {
        let start = Instant::now();
        let mut followed = FollowedLayers::default();
        let is_due = |followed: &FollowedLayers, ms, slots: &[Option<SourceLayers>]| {
            followed.is_due(start + Duration::from_millis(ms), slots.iter().map(Option::as_ref))
        };
        assert!(is_due(&followed, 0, &[]), "also that there is nothing");
        followed.told = Some((vec![Some(layers(100)), None], start));
        assert!(!is_due(&followed, 999, &[Some(layers(900)), None]), "too soon");
        assert!(is_due(&followed, 1_000, &[Some(layers(900)), None]));
        assert!(!is_due(&followed, 5_000, &[Some(layers(120)), None]), "it wavers");
        assert!(is_due(&followed, 5_000, &[None, None]), "it ended");
        assert!(is_due(&followed, 5_000, &[Some(layers(100)), None, None]), "one line more");
    }
}
