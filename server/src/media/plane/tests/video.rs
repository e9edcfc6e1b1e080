//! Cameras and those who watch them, in virtual time.

use tercet_core::{EncodingId, Part, StreamEpoch, VideoCodec, VideoFormat, VideoPacket};

use super::*;
use crate::media::crossing::{Passed, VideoCrossing, VideoNews, crossing};

/// RFC 7741, section 4.2: the first packet of a frame; section 4.3: whether it is a keyframe.
const KEYFRAME: [u8; 2] = [0x10, 0];
const INTERFRAME: [u8; 2] = [0x10, 1];

const FRAME_MS: u64 = 33;

impl World {
    /// A frame of a camera, of one packet; its third octet says whose it is.
    fn film(&mut self, client: usize, frame: u32, kind: [u8; 2]) {
        let line = self.clients[client].lines.len() - 1;
        self.film_on(client, line, client as u8, (frame, kind));
    }

    /// The same, on a line by its number, as whose it is said to be.
    fn film_on(&mut self, client: usize, line: usize, who: u8, (frame, kind): (u32, [u8; 2])) {
        let client = &mut self.clients[client];
        let mid = client.lines[line];
        let pt = client.rtc.codec_config().params().iter().find(|it| it.spec().codec.is_video());
        let pt = pt.expect("VP8").pt();
        let sequence = 500 + u64::from(frame);
        let payload = [&kind[..], &[who, frame as u8]].concat();
        let write = RtpWrite::new(pt, sequence.into(), frame * 3_000, self.now, payload);
        let mut api = client.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("the line sends");
        stream.write_rtp(write.marker(true).nackable(true));
    }

    /// Frames of a camera, the first of them a keyframe if `begins`.
    fn roll(&mut self, client: usize, frames: std::ops::Range<u32>, begins: bool) {
        for frame in frames.clone() {
            let kind = if begins && frame == frames.start { KEYFRAME } else { INTERFRAME };
            self.film(client, frame, kind);
            self.step(FRAME_MS);
        }
        // What is under way arrives.
        self.step(1);
    }

    pub(super) fn watch(&mut self, client: usize, cameras: &[usize]) {
        let endpoint = self.clients[client].endpoint;
        let sources = cameras.iter().map(|&camera| Some(camera_of(camera))).collect();
        self.plane.command(self.now, WorkerCommand::Watch { endpoint, sources });
    }

    /// Packets of a camera of another worker, the first of them beginning a keyframe.
    fn cross(&mut self, source: SourceId, codec: VideoCodec, packets: std::ops::Range<u64>) {
        for seq in packets.clone() {
            let begins_keyframe = seq == packets.start;
            let packet = VideoPacket { begins_keyframe, ..packet_of(source, codec, seq) };
            let news = VideoNews::Packet(Box::new(packet));
            self.plane.video_crossing(self.now, VideoCrossing { room: RoomId::from("r"), news });
        }
        // str0m sends a frame in bursts.
        (0..3).for_each(|_| self.step(FRAME_MS));
    }

    /// Whose frames a client has seen since, and their numbers.
    fn seen(&mut self, client: usize) -> Vec<(u8, u8)> {
        let heard = std::mem::take(&mut self.clients[client].heard);
        heard.iter().map(|packet| (packet.payload[2], packet.payload[3])).collect()
    }

    fn told_of_cameras(&mut self) -> Vec<&'static str> {
        let events = self.plane.events.drain(..).filter_map(|event| match event {
            WorkerEvent::PublishingStarted { origin: TrackOrigin::Camera, .. } => Some("on"),
            WorkerEvent::PublishingEnded { origin: TrackOrigin::Camera, .. } => Some("off"),
            _ => None,
        });
        events.collect()
    }
}

fn packet_of(source: SourceId, codec: VideoCodec, seq: u64) -> VideoPacket {
    VideoPacket {
        source,
        encoding: 0,
        encodings: 1,
        epoch: StreamEpoch(0),
        seq,
        timestamp: seq as u32 * 3_000,
        marker: true,
        format: VideoFormat { codec, profile: 0, mode: 0 },
        begins_keyframe: false,
        part: Part::default(),
        descriptor: None,
        payload: vec![0x10, 0, source.0 as u8, seq as u8].into(),
    }
}

