//! One WebRTC peer connection: datagrams and forwarded packets in, datagrams and [`PeerEvent`]s out.
//!
//! str0m does ICE, DTLS and SCTP, SRTP of what is received, and video; this file knows which m-line is what, and sends what
//! goes into the slots. The contract is str0m's: after everything that goes in, [`Peer::drain`] until nothing comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use selector::Level;
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::config::{CryptoProvider, DtlsVersion};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Receive, Transmit};
use str0m::rtp::{Extension, ExtensionMap, RedDecoder, RtpPacket};
use str0m::stats::PeerStats;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, PacerReason, Reason, Rtc};
use tercet_core::{Encoding, FORWARDS_MAX, Forward, IncomingRtp, IncomingVideo, RewrittenVideo, VideoPacket};
use tercet_dtls::{Sealer, SharedCrypto, exporting};
use tercet_protocol::{AudioOrigin, ByAudio, CHANNEL_LOSSY, CHANNEL_RELIABLE, SlotMid, VideoOrigin};
use tracing::debug;

use super::dependency;
use super::fanout::{Fanout, Outgoing, Path};
use super::lines::{Lines, Negotiated, Way};
use super::sdp;
use super::stream::Numbers;
use super::timers::Deadline;
use super::video::{VideoLines, Written};
use super::width::Width;

/// More m-lines than a session of eight slots, a screen and sixteen video slots has reason for.
const MEDIA_LINES_MAX: usize = 40;

/// A data channel that its peer doesn't read holds no more than this.
pub(super) const CHANNEL_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Each costs time with each packet of the association: more than this is no use of ours.
const CHANNELS_MAX: u32 = 16;

/// RFC 8285, section 4.2: the ids of header extensions with one octet of header, the only ones that are written.
const EXTENSION_IDS: std::ops::RangeInclusive<u8> = 1..=14;

/// What a client's network is taken for until its reports tell: enough for a small picture in each slot, and for one that is larger.
const ESTIMATE_AT_FIRST: Bitrate = Bitrate::kbps(1_500);

/// What it is taken for is asked for so often: what str0m tells by itself is a mean of three seconds, in which pictures stand still.
const ESTIMATE_INTERVAL: Duration = Duration::from_millis(100);

/// A network that is tried late is taken for a slow one. From one packet of a try to the next it is no longer than this.
const TRIED_FOR: Duration = Duration::from_millis(20);

/// str0m may be asked for the time being so often in a row before it is left until the next turn.
const TIMEOUTS_AT_ONCE: u32 = 64;

/// How soon a peer is looked at again that asked for no time of its own.
const IDLE: Duration = Duration::from_secs(3600);

/// A client sends media and reports from one address at a time. Whoever does so from another, and has been silent at the former
/// for so long, has moved: longer than packets overtake each other.
const MOVED_AFTER: Duration = Duration::from_secs(1);

/// It checks several addresses now and then. One of which nothing came for two checks and a half (2.5 s each in Chromium) is
/// given up for another that answers ours.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(6);

/// What str0m names candidates by that it learned of by checks: the next of such an address takes its place.
const CHECKED_FOUNDATION: &str = "tmp_prflx";

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// ICE and DTLS are up: media can flow.
    Connected,
    /// Nothing is heard from the peer any more; an ICE restart may bring it back.
    Disconnected,
    /// ICE found its way again.
    Reconnected,
    Rtp(AudioOrigin, IncomingRtp),
    Video(VideoOrigin, IncomingVideo),
    /// What the client's network takes; `None` if that can't be known.
    Estimated {
        kbps: Option<u32>,
    },
    /// The client can't go on in a video slot without a keyframe.
    KeyframeWanted {
        slot: usize,
    },
    /// RTP on an m-line that is neither the microphone's nor the camera's, and no screen's.
    StrayRtp,
    /// Reliable data frames can be sent.
    ReliableOpened,
    Data {
        reliable: bool,
        frame: Vec<u8>,
    },
}

/// Why an offer was not answered: the peer's doing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfferError {
    #[error("the session description can't be used: {0}")]
    BadSdp(&'static str),
    #[error("no m-line offers Opus, or a video codec that is known here")]
    UnsupportedCodec,
    #[error("the session has no peer connection: send the offer of a new one with `fresh`")]
    NoConnection,
    #[error("the server failed on this offer")]
    Internal,
}

