//! What is heard and seen of a room, on its way to its other nodes: packets of audio with what was judged of them, several to a
//! datagram, and those of video as they are.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use selector::{Candidate, Claim, Heard as HeardAs, Level, SourceId, Standing};
use serde::{Deserialize, Serialize};
use tercet_core::{
    AudioPacket, ENCODINGS_MAX, Earlier, Encoding, Layer, Part, PictureNumbers, StreamEpoch,
    VIDEO_PAYLOAD_BYTES_MAX, VideoCodec, VideoFormat, VideoPacket,
};
use tercet_protocol::AudioOrigin;

/// A bundle is no longer, so that it leaves in one datagram.
pub const BUNDLE_BYTES_MAX: usize = 1150;

/// Sources of one node whose pre-roll came before the packet that it belongs to; more than there are positions.
const ANNOUNCED_MAX: usize = 32;

/// Packets before the first one that everybody hears; more than a pre-roll has.
const EARLIER_MAX: usize = 16;

/// What it takes to hear a packet on another node as on the one that it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// A voice, or a screen.
    pub origin: AudioOrigin,
    /// The packet.
    pub packet: AudioPacket,
    /// What was judged, and which position it has.
    pub candidate: Candidate,
    /// What its source sent right before, where it begins to be heard with this packet.
    pub pre_roll: Vec<Earlier>,
}

/// What a datagram brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Brought {
    /// A packet of audio.
    Heard(Heard),
    /// A packet of video.
    Seen(VideoPacket),
}

#[derive(Serialize, Deserialize)]
enum Item<'a> {
    Heard {
        origin: AudioOrigin,
        #[serde(borrow)]
        packet: WirePacket<'a>,
        candidate: WireCandidate,
    },
    /// It belongs to the next packet of the source.
    Earlier {
        #[serde(borrow)]
        packet: WirePacket<'a>,
        heard_by: Vec<u32>,
    },
    Seen(#[serde(borrow)] WireVideo<'a>),
}

#[derive(Serialize, Deserialize)]
struct WireVideo<'a> {
    source: u32,
    epoch: u32,
    seq: u64,
    timestamp: u32,
    marker: bool,
    codec: u8,
    profile: u32,
    mode: u8,
    flags: u8,
    /// Which of how many streams.
    encoding: (u8, u8),
    /// Spatial, temporal.
    layer: (u8, u8),
    rises: u8,
    /// The number, how many bits it has, and TL0PICIDX.
    picture: Option<(u16, u8, Option<u8>)>,
    descriptor: Option<&'a [u8]>,
    payload: &'a [u8],
}

const BEGINS_KEYFRAME: u8 = 1;
const ENDS_FRAME: u8 = 2;

/// Layers are numbered by three bits at most.
const LAYER_MAX: u8 = 7;

/// As they are numbered between nodes.
const VIDEO_CODECS: [VideoCodec; 4] = [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H264, VideoCodec::Av1];

impl WireVideo<'_> {
    fn of(packet: &VideoPacket) -> WireVideo<'_> {
        let VideoFormat { codec, profile, mode } = packet.format;
        let part = &packet.part;
        let flags = [(packet.begins_keyframe, BEGINS_KEYFRAME), (part.ends_frame, ENDS_FRAME)];
        WireVideo {
            source: packet.source.0,
            epoch: packet.epoch.0,
            seq: packet.seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            codec: VIDEO_CODECS.iter().position(|other| *other == codec).unwrap_or_default() as u8,
            profile,
            mode,
            flags: flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum(),
            encoding: (packet.encoding, packet.encodings),
            layer: (part.layer.spatial, part.layer.temporal),
            rises: part.rises,
            picture: part.picture.map(|picture| (picture.id, picture.bits, picture.tl0)),
            descriptor: packet.descriptor.as_deref(),
            payload: &packet.payload,
        }
    }

    /// `None` for one that no node of ours sends.
    fn read(self) -> Option<VideoPacket> {
        let codec = *VIDEO_CODECS.get(usize::from(self.codec))?;
        let (encoding, encodings) = self.encoding;
        let (spatial, temporal) = self.layer;
        if self.picture.is_some_and(|(_, bits, _)| bits > PictureNumbers::FRAME_BITS)
            || spatial.max(temporal) > LAYER_MAX
        {
            return None;
        }
        if encoding >= encodings || usize::from(encodings) > ENCODINGS_MAX {
            return None;
        }
        let part = Part {
            layer: Layer { spatial, temporal },
            ends_frame: self.flags & ENDS_FRAME != 0,
            rises: self.rises,
            picture: self.picture.map(|(id, bits, tl0)| PictureNumbers { id, bits, tl0 }),
        };
        Some(VideoPacket {
            source: SourceId(self.source),
            encoding,
            encodings,
            epoch: StreamEpoch(self.epoch),
            seq: self.seq,
            timestamp: self.timestamp,
            marker: self.marker,
            format: VideoFormat { codec, profile: self.profile, mode: self.mode },
            begins_keyframe: self.flags & BEGINS_KEYFRAME != 0,
            part,
            descriptor: self.descriptor.map(Arc::from),
            payload: Arc::from(self.payload),
        })
    }
}