fn camera_of(client: usize) -> SourceId {
    source_of(client, TrackOrigin::Camera)
}

fn source_of(client: usize, origin: TrackOrigin) -> SourceId {
    SourceId(client as u32 + 1 + 100 * origin as u32)
}

#[test]
fn a_second_line_is_the_screen_and_a_third_is_nobodys() {
    const CAMERA: u8 = 1;
    const SCREEN: u8 = 2;
    const NOBODYS: u8 = 3;
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((0, 0), (3, 0)), world.join_with_video((0, 3), (0, 3)));
    let endpoint = world.clients[viewer].endpoint;
    let origins = [TrackOrigin::ScreenVideo, TrackOrigin::Camera];
    let sources = origins.map(|origin| Some(source_of(ada, origin))).into();
    world.plane.command(world.now, WorkerCommand::Watch { endpoint, sources });
    let mut frames = 0..;
    let mut roll = |world: &mut World, count| {
        for (n, frame) in frames.by_ref().take(count).enumerate() {
            // The first is none: it has to be asked for.
            let kind = if n == 1 { KEYFRAME } else { INTERFRAME };
            for (line, who) in [CAMERA, SCREEN, NOBODYS].into_iter().enumerate() {
                world.film_on(ada, line, who, (frame, kind));
            }
            world.step(FRAME_MS);
        }
        world.step(FRAME_MS);
        world.seen(viewer).iter().map(|(who, _)| *who).collect::<BTreeSet<u8>>()
    };
    assert_eq!(roll(&mut world, 5), [CAMERA, SCREEN].into());
    let lines = &world.clients[ada].lines;
    assert_eq!(
        world.clients[ada].lines_asked,
        lines[..2].iter().copied().collect(),
        "each has its keyframes"
    );
    // Each is withheld by itself.
    let of_ada = world.clients[ada].endpoint;
    for (shut, seen) in [(TrackOrigin::ScreenVideo, CAMERA), (TrackOrigin::Camera, SCREEN)] {
        let gates = ByOrigin::each(|origin| if origin == shut { Gate::Muted } else { Gate::Open });
        world.plane.command(world.now, WorkerCommand::SetGates { endpoint: of_ada, gates });
        assert_eq!(roll(&mut world, 5), [seen].into());
    }
    let told = world.plane.events.drain(..).filter_map(|event| match event {
        WorkerEvent::PublishingStarted { origin, .. } => Some((origin, true)),
        WorkerEvent::PublishingEnded { origin, .. } => Some((origin, false)),
        _ => None,
    });
    let [screen, camera] = origins;
    let told: Vec<_> = told.collect();
    // Both begin at once.
    assert!([camera, screen].iter().all(|origin| told[..2].contains(&(*origin, true))), "{told:?}");
    assert_eq!(told[2..], [(screen, false), (camera, false), (screen, true)]);
}

#[test]
fn a_slot_shows_a_camera_from_its_next_keyframe_on_and_the_former_one_until_then() {
    let mut world = World::new();
    let (ada, ben) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((1, 0), (1, 0)));
    let viewer = world.join_with_video((1, 3), (0, 2));
    world.watch(viewer, &[ada]);
    world.roll(ada, 0..5, true);
    assert_eq!(world.seen(viewer), (0..5).map(|frame| (0, frame)).collect::<Vec<_>>());
    world.watch(viewer, &[ben]);
    for frame in 5..10 {
        world.film(ada, frame, INTERFRAME);
        world.film(ben, frame, INTERFRAME);
        world.step(FRAME_MS);
    }
    assert!(world.clients[ben].keyframes_asked > 0);
    world.step(1);
    assert!(world.seen(viewer).iter().all(|(who, _)| *who == ada as u8));
    world.roll(ben, 10..13, true);
    world.roll(ada, 10..13, true);
    let numbers: Vec<u64> = world.clients[viewer].heard.iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(world.seen(viewer), [(1, 10), (1, 11), (1, 12)]);
    assert_eq!(world.told_of_cameras(), ["on", "on"]);
}

