//! The video m-lines of a connection: what a client sends, and the slots in which it watches others. All of them are str0m's,
//! which answers what was lost (RFC 4585, RFC 4588) and tells who needs a keyframe.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use str0m::Rtc;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Rids};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, StreamTx, Vp8Descriptor, Vp8Patch};
use tercet_core::{
    DependencyReader, ENCODINGS_MAX, IncomingVideo, Rewritten, RewrittenPicture, RewrittenVideo, VideoCodec,
    VideoFormat, VideoPacket,
};
use tercet_protocol::{SlotMid, VideoOrigin};

use super::dependency::Descriptor;
use super::layers::read;
use super::lines::{Seated, Way, join};
use super::stream::JUMP_MAX;

/// The lines that a client sends on: its camera's and its screen's.
const SENT_MAX: usize = VideoOrigin::ALL.len();

/// Formats that a line can be sent in: more than browsers name.
const FORMATS_MAX: usize = 24;

/// What a viewer lost is of use for a second at most. For so long each packet is kept for each viewer, or until there are so many
/// newer ones.
const KEPT_FOR: Duration = Duration::from_secs(1);
const KEPT_PACKETS_MAX: usize = 1024;

/// Of what is sent, so much may be sent again: whoever loses more needs less of it, not more. It is as much as this because a keyframe
/// is most of what is sent where a network has become narrow.
const RESENT_RATIO_MAX: f32 = 0.5;

/// What became of a packet for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// str0m has it.
    Sent,
    /// The client doesn't take its format.
    Unsupported,
    /// There is no way to the client: its line is stopped, or its connection isn't up; or the packet is from before that.
    Nowhere,
}

/// The video m-lines of a connection.
pub(super) struct VideoLines {
    /// What the client sends: the camera first.
    sent: Vec<SentLine>,
    slots: Vec<VideoLine>,
    slots_max: usize,
}

/// A line on which the client sends.
struct SentLine {
    mid: Mid,
    active: bool,
    rids: SentRids,
    /// What the packets of each stream say of what they are a part of; and of which SSRC, whose frames are numbered as one.
    dependencies: [(u32, DependencyReader); ENCODINGS_MAX],
}

/// A line that the client watches.
struct VideoLine {
    mid: Mid,
    active: bool,
    formats: Formats,
    numbers: LineNumbers,
}

/// By how much the numbers of packets in a slot are ahead of those on its line.
///
/// Those in the slot go on while nothing is sent, because the line is stopped or the client doesn't take the format, and when
/// another line takes the place of one that ended. A receiver would lose the roll-over counter (RFC 3711, section 3.3.1): on the
/// line, only what is sent has a number.
#[derive(Debug, Default)]
struct LineNumbers {
    ahead: u64,
    /// What came before this one in the slot has no number here: another may have it.
    first: u64,
    /// The newest number that was sent.
    newest: Option<u64>,
    is_interrupted: bool,
}

type Formats = ArrayVec<(Pt, VideoFormat), FORMATS_MAX>;

/// With simulcast, the streams of a line, as RFC 8852 calls them: those of the smallest pictures first.
type SentRids = ArrayVec<Rid, ENCODINGS_MAX>;

/// A video m-line of an answered offer.
struct NegotiatedVideo {
    mid: Mid,
    way: Way,
    formats: Formats,
    rids: SentRids,
}

impl VideoLines {
    pub(super) fn new(slots_max: usize) -> VideoLines {
        VideoLines { sent: Vec::new(), slots: Vec::new(), slots_max }
    }

