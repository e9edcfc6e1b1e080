//! Cameras of rooms that span nodes: who of the other nodes is to be asked for a keyframe, and how often; what of them is wanted here,
//! which of their streams are subscribed to, and what of those here is wanted there.

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
    told: Option<(Told, Instant)>,
    /// How many streams it may come in, as far as its node said so.
    streams: Option<u8>,
}

/// What a node is told that is wanted of one of its cameras: by all workers here, which of its streams are waited for, and on which of
/// their channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) wanted: Wanted,
    pub(super) streams: u8,
    pub(super) attempt: u8,
}

/// Streams of a picture on another node that are to be subscribed to, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) node: NodeId,
    pub(super) source: SourceId,
    pub(super) encodings: u8,
}

type WantedBy<K> = FxHashMap<K, (Wanted, Instant)>;

impl CamerasElsewhere {
    /// A node is told that these of its cameras are watched here, and no others. Returns what of others was subscribed to, and is no
    /// more.
    pub(super) fn watch(&mut self, node: NodeId, sources: &[u32]) -> Vec<Streams> {
        let is_watched = |source: &SourceId| sources.contains(&source.0);
        let mut ended = Vec::new();
        self.cameras.retain(|source, camera| {
            let stays = camera.node != node || is_watched(source);
            if !stays {
                ended.push(Streams { node, source: *source, encodings: 0 });
            }
            stays
        });
        for source in sources.iter().copied().map(SourceId) {
            let camera = self.cameras.entry(source).or_insert_with(|| CameraElsewhere::on(node));
            if camera.node != node {
                ended.push(Streams { node: camera.node, source, encodings: 0 });
                *camera = CameraElsewhere::on(node);
            }
        }
        ended
    }

    /// A camera's node says in how many streams it may come. Returns whether that is news.
    pub(super) fn comes_in(&mut self, source: SourceId, streams: u8) -> bool {
        let camera = self.cameras.get_mut(&source);
        camera.is_some_and(|camera| camera.streams.replace(streams) != Some(streams))
    }

    /// What is to be subscribed to of the cameras of other nodes.
    pub(super) fn streams(&mut self, now: Instant) -> Vec<Streams> {
        let streams = self.cameras.iter_mut().map(|(source, camera)| camera.streams(now, *source));
        streams.collect()
    }

    /// What is to be subscribed to of one of them.
    pub(super) fn streams_of(&mut self, now: Instant, source: SourceId) -> Option<Streams> {
        self.cameras.get_mut(&source).map(|camera| camera.streams(now, source))
    }

    /// A worker wants a keyframe. Returns the node to be asked for it now. A camera that isn't known is one of this node, or will be
    /// asked for a keyframe when its node hears that it is watched. Workers ask again until a keyframe comes.
    pub(super) fn ask(&mut self, now: Instant, wanted: EncodingId) -> Option<NodeId> {
        let camera = self.cameras.get_mut(&wanted.source)?;
        let keyframes = &mut camera.keyframes[usize::from(wanted.number).min(ENCODINGS_MAX - 1)];
        keyframes.want(now).then_some(camera.node)
    }

    /// A worker here wants so much of a camera.
    pub(super) fn want(&mut self, now: Instant, source: SourceId, by: WorkerId, wanted: Wanted) {
        if let Some(camera) = self.cameras.get_mut(&source) {
            camera.wanted.insert(by, (wanted, now));
        }
    }

    /// These streams are waited for, on their channels of that attempt. Returns what the camera's node is to be told now, if anything.
    pub(super) fn tell(&mut self, now: Instant, waited_for: Streams, attempt: u8) -> Option<Told> {
        let camera = self.cameras.get_mut(&waited_for.source)?;
        if camera.wanted.is_empty() {
            return None;
        }
        let (wanted, streams) = (all_of(now, &mut camera.wanted, |_| true), waited_for.encodings);
        let now_told = Told { wanted, streams, attempt };
        let is_due = camera.told.is_none_or(|(told, at)| told != now_told || now >= at + TELL_INTERVAL);
        is_due.then(|| {
            camera.told = Some((now_told, now));
            now_told
        })
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
        CameraElsewhere { node, keyframes, wanted, told: None, streams: None }
    }