/// An answered offer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sdp: String,
    pub(crate) slot_mids: Vec<String>,
    pub(crate) screen_mid: Option<String>,
    /// Of the video slots whose lines aren't stopped.
    pub(crate) video_mids: Vec<SlotMid>,
}

impl Answer {
    /// How many slots for audio the client has.
    pub(crate) fn slots(&self) -> ByAudio<usize> {
        ByAudio { microphone: self.slot_mids.len(), screen: usize::from(self.screen_mid.is_some()) }
    }

    /// How many places for video its slots take, stopped ones among them.
    pub(crate) fn video_places(&self) -> usize {
        places(&self.video_mids)
    }
}

/// How many places slots take of which some are missing.
pub(crate) fn places(slots: &[SlotMid]) -> usize {
    slots.last().map_or(0, |last| usize::from(last.index) + 1)
}

/// What a client may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerLimits {
    pub(crate) slots: usize,
    pub(crate) video_slots: usize,
    /// Whether redundant audio may be negotiated.
    pub(crate) red: bool,
    /// Whether what its network takes is estimated, where it watches.
    pub(crate) estimated: bool,
}

/// One WebRTC peer connection.
pub(crate) struct Peer {
    rtc: Rtc,
    crypto: Arc<CryptoProvider>,
    lines: Lines,
    video: VideoLines,
    /// Once DTLS is done.
    fanout: Option<Fanout>,
    /// What all that is sent is said to come from (RFC 7022, section 4.2: as short-lived as the connection).
    cname: String,
    /// The SSRC by which a packet of str0m's is known that only tells where it would go: see [`Peer::ask_path`].
    question_ssrc: u32,
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    /// Channels that were ever opened.
    channels: u32,
    /// Of a client that watches: what its network is tried for.
    width: Option<Width>,
    /// Its network is being tried: what is due by then is to be sent in time.
    tries_until: Instant,
    /// DTLS is done. It stays so when ICE loses its way for a while.
    established: bool,
    /// When something last came from where the peer is.
    heard_at: Instant,
    deadline: Instant,
}

impl Peer {
    /// Answers the offer of a new connection.
    pub(crate) fn answer(
        now: Instant,
        crypto: &SharedCrypto,
        candidates: &[Candidate],
        limits: PeerLimits,
        is_lite: bool,
        offer: &str,
    ) -> Result<(Peer, Answer), OfferError> {
        // Whoever has nothing to do with video pays nothing for it.
        let has_video = limits.video_slots > 0 && offer.lines().any(|line| line.starts_with("m=video "));
        let watches = has_video && limits.estimated && sdp::receives_video(offer);
        let mut rtc = Rtc::builder()
            .set_crypto_provider(crypto.provider.clone())
            .set_dtls_cert(crypto.certificate.clone())
            // With 1.3 or the automatic choice str0m 0.25 settles on AES-CM-SHA1 with Chromium, with 1.2
            // on AES-256-GCM.
            .set_dtls_version(DtlsVersion::Dtls12)
            .set_rtp_mode(true)
            .set_ice_lite(is_lite)
            .set_stats_interval(watches.then_some(ESTIMATE_INTERVAL))
            .set_extension_map(extensions(has_video))
            .clear_codecs()
            .enable_opus(true, limits.red)
            .enable_vp8(has_video)
            .enable_h264(has_video)
            .enable_vp9(has_video)
            .enable_av1(has_video)
            .enable_bwe(watches.then_some(ESTIMATE_AT_FIRST))
            .build(now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let mut peer = Peer {
            rtc,
            crypto: crypto.provider.clone(),
            lines: Lines::new(limits.slots),
            video: VideoLines::new(limits.video_slots),
            fanout: None,
            cname: format!("{:032x}", rand::random::<u128>()),
            question_ssrc: rand::random(),
            reliable: None,
            lossy: None,
            channels: 0,
            width: watches.then(Width::default),
            tries_until: now,
            established: false,
            heard_at: now,
            deadline: now,
        };
        let answer = peer.renegotiate(offer)?;
        Ok((peer, answer))
    }

    /// Answers a further offer of the same connection, such as an ICE restart.
    pub(crate) fn renegotiate(&mut self, offer: &str) -> Result<Answer, OfferError> {
        let media_lines = offer.lines().filter(|line| line.starts_with("m=")).count();
        if media_lines > MEDIA_LINES_MAX {
            return Err(OfferError::BadSdp(
                "it has more m-lines than a session of eight slots and sixteen for video has reason for",
            ));
        }
        // What the parser says is for the log: it names Rust types and addresses in memory.
        let refused = |error: &dyn std::fmt::Display, why| {
            debug!(%error, "an offer was refused");
            OfferError::BadSdp(why)
        };
        let (unsent, received) = sdp::without_streams(offer);
        let parsed = SdpOffer::from_sdp_string(&unsent)
            .map_err(|error| refused(&error, "it can't be parsed (RFC 8866)"))?;
        let answer = self.rtc.sdp_api().accept_offer(parsed).map_err(|error| {
            refused(&error, "it lacks ICE or DTLS, or doesn't fit what was negotiated before")
        })?;
        let answer = answer.to_sdp_string();
        // str0m tells of new m-lines once the peer is connected; who is in which slot is told before.
        let mids = answer.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(str::trim);
        self.video.seat(&mut self.rtc, mids.clone().map(Mid::from));
        let negotiated = mids
            .filter_map(|mid| self.negotiated(Mid::from(mid), received.contains(&Mid::from(mid))))
            .collect();
        self.lines.seat(negotiated);
        let sdp = sdp::polished(offer, &answer, |mid| Some((self.lines.ssrc_of(mid)?, &*self.cname)));
        if self.lines.are_of_no_use() && !self.video.are_of_use() {
            return Err(OfferError::UnsupportedCodec);
        }
        let (slot_mids, screen_mid) = self.lines.downstream_mids();
        Ok(Answer { sdp, slot_mids, screen_mid, video_mids: self.video.slot_mids() })
    }

    /// The local ICE user fragment: how to find the connection of a STUN request.
    pub(crate) fn ice_ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Whether the connection is of any more use.
    pub(crate) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// When [`Peer::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline { at: self.deadline, is_urgent: self.deadline < self.tries_until }
    }