#[test]
fn who_follows_layers_is_told_of_them_and_nobody_else() {
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((0, 3), (0, 1)));
    let told = |world: &mut World| {
        let events = world.plane.events.drain(..).filter_map(|event| match event {
            WorkerEvent::LayersChanged { endpoint, slots } => Some((endpoint, slots)),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    world.watch(viewer, &[ada]);
    world.roll(ada, 0..60, true);
    assert!(told(&mut world).is_empty());
    let endpoint = world.clients[viewer].endpoint;
    world.plane.command(world.now, WorkerCommand::FollowLayers { endpoint, follows: true });
    world.roll(ada, 60..120, false);
    let events = told(&mut world);
    let (whose, slots) = events.first().expect("it follows");
    assert_eq!((*whose, slots.len()), (endpoint, 1));
    assert!(slots[0].as_ref().is_some_and(|layers| layers.encodings == 1));
    assert!(events.len() <= 3, "two seconds: {events:?}");
    // Whoever is seen no more has none.
    world.plane.command(world.now, WorkerCommand::Watch { endpoint, sources: Vec::new() });
    (0..40).for_each(|_| world.step(FRAME_MS));
    assert_eq!(told(&mut world), [(endpoint, vec![None])]);
    world.plane.command(world.now, WorkerCommand::FollowLayers { endpoint, follows: false });
    world.watch(viewer, &[ada]);
    world.roll(ada, 120..180, true);
    assert!(told(&mut world).is_empty());
    world.plane.command(world.now, WorkerCommand::FollowLayers { endpoint, follows: true });
    world.plane.command(world.now, WorkerCommand::Close { endpoint });
    assert!(world.plane.following.is_empty());
}

#[test]
fn many_who_want_a_keyframe_are_one_request() {
    let mut world = World::new();
    let ada = world.join_with_video((1, 0), (1, 0));
    let viewers: Vec<usize> = (0..6).map(|_| world.join_with_video((0, 3), (0, 1))).collect();
    world.roll(ada, 0..30, true);
    for &viewer in &viewers {
        world.watch(viewer, &[ada]);
    }
    world.roll(ada, 30..40, false);
    assert_eq!(world.clients[ada].keyframes_asked, 1, "within a third of a second");
    world.roll(ada, 40..60, false);
    assert_eq!(world.clients[ada].keyframes_asked, 2, "it was lost: once more");
    world.roll(ada, 60..63, true);
    for &viewer in &viewers {
        assert_eq!(world.seen(viewer).len(), 3);
    }
    world.roll(ada, 63..100, false);
    assert_eq!(world.clients[ada].keyframes_asked, 2);
}

#[test]
fn nothing_of_a_camera_that_is_withheld_is_seen() {
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((0, 3), (0, 1)));
    world.watch(viewer, &[ada]);
    world.roll(ada, 0..3, true);
    assert_eq!(world.seen(viewer).len(), 3);
    let endpoint = world.clients[ada].endpoint;
    let gates = |camera| ByOrigin { camera, ..ByOrigin::each(|_| Gate::Open) };
    for shut in [Gate::Muted, Gate::ListenOnly] {
        world.plane.command(world.now, WorkerCommand::SetGates { endpoint, gates: gates(shut) });
        world.roll(ada, 3..6, true);
        assert!(world.seen(viewer).is_empty());
    }
    world.plane.command(world.now, WorkerCommand::SetGates { endpoint, gates: gates(Gate::Open) });
    world.roll(ada, 6..9, false);
    assert!(world.seen(viewer).is_empty(), "it begins with a keyframe");
    world.roll(ada, 9..12, true);
    assert_eq!(world.seen(viewer).len(), 3);
    assert_eq!(world.told_of_cameras(), ["on", "off", "on"]);
    for _ in 0..40 {
        world.step(100);
    }
    assert_eq!(world.told_of_cameras(), ["off"], "nothing came for long");
}

#[test]
fn a_client_that_lost_a_packet_gets_it_again() {
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((0, 3), (0, 1)));
    world.watch(viewer, &[ada]);
    world.roll(ada, 0..10, true);
    for (frame, of) in [(10, viewer), (20, ada)] {
        world.clients[of].cut = true;
        world.roll(ada, frame..frame + 1, false);
        world.clients[of].cut = false;
        world.roll(ada, frame + 1..frame + 10, false);
    }
    for _ in 0..30 {
        world.step(20);
    }
    let mut seen: Vec<u8> = world.seen(viewer).into_iter().map(|(_, frame)| frame).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<u8>>());
}