/// A datagram for a packet of video; `None` for one that is too long to cross, which no ingest lets pass.
pub fn seen(packet: &VideoPacket) -> Option<Vec<u8>> {
    let descriptor_bytes = packet.descriptor.as_ref().map_or(0, |descriptor| descriptor.len());
    let fits = packet.payload.len() + descriptor_bytes <= VIDEO_PAYLOAD_BYTES_MAX;
    fits.then(|| postcard::to_stdvec(&Item::Seen(WireVideo::of(packet))).expect("it can be written"))
}

#[derive(Serialize, Deserialize)]
struct WirePacket<'a> {
    source: u32,
    epoch: u32,
    seq: u64,
    timestamp: u32,
    marker: bool,
    /// Of RED: the payload type of Opus in it, and where its last block begins.
    red: Option<(u8, u16)>,
    level_dbov: i8,
    voice: Option<bool>,
    payload: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct WireCandidate {
    standing: u8,
    heard: u8,
    loudness: i32,
    spurt_age_ms: u32,
    flags: u8,
    claim: Option<(u8, u64)>,
}

const PROVEN: u8 = 1;
const BANG: u8 = 2;
const DENIED: u8 = 4;
const BELIEVED: u8 = 8;

impl WirePacket<'_> {
    fn of(packet: &AudioPacket) -> WirePacket<'_> {
        let red = match packet.encoding {
            Encoding::Opus => None,
            Encoding::Red { opus_pt, primary_at } => Some((opus_pt, primary_at as u16)),
        };
        WirePacket {
            source: packet.source.0,
            epoch: packet.epoch.0,
            seq: packet.seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            red,
            level_dbov: packet.level.dbov(),
            voice: packet.voice,
            payload: &packet.payload,
        }
    }

    /// `None` for one that no node of ours sends.
    fn read(self) -> Option<AudioPacket> {
        let encoding = match self.red {
            None => Encoding::Opus,
            Some((opus_pt, primary_at)) => Encoding::Red { opus_pt, primary_at: primary_at.into() },
        };
        let is_whole =
            !matches!(encoding, Encoding::Red { primary_at, .. } if primary_at > self.payload.len());
        is_whole.then(|| AudioPacket {
            source: SourceId(self.source),
            epoch: StreamEpoch(self.epoch),
            seq: self.seq,
            timestamp: self.timestamp,
            marker: self.marker,
            encoding,
            level: Level::from_dbov(self.level_dbov),
            voice: self.voice,
            payload: Arc::from(self.payload),
        })
    }
}

impl WireCandidate {
    fn of(candidate: &Candidate) -> WireCandidate {
        let flags = [
            (candidate.is_proven, PROVEN),
            (candidate.is_bang, BANG),
            (candidate.is_denied, DENIED),
            (candidate.is_believed, BELIEVED),
        ];
        WireCandidate {
            standing: match candidate.standing {
                Standing::Excluded => 0,
                Standing::Ordinary => 1,
                Standing::Priority => 2,
                Standing::Pinned => 3,
            },
            heard: match candidate.heard {
                HeardAs::Quiet => 0,
                HeardAs::Steady => 1,
                HeardAs::Active => 2,
            },
            loudness: candidate.loudness,
            spurt_age_ms: u32::try_from(candidate.spurt_age.as_millis()).unwrap_or(u32::MAX),
            flags: flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum(),
            claim: candidate.claim.map(|claim| (claim.position as u8, claim.turn)),
        }
    }