    fn streams(&mut self, now: Instant, source: SourceId) -> Streams {
        let encodings = match self.streams {
            // Of a scalable stream all crosses.
            Some(0 | 1) => 1,
            // It is watched, and nobody has said yet how much of it is wanted.
            _ if self.told.is_none() && self.wanted.is_empty() => u8::MAX,
            _ => all_of(now, &mut self.wanted, |_| true).encodings,
        };
        Streams { node: self.node, source, encodings }
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
    fn what_is_wanted_of_a_camera_is_subscribed_to_and_no_more() {
        let (mut cameras, start) = (CamerasElsewhere::default(), Instant::now());
        let [a, b] = [1, 2].map(|index| NodeId { zone: 0, index });
        let of = |node, source, encodings| Streams { node, source: SourceId(source), encodings };
        assert_eq!(cameras.watch(a, &[7, 8]), []);
        assert_eq!(cameras.streams_of(start, SourceId(7)), Some(of(a, 7, u8::MAX)), "nothing is known yet");
        assert_eq!((cameras.comes_in(SourceId(7), 3), cameras.comes_in(SourceId(7), 3)), (true, false));
        let some = Wanted { encodings: 0b100, layers: 3 };
        cameras.want(start, SourceId(7), WorkerId(0), some);
        assert_eq!(cameras.streams_of(start, SourceId(7)), Some(of(a, 7, 0b100)));
        let mut tell = |ms, attempt| {
            let told = cameras.tell(start + Duration::from_millis(ms), of(a, 7, 0b100), attempt);
            told.map(|told| (told.streams, told.attempt))
        };
        assert_eq!((tell(0, 0), tell(10, 0), tell(20, 1)), (Some((0b100, 0)), None, Some((0b100, 1))));
        let later = start + WANTED_FOR;
        assert_eq!(
            cameras.streams_of(later, SourceId(7)),
            Some(of(a, 7, 0)),
            "the worker that said so is gone"
        );
        // One stream is one channel, whatever number it is asked for by.
        assert!(cameras.comes_in(SourceId(8), 1));
        cameras.want(later, SourceId(8), WorkerId(0), some);
        assert_eq!(cameras.streams_of(later, SourceId(8)), Some(of(a, 8, 1)));
        assert_eq!(cameras.watch(b, &[8]), [of(a, 8, 0)], "they have moved");
        assert_eq!(cameras.watch(a, &[]), [of(a, 7, 0)]);
        assert_eq!(cameras.streams(later), [of(b, 8, u8::MAX)]);
    }

    #[test]
    fn a_node_is_told_what_all_workers_want_and_not_time_and_again() {
        let (mut cameras, start) = (CamerasElsewhere::default(), Instant::now());
        let node = NodeId { zone: 0, index: 1 };
        cameras.watch(node, &[7]);
        let mut want = |ms, worker, encodings, layers| {
            let at = start + Duration::from_millis(ms);
            cameras.want(at, SourceId(7), WorkerId(worker), Wanted { encodings, layers });
            let streams = cameras.streams_of(at, SourceId(7))?;
            let told = cameras.tell(at, streams, 0)?;
            Some((told.wanted.encodings, told.wanted.layers))
        };
        assert_eq!(want(0, 0, 0b001, 1), Some((0b001, 1)));
        assert_eq!(want(10, 1, 0b100, 3), Some((0b101, 3)));
        assert_eq!((want(500, 0, 0b001, 1), want(1_010, 0, 0b001, 1)), (None, Some((0b101, 3))));
        assert_eq!(want(3_010, 0, 0b001, 1), Some((0b001, 1)), "the other one is gone");
        cameras.want(start, SourceId(8), WorkerId(0), Wanted::default());
        assert_eq!(cameras.streams_of(start, SourceId(8)), None, "nobody watches it");
    }
}