    /// The lines of a session description, in its order. The first on which the client sends is its camera, the second its
    /// screen; those it only receives on are the slots.
    pub(super) fn seat(&mut self, rtc: &mut Rtc, mids: impl Iterator<Item = Mid>) {
        self.sent.iter_mut().for_each(|line| line.active = false);
        self.slots.iter_mut().for_each(|line| line.active = false);
        let read: Vec<NegotiatedVideo> = mids.filter_map(|mid| negotiated(rtc, mid)).collect();
        // Those that are known keep their places; new ones, wherever they stand, take what is left.
        let is_known = |line: &NegotiatedVideo| {
            let mut known = self.sent.iter().map(Seated::mid).chain(self.slots.iter().map(Seated::mid));
            known.any(|mid| mid == line.mid)
        };
        let (known, new): (Vec<_>, Vec<_>) = read.into_iter().partition(is_known);
        // One that was sent on so far is new as a slot.
        let is_slot = |line: &&NegotiatedVideo| self.slots.iter().any(|slot| slot.mid == line.mid);
        let down = known.iter().chain(&new).filter(|line| line.way == Way::Down);
        for line in down.filter(|line| !is_slot(line)) {
            if let Some(stream) = rtc.direct_api().stream_tx_by_mid(line.mid, None) {
                keep_anew(stream);
                // Its sender spread it already; what waits here is late when the network takes less than it was taken for.
                stream.set_unpaced(true);
            }
        }
        for line in known.into_iter().chain(new) {
            match line.way {
                Way::Up => join(&mut self.sent, line.mid, &line, SENT_MAX),
                Way::Down => join(&mut self.slots, line.mid, &line, self.slots_max),
                Way::Stopped => {}
            }
        }
    }

    /// Whether something can be sent or received.
    pub(super) fn are_of_use(&self) -> bool {
        self.sent.iter().any(|line| line.active) || self.slots.iter().any(|line| line.active)
    }

    /// Those of the slots that aren't stopped.
    pub(super) fn slot_mids(&self) -> Vec<SlotMid> {
        let lines = self.slots.iter().enumerate().filter(|(_, line)| line.active);
        lines.map(|(index, line)| SlotMid { index: index as u8, mid: line.mid.to_string() }).collect()
    }

    /// In which slot a line is.
    pub(super) fn slot_of(&self, mid: Mid) -> Option<usize> {
        self.slots.iter().position(|line| line.mid == mid)
    }

    /// Gives str0m a packet to send.
    pub(super) fn write(
        &mut self,
        rtc: &mut Rtc,
        now: Instant,
        slot: usize,
        rewritten: RewrittenVideo,
        packet: &VideoPacket,
    ) -> Written {
        let Some(line) = self.slots.get_mut(slot) else {
            return Written::Nowhere;
        };
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(line.mid, None).filter(|_| line.active) else {
            line.numbers.interrupt();
            return Written::Nowhere;
        };
        let Some(pt) = line.payload_type_of(packet.format) else {
            line.numbers.interrupt();
            return Written::Unsupported;
        };
        if rewritten.begins {
            keep_anew(stream);
        }
        let Rewritten { seq, timestamp, marker } = rewritten.rtp;
        let Some(seq) = line.numbers.take(seq) else {
            return Written::Nowhere;
        };
        let write = RtpWrite::new(pt, seq.into(), timestamp, now, packet.payload.clone());
        let write = write.marker(marker).nackable(true).csrc(&[packet.source.0]);
        stream.write_rtp(match (packet.format.codec, rewritten.picture) {
            (VideoCodec::Vp8, Some(picture)) => match patched(packet, picture) {
                Some(patch) => write.vp8_patch(patch),
                None => write,
            },
            (VideoCodec::Av1, Some(frame)) => write.ext_vals(described(packet, frame)),
            _ => write,
        });
        Written::Sent
    }