    fn read(self, source: SourceId) -> Candidate {
        Candidate {
            source,
            standing: match self.standing {
                0 => Standing::Excluded,
                2 => Standing::Priority,
                3 => Standing::Pinned,
                _ => Standing::Ordinary,
            },
            heard: match self.heard {
                1 => HeardAs::Steady,
                2 => HeardAs::Active,
                _ => HeardAs::Quiet,
            },
            loudness: self.loudness,
            spurt_age: Duration::from_millis(self.spurt_age_ms.into()),
            is_proven: self.flags & PROVEN != 0,
            is_bang: self.flags & BANG != 0,
            is_denied: self.flags & DENIED != 0,
            is_believed: self.flags & BELIEVED != 0,
            claim: self.claim.map(|(position, turn)| Claim { position: position.into(), turn }),
        }
    }
}

/// Packets of a room that leave together.
#[derive(Debug, Default)]
pub struct Bundle(Vec<u8>);

impl Bundle {
    /// Adds a packet. Returns what has to leave first, for which there was no place.
    pub fn push(&mut self, heard: &Heard) -> Vec<Vec<u8>> {
        let earlier = heard.pre_roll.iter().map(|earlier| Item::Earlier {
            packet: WirePacket::of(&earlier.packet),
            heard_by: earlier.heard_by.iter().map(|source| source.0).collect(),
        });
        let (packet, candidate) = (WirePacket::of(&heard.packet), WireCandidate::of(&heard.candidate));
        let items = earlier.chain([Item::Heard { origin: heard.origin, packet, candidate }]);
        let mut full = Vec::new();
        for item in items {
            let item = postcard::to_stdvec(&item).expect("it can be written");
            if !self.0.is_empty() && self.0.len() + item.len() > BUNDLE_BYTES_MAX {
                full.push(std::mem::take(&mut self.0));
            }
            self.0.extend(item);
        }
        full
    }

