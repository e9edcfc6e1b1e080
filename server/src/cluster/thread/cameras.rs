//! Cameras on other nodes that are watched here: who is to be asked for a keyframe, and how often.

use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{ENCODINGS_MAX, EncodingId, KeyframeGate, NodeId};

/// Those of one room.
#[derive(Default)]
pub(super) struct CamerasElsewhere(FxHashMap<SourceId, (NodeId, [KeyframeGate; ENCODINGS_MAX])>);

impl CamerasElsewhere {
    /// A node is told that these of its cameras are watched here, and no others.
    pub(super) fn watch(&mut self, node: NodeId, sources: &[u32]) {
        let is_watched = |source: &SourceId| sources.contains(&source.0);
        self.0.retain(|source, (of, _)| *of != node || is_watched(source));
        for source in sources {
            let (of, _) = self.0.entry(SourceId(*source)).or_insert((node, Default::default()));
            *of = node;
        }
    }

    /// A worker wants a keyframe. Returns the node to be asked for it now. A camera that isn't known is one of this node, or will be
    /// asked for a keyframe when its node hears that it is watched. Workers ask again until a keyframe comes.
    pub(super) fn ask(&mut self, now: Instant, wanted: EncodingId) -> Option<NodeId> {
        let (node, keyframes) = self.0.get_mut(&wanted.source)?;
        keyframes[usize::from(wanted.number).min(ENCODINGS_MAX - 1)].want(now).then_some(*node)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(source: u32) -> EncodingId {
        EncodingId { source: SourceId(source), number: 0 }
    }

    #[test]
    fn the_node_of_a_camera_is_asked_and_no_other_twice_a_second() {
        let (mut cameras, start) = (CamerasElsewhere::default(), Instant::now());
        let [a, b] = [1, 2].map(|index| NodeId { zone: 0, index });
        cameras.watch(a, &[7, 8]);
        cameras.watch(b, &[9]);
        let at = |ms| start + Duration::from_millis(ms);
        let asked: Vec<_> = (0..1_000).filter_map(|ms| cameras.ask(at(ms), of(8))).collect();
        assert_eq!(asked, [a, a]);
        assert_eq!(cameras.ask(start, of(9)), Some(b));
        assert_eq!(cameras.ask(start, of(1)), None, "a camera of this node");
        cameras.watch(a, &[7]);
        assert_eq!((cameras.ask(at(9_000), of(8)), cameras.ask(start, of(7))), (None, Some(a)));
        cameras.watch(b, &[7]);
        assert_eq!(cameras.ask(at(9_000), of(7)), Some(b), "they have moved");
    }
}