    /// Whether a datagram is of this connection, by its ICE credentials or a known address.
    pub(crate) fn accepts(&self, now: Instant, path: Path, datagram: &[u8]) -> bool {
        received(path, datagram).is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// A datagram arrived. Malformed ones are an error that leaves the connection as it was.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> Result<(), DatagramError> {
        let receive = received(path, datagram)?;
        self.rtc.handle_input(Input::Receive(now, receive)).map_err(|_| DatagramError::Fatal)?;
        if is_stun(datagram) {
            self.ask_path();
        }
        Ok(())
    }

    /// Something came from the peer, from whatever address of its. One that goes on from another address without a restart of ICE
    /// (its NAT forgot it, or it is in another network) is sent to there: str0m by itself goes on for 15 s with the former, which
    /// is no worse by its priority. Returns whether something changed.
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        from: Path,
        datagram: &[u8],
    ) -> Result<bool, DatagramError> {
        let Some(here) = self.fanout.as_ref().and_then(Fanout::path) else {
            return Ok(false);
        };
        // Which of our addresses it sends to is its choice, and says nothing of where it is.
        let is_there = (from.protocol, from.destination) == (here.protocol, here.destination);
        let silent = now.saturating_duration_since(self.heard_at);
        let patience = if is_stun(datagram) { GIVEN_UP_AFTER } else { MOVED_AFTER };
        if !is_there && silent < patience {
            return Ok(false);
        }
        self.heard_at = now;
        if is_there || !self.give_up(here) {
            return Ok(false);
        }
        debug!(from = %here.destination, to = %from.destination, "a client has moved");
        self.handle_timeout(now)?;
        self.ask_path();
        Ok(true)
    }

    /// Has str0m choose among the other addresses of the peer. Returns whether it knew this one.
    fn give_up(&mut self, path: Path) -> bool {
        let (protocol, ip, port) = (path.protocol, path.destination.ip(), path.destination.port());
        let candidate = |foundation: &str, kind: &str| {
            Candidate::from_sdp_string(&format!(
                "candidate:{foundation} 1 {protocol} 1 {ip} {port} typ {kind}"
            ))
        };
        // As str0m learned of it: by a check, as is the rule, or by the offer.
        let mut known = ["prflx", "host"].into_iter().filter_map(|kind| candidate("1", kind).ok());
        let mut api = self.rtc.direct_api();
        let was_known = known.any(|candidate| api.invalidate_candidate(&candidate));
        // No check is answered from what was given up: the client may come back to it.
        if was_known && let Ok(again) = candidate(CHECKED_FOUNDATION, "prflx") {
            self.rtc.add_remote_candidate(again);
        }
        was_known
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), DatagramError> {
        self.rtc.handle_input(Input::Timeout(now)).map_err(|_| DatagramError::Fatal)
    }

    /// Seals packets for slots for audio of this origin, and hands over datagrams, made in `datagram`. Returns how many
    /// packets there were: what is for a slot that isn't there, or for a connection that doesn't stand, goes nowhere.
    pub(crate) fn send<'a>(
        &mut self,
        now: Instant,
        origin: AudioOrigin,
        forwards: impl Iterator<Item = Forward<'a>>,
        datagram: &mut Vec<u8>,
        each: impl FnMut(Path, &[u8]),
    ) -> usize {
        let Some(fanout) = &mut self.fanout else {
            return 0;
        };
        let lines = &mut self.lines;
        let outgoing = |forward: Forward<'a>| {
            let (line, stream) = lines.of_slot(origin, forward.slot)?;
            let index = stream.take_index(forward.rewritten.seq)?;
            let (pt, payload) = stream.numbers.encode(forward.packet);
            Some(Outgoing { line, index, pt, payload, forward })
        };
        let packets: ArrayVec<Outgoing<'_>, FORWARDS_MAX> =
            forwards.filter_map(outgoing).take(FORWARDS_MAX).collect();
        fanout.seal(now, &packets, self.lines.downstream(), &self.cname, datagram, each);
        packets.len()
    }

    /// Whether the client watches anybody, or may: what it reports is of use.
    pub(crate) fn has_video(&self) -> bool {
        self.video.are_of_use()
    }

    /// Sends a packet in a video slot, once time has passed and the peer was drained.
    pub(crate) fn write_video(
        &mut self,
        now: Instant,
        slot: usize,
        rewritten: RewrittenVideo,
        packet: &VideoPacket,
    ) -> Written {
        if !self.established {
            return Written::Nowhere;
        }
        self.video.write(&mut self.rtc, now, slot, rewritten, packet)
    }

    /// Asks the client for a keyframe of one of the streams of its camera or screen, once time has passed and the peer was drained.
    pub(crate) fn request_keyframe(&mut self, origin: VideoOrigin, encoding: u8) {
        self.video.request_keyframe(&mut self.rtc, origin, encoding);
    }

    /// What the client could be sent if its network took it: with the next larger picture, if there is one, and in all. kbit/s.
    pub(crate) fn want_bitrate(&mut self, now: Instant, next_kbps: Option<u32>, desired_kbps: u32) {
        if let Some(width) = &mut self.width
            && let Some((next, desired)) = width.want(now, next_kbps, desired_kbps)
        {
            self.rtc.bwe().set_bitrate(next, desired);
        }
    }

    /// Whether reliable data frames can be sent.
    pub(crate) fn is_reliable_open(&self) -> bool {
        self.reliable.is_some()
    }

    /// Sends a data frame. `false` if the channel isn't open, or its reader too slow.
    pub(crate) fn send_data(&mut self, reliable: bool, frame: &[u8]) -> bool {
        let id = if reliable { self.reliable } else { self.lossy };
        let Some(mut channel) = id.and_then(|id| self.rtc.channel(id)) else {
            return false;
        };
        if channel.buffered_amount() + frame.len() > CHANNEL_BUFFER_BYTES_MAX {
            return false;
        }
        channel.write(false, frame).unwrap_or(false)
    }

    /// Says goodbye: DTLS close_notify, once drained.
    pub(crate) fn close(&mut self) {
        // An error means that there is nobody to say goodbye to.
        let _ = self.rtc.close();
    }

    /// Takes everything out that the connection has to say: datagrams and what happened.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        events: &mut Vec<PeerEvent>,
        outgoing: &mut Vec<Transmit>,
    ) -> Result<(), DatagramError> {
        let mut timeouts = 0;
        loop {
            match self.poll_output()? {
                // Where it looks at what the network takes, it has more to send once it is told again what time it is.
                Output::Timeout(deadline)
                    if deadline <= now && self.width.is_some() && timeouts < TIMEOUTS_AT_ONCE =>
                {
                    timeouts += 1;
                    self.handle_timeout(now)?;
                }
                Output::Timeout(deadline) => {
                    self.deadline = deadline.min(now + IDLE);
                    if tries(self.rtc.last_timeout_reason()) {
                        self.tries_until = self.deadline + TRIED_FOR;
                    }
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    if is_rtp(&transmit.contents)
                        && let Some(fanout) = &mut self.fanout
                    {
                        let Transmit { proto: protocol, source, destination, .. } = transmit;
                        let path = Path { protocol, source, destination };
                        if fanout.path() != Some(path) {
                            self.heard_at = now;
                        }
                        fanout.learn_path(path);
                    }
                    if !is_question(self.question_ssrc, &transmit.contents) {
                        outgoing.push(transmit);
                    }
                }
                Output::Event(event) => events.extend(self.event(now, event)),
            }
            if self.channels > CHANNELS_MAX {
                return Err(DatagramError::Fatal);
            }
        }
    }

    /// str0m's next output. The handshake's keys come with one of those before the connection is established.
    fn poll_output(&mut self) -> Result<Output, DatagramError> {
        let (output, exported) = if self.established {
            (self.rtc.poll_output(), None)
        } else {
            exporting(|| self.rtc.poll_output())
        };
        if let Some(exported) = exported {
            let sealer = Sealer::new(&self.crypto, &exported).ok_or(DatagramError::Fatal)?;
            self.fanout = Some(Fanout::new(sealer));
        }
        output.map_err(|_| DatagramError::Fatal)
    }

    /// Has str0m say where the peer is. It chooses among the peer's addresses with each STUN message, and says so only by
    /// what it sends: so it is given an RTCP message of no content, which [`Peer::drain`] looks at and keeps back. (If
    /// it leaves in one datagram with reports, the client gets it, and ignores it.)
    fn ask_path(&mut self) {
        if self.fanout.is_some() {
            let (from, about) = (self.question_ssrc.into(), 0.into());
            self.rtc.direct_api().send_app_specific_feedback(from, about, []);
        }
    }

    fn event(&mut self, now: Instant, event: Event) -> Option<PeerEvent> {
        match event {
            Event::Connected => {
                self.established = true;
                self.ask_path();
                Some(PeerEvent::Connected)
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                Some(PeerEvent::Disconnected)
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => self.established.then_some(PeerEvent::Reconnected),
            Event::RtpPacket(packet) => self.incoming(packet),
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, can_probe }) => {
                let kbps = self.width.as_mut()?.can_be_tried(can_probe, estimate);
                Some(PeerEvent::Estimated { kbps })
            }
            Event::PeerStats(PeerStats { bwe_tx: Some(estimate), .. }) => {
                let kbps = self.width.as_mut()?.estimated(now, estimate);
                kbps.map(|kbps| PeerEvent::Estimated { kbps: Some(kbps) })
            }
            Event::KeyframeRequest(request) => {
                self.video.slot_of(request.mid).map(|slot| PeerEvent::KeyframeWanted { slot })
            }
            Event::ChannelOpen(id, label) => {
                self.channels += 1;
                match label.as_str() {
                    CHANNEL_RELIABLE => {
                        self.reliable = Some(id);
                        return Some(PeerEvent::ReliableOpened);
                    }
                    CHANNEL_LOSSY => self.lossy = Some(id),
                    // Nobody reads it.
                    _ => {}
                }
                None
            }
            Event::ChannelClose(id) => {
                self.reliable = self.reliable.filter(|&open| open != id);
                self.lossy = self.lossy.filter(|&open| open != id);
                None
            }
            Event::ChannelData(data) => {
                let reliable = self.reliable == Some(data.id);
                let known = reliable || self.lossy == Some(data.id);
                known.then_some(PeerEvent::Data { reliable, frame: data.data })
            }
            _ => None,
        }
    }

    /// An audio m-line of the last offer; `is_received` if the client only receives on it, of which str0m knows nothing.
    fn negotiated(&mut self, mid: Mid, is_received: bool) -> Option<Negotiated> {
        let audio =
            self.rtc.media(mid).filter(|media| media.kind() == MediaKind::Audio && !media.disabled())?;
        let way = match audio.direction() {
            _ if is_received => Way::Down,
            Direction::RecvOnly | Direction::SendRecv => Way::Up,
            Direction::SendOnly | Direction::Inactive => Way::Stopped,
        };
        let extensions = audio.remote_extmap();
        let id_of = |extension| extensions.id_of(extension).filter(|id| EXTENSION_IDS.contains(id));
        let (level_id, mid_id) = (id_of(Extension::AudioLevel), id_of(Extension::RtpMid));
        let (opus_pt, red_pt) = self.opus_of(mid)?;
        let mid_id = mid_id.filter(|_| !mid.is_empty());
        Some(Negotiated { mid, way, numbers: Numbers { opus_pt, red_pt, level_id, mid_id } })
    }

    /// The payload types of Opus and of its redundancy, as this client numbers them.
    fn opus_of(&self, mid: Mid) -> Option<(Pt, Option<Pt>)> {
        let remote_pts = self.rtc.media(mid)?.remote_pts();
        let params = self.rtc.codec_config().params().iter();
        let opus = params.filter(|p| p.spec().codec == Codec::Opus).find(|p| remote_pts.contains(&p.pt()))?;
        Some((opus.pt(), opus.red()))
    }

    fn incoming(&mut self, packet: RtpPacket) -> Option<PeerEvent> {
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx(&packet.header.ssrc).map(|stream| (stream.mid(), stream.rid()));
        let Some(origin) = stream.and_then(|(mid, _)| self.lines.origin_of(mid)) else {
            let video = stream.and_then(|stream| self.video.incoming(&self.rtc, stream, &packet));
            return Some(video.map_or(PeerEvent::StrayRtp, |(origin, rtp)| PeerEvent::Video(origin, rtp)));
        };
        let pt = packet.header.payload_type;
        let params = self.rtc.codec_config().params().iter();
        let encoding = params.filter(|p| p.spec().codec == Codec::Opus).find_map(|opus| {
            if opus.pt() == pt {
                Some(Encoding::Opus)
            } else if opus.red() == Some(pt) {
                Some(Encoding::Red { opus_pt: *opus.pt(), primary_at: primary_at(&packet.payload)? })
            } else {
                None
            }
        });
        // A probe has the payload type of retransmissions, or any other: it is padding all the same.
        let encoding = if packet.payload.is_empty() { Encoding::Opus } else { encoding? };
        let rtp = IncomingRtp {
            ssrc: *packet.header.ssrc,
            seq: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            encoding,
            level: packet.header.ext_vals.audio_level.map(Level::from_dbov),
            voice: packet.header.ext_vals.voice_activity,
            payload: packet.payload,
        };
        Some(PeerEvent::Rtp(origin, rtp))
    }
}