#[test]
fn what_other_workers_clients_watch_crosses_and_nothing_else() {
    let mut world = World::new();
    let poll = mio::Poll::new().expect("a poll");
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
    let (inbox, crossed) = crossing(Arc::new(crate::media::Doorbell::new(waker)));
    world.plane.others = vec![inbox.clone(), inbox];
    let ada = world.join_with_video((1, 0), (1, 0));
    let room = RoomId::from("r");
    let others = vec![WorkerId(1)];
    world.plane.command(world.now, WorkerCommand::SetRoomWorkers { room: room.clone(), others });
    let packets = || {
        let passed = std::iter::from_fn(|| crossed.try_recv().ok());
        passed.filter(|passed| {
            matches!(passed, Passed::Video(VideoCrossing { news: VideoNews::Packet(_), .. }))
        })
    };
    world.roll(ada, 0..5, true);
    assert_eq!(packets().count(), 0);
    let watched_by = [(camera_of(ada), vec![WorkerId(1)])].into_iter().collect();
    world.plane.command(world.now, WorkerCommand::SetWatched { room: room.clone(), watched_by });
    world.roll(ada, 5..10, false);
    assert_eq!(packets().count(), 5);
    assert_eq!(world.clients[ada].keyframes_asked, 1, "for those who watch now");
    // One of theirs lost something.
    world.roll(ada, 10..30, true);
    let news = VideoNews::KeyframeWanted(EncodingId { source: camera_of(ada), number: 0 });
    world.plane.video_crossing(world.now, VideoCrossing { room, news });
    world.roll(ada, 30..32, false);
    assert_eq!(world.clients[ada].keyframes_asked, 2);
    // One here watches a camera of theirs.
    let viewer = world.join_with_video((0, 3), (0, 1));
    let endpoint = world.clients[viewer].endpoint;
    let elsewhere = SourceId(7_777);
    let sources = vec![Some(elsewhere)];
    world.plane.command(world.now, WorkerCommand::Watch { endpoint, sources });
    let wants = std::iter::from_fn(|| crossed.try_recv().ok()).any(|passed| {
        let Passed::Video(VideoCrossing { news, .. }) = passed else {
            return false;
        };
        matches!(news, VideoNews::KeyframeWanted(wanted) if wanted.source == elsewhere)
    });
    assert!(wants);
}

#[test]
fn numbers_stand_still_while_a_viewer_is_sent_nothing() {
    let mut world = World::new();
    let viewer = world.join_with_video((1, 0), (0, 1));
    let endpoint = world.clients[viewer].endpoint;
    let (vp8, vp9) = ((SourceId(7), VideoCodec::Vp8), (SourceId(9), VideoCodec::Vp9));
    let watch = |world: &mut World, source| {
        let sources = vec![Some(source)];
        world.plane.command(world.now, WorkerCommand::Watch { endpoint, sources });
    };
    watch(&mut world, vp8.0);
    world.cross(vp8.0, vp8.1, 0..3);
    watch(&mut world, vp9.0);
    // A receiver that misses so many can't tell the roll-over counter any more.
    world.cross(vp9.0, vp9.1, 0..40_000);
    watch(&mut world, vp8.0);
    world.cross(vp8.0, vp8.1, 10..13);
    let numbers: Vec<u64> = world.clients[viewer].heard.iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(world.seen(viewer), [0, 1, 2, 10, 11, 12].map(|frame| (7, frame)));
}