    /// Whether there is nothing to leave.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What there is; empty if there is nothing.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Reads the bundles of one room from one node.
#[derive(Debug, Default)]
pub struct Unbundler {
    announced: FxHashMap<SourceId, Vec<Earlier>>,
}

impl Unbundler {
    /// The packets of a bundle, up to the first that can't be read.
    pub fn read(&mut self, mut bundle: &[u8]) -> Vec<Brought> {
        let mut all = Vec::new();
        while !bundle.is_empty()
            && let Ok((item, rest)) = postcard::take_from_bytes::<Item<'_>>(bundle)
        {
            bundle = rest;
            match item {
                Item::Earlier { packet, heard_by } => {
                    let Some(packet) = packet.read() else {
                        break;
                    };
                    if self.announced.len() >= ANNOUNCED_MAX && !self.announced.contains_key(&packet.source) {
                        self.announced.clear();
                    }
                    let announced = self.announced.entry(packet.source).or_default();
                    if announced.len() < EARLIER_MAX {
                        let heard_by = heard_by.into_iter().map(SourceId).collect();
                        announced.push(Earlier { packet, heard_by });
                    }
                }
                Item::Heard { origin, packet, candidate } => {
                    let Some(packet) = packet.read() else {
                        break;
                    };
                    let mut pre_roll = self.announced.remove(&packet.source).unwrap_or_default();
                    let is_before = |earlier: &Earlier| {
                        let earlier = &earlier.packet;
                        earlier.epoch == packet.epoch
                            && earlier.seq < packet.seq
                            && packet.seq - earlier.seq <= 16
                    };
                    pre_roll.retain(is_before);
                    let candidate = candidate.read(packet.source);
                    all.push(Brought::Heard(Heard { origin, packet, candidate, pre_roll }));
                }
                Item::Seen(packet) => {
                    let Some(packet) = packet.read() else {
                        break;
                    };
                    all.push(Brought::Seen(packet));
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source: u32, seq: u64, bytes: usize) -> AudioPacket {
        AudioPacket {
            source: SourceId(source),
            epoch: StreamEpoch(3),
            seq,
            timestamp: seq as u32 * 960,
            marker: seq == 7,
            encoding: Encoding::Red { opus_pt: 111, primary_at: bytes / 2 },
            level: Level::from_dbov(-23),
            voice: Some(true),
            payload: vec![seq as u8; bytes].into(),
        }
    }

    fn heard(source: u32, seq: u64, bytes: usize, earlier: u64) -> Heard {
        let pre_roll = (seq - earlier..seq).map(|seq| Earlier {
            packet: packet(source, seq, bytes),
            heard_by: vec![SourceId(1), SourceId(70_000)],
        });
        let candidate = Candidate {
            source: SourceId(source),
            standing: Standing::Priority,
            heard: HeardAs::Active,
            loudness: 104 * 256,
            spurt_age: Duration::from_millis(140),
            is_proven: true,
            is_bang: false,
            is_denied: false,
            is_believed: true,
            claim: Some(Claim { position: 3, turn: 1 << 40 }),
        };
        let packet = packet(source, seq, bytes);
        Heard { origin: AudioOrigin::Microphone, packet, candidate, pre_roll: pre_roll.collect() }
    }

    #[test]
    fn what_is_bundled_reads_back_in_datagrams_that_are_short_enough() {
        let all: Vec<Heard> = (0..20).map(|n| heard(n, 1000 + u64::from(n), 330, u64::from(n) % 6)).collect();
        let mut bundle = Bundle::default();
        let mut datagrams: Vec<Vec<u8>> = all.iter().flat_map(|heard| bundle.push(heard)).collect();
        datagrams.push(bundle.take());
        assert!(datagrams.iter().all(|datagram| datagram.len() <= BUNDLE_BYTES_MAX));
        let mut unbundler = Unbundler::default();
        let read: Vec<Brought> = datagrams.iter().flat_map(|datagram| unbundler.read(datagram)).collect();
        assert_eq!(read, all.into_iter().map(Brought::Heard).collect::<Vec<_>>());
        assert!(unbundler.announced.is_empty() && bundle.take().is_empty());
    }

    #[test]
    fn a_packet_of_video_reads_back_and_one_that_is_too_long_stays() {
        let packet = |bytes, codec| VideoPacket {
            source: SourceId(1 << 31),
            encoding: 2,
            encodings: 3,
            epoch: StreamEpoch(2),
            seq: 1 << 40,
            timestamp: u32::MAX,
            marker: true,
            format: VideoFormat { codec, profile: 0x0042_e01f, mode: 1 },
            begins_keyframe: true,
            part: Part {
                layer: Layer { spatial: 0, temporal: 2 },
                ends_frame: true,
                rises: 0b111,
                picture: Some(PictureNumbers { id: 0x7FFF, bits: 15, tl0: Some(255) }),
            },
            descriptor: None,
            payload: vec![7; bytes].into(),
        };
        for codec in VIDEO_CODECS {
            let packet = packet(VIDEO_PAYLOAD_BYTES_MAX, codec);
            let datagram = seen(&packet).expect("it fits");
            assert!(datagram.len() - VIDEO_PAYLOAD_BYTES_MAX < 50);
            assert_eq!(Unbundler::default().read(&datagram), [Brought::Seen(packet)]);
        }
        assert_eq!(seen(&packet(VIDEO_PAYLOAD_BYTES_MAX + 1, VideoCodec::Vp8)), None);
    }

    #[test]
    fn a_packet_costs_some_thirty_bytes_besides_its_payload() {
        let mut bundle = Bundle::default();
        bundle.push(&heard(1, 1_000_000, 160, 0));
        let bytes = bundle.take().len();
        assert!(bytes - 160 < 40, "{bytes}");
    }

    #[test]
    fn what_no_node_sends_is_read_up_to_there_and_keeps_nothing() {
        let mut bundle = Bundle::default();
        bundle.push(&heard(1, 50, 100, 0));
        let good = bundle.take();
        let mut unbundler = Unbundler::default();
        for cut in 0..good.len() {
            unbundler.read(&good[..cut]);
        }
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0xff;
            unbundler.read(&changed);
        }
        for source in 0..1000 {
            let announced = heard(source, 50, 10, 5);
            let earlier = Heard { packet: packet(source + 5000, 1, 10), ..announced };
            bundle.push(&earlier);
            unbundler.read(&bundle.take());
        }
        assert!(unbundler.announced.len() <= ANNOUNCED_MAX);
    }
}
