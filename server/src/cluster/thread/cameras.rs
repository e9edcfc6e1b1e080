//! Cameras on other nodes that are watched here: who is to be asked for a keyframe, and how often.

use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{KeyframeGate, NodeId};

/// Those of one room.
#[derive(Default)]
pub(super) struct CamerasElsewhere(FxHashMap<SourceId, (NodeId, KeyframeGate)>);

impl CamerasElsewhere {
    /// A node is told that these of its cameras are watched here, and no others.
    pub(super) fn watch(&mut self, node: NodeId, sources: &[u32]) {
        let is_watched = |source: &SourceId| sources.contains(&source.0);
        self.0.retain(|source, (of, _)| *of != node || is_watched(source));
        for source in sources {
            let (of, _) = self.0.entry(SourceId(*source)).or_insert((node, KeyframeGate::default()));
            *of = node;
        }
    }

    /// A worker wants a keyframe. Returns the node to be asked for it now. A camera that isn't known is one of this node, or will be
    /// asked for a keyframe when its node hears that it is watched. Workers ask again until a keyframe comes.
    pub(super) fn ask(&mut self, now: Instant, source: SourceId) -> Option<NodeId> {
        let (node, keyframes) = self.0.get_mut(&source)?;
        keyframes.want(now).then_some(*node)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_node_of_a_camera_is_asked_and_no_other_twice_a_second() {
        let (mut cameras, start) = (CamerasElsewhere::default(), Instant::now());
        let [a, b] = [1, 2].map(|index| NodeId { zone: 0, index });
        cameras.watch(a, &[7, 8]);
        cameras.watch(b, &[9]);
        let at = |ms| start + Duration::from_millis(ms);
        let asked: Vec<_> = (0..1_000).filter_map(|ms| cameras.ask(at(ms), SourceId(8))).collect();
        assert_eq!(asked, [a, a]);
        assert_eq!(cameras.ask(start, SourceId(9)), Some(b));
        assert_eq!(cameras.ask(start, SourceId(1)), None, "a camera of this node");
        cameras.watch(a, &[7]);
        assert_eq!((cameras.ask(at(9_000), SourceId(8)), cameras.ask(start, SourceId(7))), (None, Some(a)));
        cameras.watch(b, &[7]);
        assert_eq!(cameras.ask(at(9_000), SourceId(7)), Some(b), "they have moved");
    }
}