#[test]
fn a_camera_that_begins_anew_is_asked_for_a_keyframe() {
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((0, 3), (0, 1)));
    world.watch(viewer, &[ada]);
    world.roll(ada, 0..30, true);
    let asked = world.clients[ada].keyframes_asked;
    // So many are lost that nobody waits for them.
    world.roll(ada, 1_000..1_003, false);
    assert_eq!(world.clients[ada].keyframes_asked, asked + 1);
    world.roll(ada, 1_003..1_006, true);
    assert_eq!(world.seen(viewer).len(), 33);
}

#[test]
fn what_too_much_was_lost_of_on_the_way_from_another_worker_is_asked_for() {
    let mut world = World::new();
    let poll = mio::Poll::new().expect("a poll");
    let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
    let (inbox, crossed) = crossing(Arc::new(crate::media::Doorbell::new(waker)));
    world.plane.others = vec![inbox.clone(), inbox];
    let (viewer, elsewhere) = (world.join_with_video((1, 0), (0, 1)), SourceId(7));
    let others = vec![WorkerId(1)];
    world.plane.command(world.now, WorkerCommand::SetRoomWorkers { room: RoomId::from("r"), others });
    let endpoint = world.clients[viewer].endpoint;
    let sources = vec![Some(elsewhere)];
    world.plane.command(world.now, WorkerCommand::Watch { endpoint, sources });
    let asked = || {
        let passed = std::iter::from_fn(|| crossed.try_recv().ok());
        passed.filter(|passed| matches!(passed, Passed::Video(_))).count()
    };
    world.cross(elsewhere, VideoCodec::Vp8, 0..3);
    world.step(1_000);
    asked();
    let after_the_gap = VideoPacket { begins_keyframe: false, ..packet_of(elsewhere, VideoCodec::Vp8, 900) };
    let news = VideoNews::Packet(Box::new(after_the_gap));
    world.plane.video_crossing(world.now, VideoCrossing { room: RoomId::from("r"), news });
    assert_eq!(asked(), 1);
}

#[test]
fn a_packet_that_comes_very_late_keeps_nobody_from_getting_the_next_again() {
    let mut world = World::new();
    let (ada, viewer) = (world.join_with_video((1, 0), (1, 0)), world.join_with_video((0, 3), (0, 1)));
    world.watch(viewer, &[ada]);
    for (frame, kind) in [(0, KEYFRAME), (2, INTERFRAME), (1, INTERFRAME)] {
        world.film(ada, frame, kind);
        world.step(1_100);
    }
    world.roll(ada, 3..20, true);
    world.clients[viewer].cut = true;
    world.roll(ada, 20..21, false);
    world.clients[viewer].cut = false;
    world.roll(ada, 21..60, false);
    let seen: Vec<u8> = world.seen(viewer).into_iter().map(|(_, frame)| frame).collect();
    assert!([19, 20, 59].iter().all(|frame| seen.contains(frame)), "{seen:?}");
}

#[test]
fn a_line_that_its_client_stopped_is_no_slot_until_it_is_started_again() {
    let mut world = World::new();
    let viewer = world.join_with_video((1, 0), (0, 2));
    let named = |world: &World| {
        let answer = world.plane.events.iter().rev().find_map(|event| match event {
            WorkerEvent::OfferAnswered { result: Ok(answer), .. } => Some(answer),
            _ => None,
        });
        answer.expect("answered").video_mids.clone()
    };
    let both = named(&world);
    assert_eq!(both.iter().map(|slot| slot.index).collect::<Vec<_>>(), [0, 1]);
    let first = Mid::from(&*both[0].mid);
    world.negotiate(viewer, |api| api.set_direction(first, Direction::Inactive));
    assert_eq!(named(&world), both[1..]);
    world.negotiate(viewer, |api| api.set_direction(first, Direction::RecvOnly));
    assert_eq!(named(&world), both);
}