    /// Asks the client for a keyframe of one of the streams of its camera or screen.
    pub(super) fn request_keyframe(&self, rtc: &mut Rtc, origin: VideoOrigin, encoding: u8) {
        let line =
            VideoOrigin::ALL.into_iter().zip(&self.sent).find(|(of, line)| *of == origin && line.active);
        let Some((_, line)) = line else {
            return;
        };
        let rid = line.rids.get(usize::from(encoding)).copied();
        if let Some(stream) = rtc.direct_api().stream_rx_by_mid(line.mid, rid) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// A packet of the client's camera or screen; `None` for what is neither's.
    pub(super) fn incoming(
        &mut self,
        rtc: &Rtc,
        (mid, rid): (Mid, Option<Rid>),
        packet: &RtpPacket,
    ) -> Option<(VideoOrigin, IncomingVideo)> {
        let mut lines = VideoOrigin::ALL.into_iter().zip(&mut self.sent);
        let (origin, line) = lines.find(|(_, line)| line.active && line.mid == mid)?;
        let encoding = match rid {
            Some(rid) => line.rids.iter().position(|known| *known == rid)?,
            None => 0,
        };
        let pt = packet.header.payload_type;
        let params = rtc.codec_config().params().iter();
        let format = params.filter(|params| params.pt() == pt).find_map(format_of)?;
        let marker = packet.header.marker;
        let ssrc = *packet.header.ssrc;
        let (of, dependencies) = &mut line.dependencies[encoding];
        if std::mem::replace(of, ssrc) != ssrc {
            *dependencies = DependencyReader::default();
        }
        let descriptor = packet.header.ext_vals.user_values.get::<Descriptor>();
        let dependency = descriptor.and_then(|descriptor| dependencies.read(&descriptor.0).ok());
        let read = read(format.codec, &packet.payload, marker, dependency.as_ref());
        let incoming = IncomingVideo {
            encoding: encoding as u8,
            encodings: line.rids.len().max(1) as u8,
            ssrc,
            seq: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker,
            format,
            begins_keyframe: read.begins_keyframe,
            part: read.part,
            descriptor: descriptor.filter(|_| format.codec == VideoCodec::Av1).map(|it| it.0.clone()),
            heights: read.heights,
            payload: packet.payload.clone(),
        };
        Some((origin, incoming))
    }
}

/// Keeps what is sent for those who lose some of it, and nothing that was sent before.
fn keep_anew(stream: &mut StreamTx) {
    stream.set_rtx_cache(KEPT_PACKETS_MAX, KEPT_FOR, Some(RESENT_RATIO_MAX));
}

/// The dependency descriptor, of a frame that has this number.
fn described(packet: &VideoPacket, frame: RewrittenPicture) -> ExtensionValues {
    let mut values = ExtensionValues::default();
    if let Some(descriptor) = &packet.descriptor {
        values.user_values.set(Descriptor::numbered(descriptor, frame.id));
    }
    values
}

/// What is to be changed of VP8's payload descriptor for a picture to have these numbers; `None` if nothing can be.
fn patched(packet: &VideoPacket, picture: RewrittenPicture) -> Option<Vp8Patch> {
    let patch = Vp8Descriptor::parse(&packet.payload).ok()?.patch().picture_id(picture.id);
    let patch = match picture.tl0 {
        Some(tl0) => patch.tl0_pic_idx(tl0),
        None => patch,
    };
    patch.build().ok()
}

impl VideoLine {
    /// The client's payload type for a format; `None` where it doesn't take it.
    fn payload_type_of(&self, format: VideoFormat) -> Option<Pt> {
        let fits = self.formats.iter().filter_map(|(pt, other)| Some((format.fit(*other)?, *pt)));
        // Of two that fit as well, the client's first.
        let best = fits.reduce(|best, other| if other.0 > best.0 { other } else { best });
        Some(best?.1)
    }
}

impl LineNumbers {
    /// The packet's number on the line, from that in the slot; `None` for one from before an interruption.
    fn take(&mut self, seq: u64) -> Option<u64> {
        match self.newest {
            // The first one is far from the next roll-over.
            None => (self.ahead, self.first) = (seq - seq % JUMP_MAX, seq),
            Some(newest) if self.is_interrupted => {
                self.ahead = seq.checked_sub(newest + 1).filter(|ahead| *ahead >= self.ahead)?;
                self.first = seq;
            }
            Some(_) => {}
        }
        if seq < self.first {
            return None;
        }
        self.is_interrupted = false;
        let number = seq - self.ahead;
        self.newest = self.newest.max(Some(number));
        Some(number)
    }