/// Whether it is a try of the network that is due. All else of the pacer's is to send what is there, at once, and to count what has been sent.
fn tries(due: Reason) -> bool {
    matches!(due, Reason::Pacer(PacerReason::Probe1 | PacerReason::Probe2 | PacerReason::Padding))
}

/// What came from the other end of a path, as str0m takes it.
fn received(path: Path, datagram: &[u8]) -> Result<Receive<'_>, DatagramError> {
    let received = Receive::new(path.protocol, path.destination, path.source, datagram);
    received.map_err(|_| DatagramError::Malformed)
}

/// RFC 7983, section 7: the first octet of STUN is 0 to 3.
fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|&first| first < 4)
}

/// RFC 7983, section 7: that of RTP and RTCP 128 to 191.
fn is_rtp(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (128..192).contains(first))
}

/// RFC 4585, section 6.4: feedback of the application layer has format 15 and type 206, and the SSRC of its sender comes
/// next; SRTCP leaves all of that in the clear (RFC 3711, section 3.4).
fn is_question(ssrc: u32, datagram: &[u8]) -> bool {
    matches!(datagram, [0x8F, 206, _, _, sender @ ..] if sender.starts_with(&ssrc.to_be_bytes()))
}

/// Where the block of redundant audio begins that isn't redundant: it is the last.
fn primary_at(redundant: &[u8]) -> Option<usize> {
    let blocks = RedDecoder::decode(redundant).ok()?;
    let primary = blocks.iter().find(|block| block.is_primary)?;
    redundant.len().checked_sub(primary.payload.len())
}

/// What a datagram, or a moment, did to its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DatagramError {
    /// It was no datagram of any protocol that a connection speaks.
    Malformed,
    /// The connection is beyond repair.
    Fatal,
}

/// What audio needs: who is loud, and which m-line a new SSRC belongs to; and for video, by which packets a sender
/// learns how much its network takes, which of a camera's streams a new SSRC is (RFC 8852), and what a packet is a part of. The numbers are suggestions; the client's own ones are used.
fn extensions(has_video: bool) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    map.set(1, Extension::AudioLevel);
    map.set(4, Extension::RtpMid);
    if has_video {
        map.set(3, Extension::TransportSequenceNumber);
        map.set(10, Extension::RtpStreamId);
        map.set(11, Extension::RepairedRtpStreamId);
        map.set(12, dependency::extension());
    }
    map
}
