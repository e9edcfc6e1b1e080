//! What Chromium sent, packet by packet, through a slot whose viewer wants now more, now less: a decoder sees one stream.
//!
//! A line of a trace is a packet: when it came (ms), which stream of how many, sequence number, timestamp, marker, how long the payload
//! is, its first octets, and the dependency descriptor. `web-demo` sent 1024 by 576 pixels, ten a second; keyframes came where asked for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_core::{
    Content, DependencyReader, Gate, IncomingVideo, RewrittenVideo, VideoFormat, VideoIngest, VideoPacket,
    VideoSlot,
};

use super::*;

const VP8: &str = include_str!("traces/vp8.csv");
const H264: &str = include_str!("traces/h264.csv");
const VP9: &str = include_str!("traces/vp9.csv");
const AV1: &str = include_str!("traces/av1.csv");

/// What a viewer is to get, and for how long, over and over.
const TARGETS: [(u8, u8); 8] = [(2, 2), (2, 0), (1, 1), (0, 0), (0, 2), (2, 1), (1, 2), (2, 2)];
const EACH_FOR: Duration = Duration::from_millis(700);

struct Line {
    at: Duration,
    rtp: IncomingVideo,
    descriptor: Option<Vec<u8>>,
}

/// A packet that a viewer gets, and of which frame of its stream it is.
struct Got {
    packet: VideoPacket,
    numbers: RewrittenVideo,
    target: Layer,
}

fn lines(codec: VideoCodec, trace: &str) -> Vec<Line> {
    let mut readers: [DependencyReader; ENCODINGS_MAX] = Default::default();
    trace.lines().map(|line| line_of(codec, &mut readers, line).expect("it was recorded so")).collect()
}

