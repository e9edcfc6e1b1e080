//! Cameras of rooms that span nodes: who of the other nodes is to be asked for a keyframe, and how often; what of them is wanted here,
//! and what of those here is wanted there.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{ENCODINGS_MAX, EncodingId, KeyframeGate, NodeId, Wanted};

use crate::media::WorkerId;

/// What was wanted and isn't repeated for so long, is wanted no more.
const WANTED_FOR: Duration = Duration::from_secs(3);

/// What is wanted of another node is told it again so often, and at once when it is more or less.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Those of one room.
#[derive(Default)]
pub(super) struct CamerasElsewhere {
    cameras: FxHashMap<SourceId, CameraElsewhere>,
    /// What is wanted of cameras here.
    of_ours: WantedBy<(SourceId, NodeId)>,
}

/// A camera on another node that is watched here.
struct CameraElsewhere {
    node: NodeId,
    keyframes: [KeyframeGate; ENCODINGS_MAX],
    wanted: WantedBy<WorkerId>,
    told: Option<(Wanted, Instant)>,
}

type WantedBy<K> = FxHashMap<K, (Wanted, Instant)>;

impl CamerasElsewhere {
    /// A node is told that these of its cameras are watched here, and no others.
    pub(super) fn watch(&mut self, node: NodeId, sources: &[u32]) {
        let is_watched = |source: &SourceId| sources.contains(&source.0);
        self.cameras.retain(|source, camera| camera.node != node || is_watched(source));
        for source in sources {
            let camera = self.cameras.entry(SourceId(*source)).or_insert_with(|| CameraElsewhere::on(node));
            if camera.node != node {
                *camera = CameraElsewhere::on(node);
            }
        }
    }

    /// A worker wants a keyframe. Returns the node to be asked for it now. A camera that isn't known is one of this node, or will be
    /// asked for a keyframe when its node hears that it is watched. Workers ask again until a keyframe comes.
    pub(super) fn ask(&mut self, now: Instant, wanted: EncodingId) -> Option<NodeId> {
        let camera = self.cameras.get_mut(&wanted.source)?;
        let keyframes = &mut camera.keyframes[usize::from(wanted.number).min(ENCODINGS_MAX - 1)];
        keyframes.want(now).then_some(camera.node)
    }

    /// A worker here wants so much of a camera. Returns the node to be told of it now, and what all workers want.
    pub(super) fn want(
        &mut self,
        now: Instant,
        source: SourceId,
        by: WorkerId,
        wanted: Wanted,
    ) -> Option<(NodeId, Wanted)> {
        let camera = self.cameras.get_mut(&source)?;
        camera.wanted.insert(by, (wanted, now));
        let all = all_of(now, &mut camera.wanted, |_| true);
        let is_due = camera.told.is_none_or(|(told, at)| told != all || now >= at + TELL_INTERVAL);
        if is_due {
            camera.told = Some((all, now));
        }
        is_due.then_some((camera.node, all))
    }

    /// Clients of another node want so much of a camera here. Returns what those of all nodes want.
    pub(super) fn want_ours(&mut self, now: Instant, source: SourceId, by: NodeId, wanted: Wanted) -> Wanted {
        self.of_ours.insert((source, by), (wanted, now));
        all_of(now, &mut self.of_ours, |(of, _)| *of == source)
    }
}

impl CameraElsewhere {
    fn on(node: NodeId) -> CameraElsewhere {
        let (keyframes, wanted) = Default::default();
        CameraElsewhere { node, keyframes, wanted, told: None }
    }
}

/// What some want together, as far as they said so lately.
fn all_of<K>(now: Instant, wanted: &mut WantedBy<K>, is_of: impl Fn(&K) -> bool) -> Wanted {
    wanted.retain(|_, (_, at)| now.saturating_duration_since(*at) < WANTED_FOR);
    let some = wanted.iter().filter(|(by, _)| is_of(by)).map(|(_, (wanted, _))| *wanted);
    some.fold(Wanted::default(), Wanted::and)
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
    #[test]
    fn a_node_is_told_what_all_workers_want_and_not_time_and_again() {
        let (mut cameras, start) = (CamerasElsewhere::default(), Instant::now());
        let node = NodeId { zone: 0, index: 1 };
        cameras.watch(node, &[7]);
        let mut want = |ms, worker, encodings, layers| {
            let at = start + Duration::from_millis(ms);
            let wanted = Wanted { encodings, layers };
            let told = cameras.want(at, SourceId(7), WorkerId(worker), wanted);
            told.map(|(_, all)| (all.encodings, all.layers))
        };
        assert_eq!(want(0, 0, 0b001, 1), Some((0b001, 1)));
        assert_eq!(want(10, 1, 0b100, 3), Some((0b101, 3)));
        assert_eq!((want(500, 0, 0b001, 1), want(1_010, 0, 0b001, 1)), (None, Some((0b101, 3))));
        assert_eq!(want(3_010, 0, 0b001, 1), Some((0b001, 1)), "the other one is gone");
        assert_eq!(
            cameras.want(start, SourceId(8), WorkerId(0), Wanted::default()),
            None,
            "nobody watches it"
        );
    }
}