    /// A packet was not sent.
    fn interrupt(&mut self) {
        self.is_interrupted = true;
    }
}

impl Seated for SentLine {
    type Line = NegotiatedVideo;

    fn new(line: &NegotiatedVideo) -> SentLine {
        SentLine { mid: line.mid, active: true, rids: line.rids.clone(), dependencies: Default::default() }
    }

    fn mid(&self) -> Mid {
        self.mid
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn renew(&mut self, line: &NegotiatedVideo) {
        (self.active, self.rids) = (true, line.rids.clone());
    }
}

impl Seated for VideoLine {
    type Line = NegotiatedVideo;

    fn new(line: &NegotiatedVideo) -> VideoLine {
        let (formats, numbers) = (line.formats.clone(), LineNumbers::default());
        VideoLine { mid: line.mid, active: true, formats, numbers }
    }

    fn mid(&self) -> Mid {
        self.mid
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn renew(&mut self, line: &NegotiatedVideo) {
        (self.active, self.formats) = (true, line.formats.clone());
    }
}

/// A video m-line of the last offer.
fn negotiated(rtc: &Rtc, mid: Mid) -> Option<NegotiatedVideo> {
    let media = rtc.media(mid).filter(|media| media.kind() == MediaKind::Video && !media.disabled())?;
    let way = match media.direction() {
        Direction::RecvOnly | Direction::SendRecv => Way::Up,
        Direction::SendOnly => Way::Down,
        Direction::Inactive => Way::Stopped,
    };
    let params = rtc.codec_config().params();
    let of = |pt: &Pt| Some((*pt, params.iter().filter(|params| params.pt() == *pt).find_map(format_of)?));
    let formats = media.remote_pts().iter().filter_map(of).take(FORMATS_MAX).collect();
    let rids = match media.rids_rx() {
        Rids::Specific(rids) => rids.iter().copied().take(ENCODINGS_MAX).collect(),
        Rids::Any | Rids::None => ArrayVec::new(),
    };
    Some(NegotiatedVideo { mid, way, formats, rids })
}

fn format_of(params: &PayloadParams) -> Option<VideoFormat> {
    let spec = params.spec();
    let format = spec.format;
    let (codec, profile, mode) = match spec.codec {
        Codec::Vp8 => (VideoCodec::Vp8, 0, 0),
        Codec::Vp9 => (VideoCodec::Vp9, format.profile_id.unwrap_or(0), 0),
        Codec::Av1 => (VideoCodec::Av1, u32::from(format.profile.unwrap_or(0)), 0),
        Codec::H264 => {
            // RFC 6184, section 8.1: what is meant where nothing is said.
            let profile = format.profile_level_id.unwrap_or(0x0042_000a);
            (VideoCodec::H264, profile, format.packetization_mode.unwrap_or(0))
        }
        _ => return None,
    };
    Some(VideoFormat { codec, profile, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_sent_takes_no_number_of_the_line() {
        let mut numbers = LineNumbers::default();
        let first = numbers.take(7 << 16 | 500).expect("nothing was sent yet");
        assert_eq!((first, numbers.take((7 << 16) + 503)), (500, Some(503)));
        assert_eq!(numbers.take((7 << 16) + 502), Some(502), "it came late");
        numbers.interrupt();
        assert_eq!(numbers.take((7 << 16) + 501), None, "from before");
        assert_eq!(numbers.take(9 << 16), Some(504));
        assert_eq!((numbers.take((9 << 16) - 1), numbers.take((7 << 16) + 504)), (None, None));
        assert_eq!(numbers.take((9 << 16) + 2), Some(506));
    }
}