fn line_of(codec: VideoCodec, readers: &mut [DependencyReader], line: &str) -> Option<Line> {
    let mut fields = line.split(',');
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (ms, encoding, encodings, seq) = (number()?, number()?, number()?, number()?);
    let (timestamp, marker, bytes) = (number()?, number()? == 1, number()? as usize);
    let mut payload = octets(fields.next()?)?;
    payload.resize(bytes.max(payload.len()), 0);
    let descriptor = Some(octets(fields.next()?)?).filter(|descriptor| !descriptor.is_empty());
    let reader = &mut readers[encoding as usize];
    let dependency = descriptor.as_deref().and_then(|descriptor| reader.read(descriptor).ok());
    let read = read(codec, &payload, marker, dependency.as_ref());
    let rtp = IncomingVideo {
        encoding: encoding as u8,
        encodings: encodings as u8,
        ssrc: encoding as u32,
        seq,
        timestamp: timestamp as u32,
        marker,
        format: VideoFormat { codec, profile: 0, mode: 1 },
        begins_keyframe: read.begins_keyframe,
        part: read.part,
        descriptor: None,
        heights: read.heights,
        payload: payload.into(),
    };
    Some(Line { at: Duration::from_millis(ms), rtp, descriptor })
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// What a viewer gets, each packet with what they were to get then, and with its descriptor; and how many keyframes of the stream that
/// they are shown are held back, since its pictures are larger than they are to get.
fn watch(codec: VideoCodec, trace: &str) -> (Vec<(Got, Option<Vec<u8>>)>, usize) {
    let start = Instant::now();
    let mut ingest = VideoIngest::new(SourceId(1), Content::Camera, Gate::Open, 30_000, start);
    let mut slot = VideoSlot::new(100, 5_000);
    slot.show(Some(SourceId(1)));
    let (mut got, mut held_back) = (Vec::new(), 0);
    for Line { at, rtp, descriptor } in lines(codec, trace) {
        let (spatial, temporal) = TARGETS[(at.as_millis() / EACH_FOR.as_millis()) as usize % TARGETS.len()];
        let target = Layer { spatial, temporal };
        slot.set_target(Some(target));
        let Ok(packet) = ingest.handle(start + at, rtp) else {
            continue;
        };
        let is_shown = slot.shown_encoding() == Some(packet.encoding_id());
        if let Some(numbers) = slot.rewrite(start + at, &packet) {
            got.push((Got { packet, numbers, target }, descriptor));
        } else if is_shown && packet.begins_keyframe {
            assert!(packet.encodings > 1 && packet.encoding > spatial, "it was of use: {}", packet.seq);
            held_back += 1;
        }
    }
    (got, held_back)
}

/// Numbers go on one by one, each picture ends with its marker, and time doesn't go back.
fn is_one_stream((got, held_back): &(Vec<(Got, Option<Vec<u8>>)>, usize)) {
    assert!(got.len() + held_back >= 50, "{} and {held_back}", got.len());
    assert!(got[0].0.packet.begins_keyframe);
    for pair in got.windows(2) {
        let ((one, _), (next, _)) = (&pair[0], &pair[1]);
        assert_eq!(next.numbers.rtp.seq, one.numbers.rtp.seq + 1);
        let later = next.numbers.rtp.timestamp.wrapping_sub(one.numbers.rtp.timestamp);
        assert!(later < 90_000 * 2, "{later} ticks");
        assert_eq!(one.numbers.rtp.marker, later > 0, "a picture ends at {}", one.numbers.rtp.seq);
        if next.packet.encoding != one.packet.encoding {
            assert!(next.packet.begins_keyframe && next.numbers.begins);
        }
    }
    let sizes: BTreeSet<u8> =
        got.iter().map(|(got, _)| got.packet.encoding + got.packet.part.layer.spatial).collect();
    assert_eq!(sizes, BTreeSet::from([0, 1, 2]), "all of them were seen");
}

/// Whatever a frame refers to was passed on before, by what its sender says.
fn is_decodable(got: &[(Got, Option<Vec<u8>>)]) {
    let mut reader = DependencyReader::default();
    let mut passed: BTreeSet<u16> = BTreeSet::new();
    let mut of = None;
    for (got, descriptor) in got {
        if of.replace(got.packet.encoding) != Some(got.packet.encoding) || got.packet.begins_keyframe {
            passed.clear();
        }
        let descriptor = descriptor.as_ref().expect("Chromium sends it with each packet");
        let frame = reader.read(descriptor).expect("the structure came with the keyframe");
        let lacks = |diff: &&u16| !passed.contains(&frame.frame_number.wrapping_sub(**diff));
        assert_eq!(frame.frame_diffs.iter().find(lacks), None, "frame {}", frame.frame_number);
        passed.insert(frame.frame_number);
    }
}

/// Less than before is got from the next picture on.
fn follows_down(got: &[(Got, Option<Vec<u8>>)]) {
    let mut since = None;
    for (got, _) in got {
        let (target, timestamp) = (got.target, got.packet.timestamp);
        let (_, of, pictures) = match since {
            Some((former, of, pictures)) if former == target && of == timestamp => (target, of, pictures),
            Some((former, _, pictures)) if former == target => (target, timestamp, pictures + 1),
            _ => (target, timestamp, 0),
        };
        since = Some((target, of, pictures));
        let layer = got.packet.part.layer;
        if pictures > 0 && got.packet.encoding <= target.spatial {
            assert!(layer.temporal <= target.temporal, "{layer:?}, of {target:?}");
        }
    }
}

#[test]
fn vp8_in_three_sizes_is_one_stream() {
    let watched = watch(VideoCodec::Vp8, VP8);
    is_one_stream(&watched);
    is_decodable(&watched.0);
    follows_down(&watched.0);
}

#[test]
fn h264_in_three_sizes_is_one_stream() {
    let watched = watch(VideoCodec::H264, H264);
    is_one_stream(&watched);
}

#[test]
fn scalable_vp9_is_one_stream() {
    let watched = watch(VideoCodec::Vp9, VP9);
    is_one_stream(&watched);
    is_decodable(&watched.0);
    follows_down(&watched.0);
}

#[test]
fn scalable_av1_is_one_stream() {
    let watched = watch(VideoCodec::Av1, AV1);
    is_one_stream(&watched);
    is_decodable(&watched.0);
    follows_down(&watched.0);
    let numbered = watched.0.windows(2).all(|pair| {
        let id = |it: &Got| it.numbers.picture.expect("frames have numbers").id;
        id(&pair[1].0) >= id(&pair[0].0)
    });
    assert!(numbered, "frames' numbers go up");
}
