//! A participant's WebRTC end, without I/O: SDP, datagrams, audio and the time come in; datagrams,
//! events and the next deadline come out.
//!
//! The contract is str0m's: after each call that changes something, call [`Peer::poll`] until it
//! returns [`PeerOutput::Timeout`], and [`Peer::handle_timeout`] when that time has come.
//!
//! It is a full ICE agent in the controlling role, as a browser is towards an ICE-lite server.

mod events;
mod options;
mod video;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec as RtcCodec;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcError};
use tercet_protocol::{AudioOrigin, ByAudio, ByVideo};

use crate::red;

pub use events::{PeerError, PeerEvent, PeerOutput, ReceivedPacket};
pub use options::{Codec, PeerOptions, VideoOffer};
use video::Picture;

/// Identifies an m-line within a session description (RFC 8843).
pub type MediaStream = str0m::media::Mid;

/// RTP clock ticks of a 20 ms frame: Opus always counts at 48 kHz (RFC 7587, section 4.1).
const FRAME_TICKS: u32 = 960;

/// One of the protocol's two data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Ordered, reliable.
    Reliable,
    /// Unordered, without retransmissions.
    Lossy,
}

/// One 20 ms frame to send.
#[derive(Clone, Debug)]
pub struct Audio {
    /// The Opus frame. RED is added by the peer where it was negotiated.
    pub payload: Arc<[u8]>,
    /// Loudness, -127 to 0 dBov (RFC 6464); without it the header extension is left out.
    pub level_dbov: Option<i8>,
    /// The extension's voice flag.
    pub voice: bool,
    /// The RTP marker bit: the first frame after silence.
    pub marker: bool,
}

impl Audio {
    /// A frame within speech: voice flag set, no marker.
    pub fn new(payload: impl Into<Arc<[u8]>>, level_dbov: i8) -> Self {
        Audio { payload: payload.into(), level_dbov: Some(level_dbov), voice: true, marker: false }
    }
}

/// A participant's WebRTC end.
pub struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    protocol: Protocol,
    pending: Option<SdpPendingOffer>,
    slot_mids: Vec<MediaStream>,
    screen_mid: Option<MediaStream>,
    channels: Vec<(ChannelId, Channel)>,
    options: PeerOptions,
    outgoing: ByAudio<Outgoing>,
    pictures: ByVideo<Option<Picture>>,
    watched: Vec<MediaStream>,
}

/// The RTP state of a stream that is sent.
struct Outgoing {
    /// `None` before the offer, or where none was made for it.
    mid: Option<MediaStream>,
    sequence: u64,
    timestamp: u32,
    previous: Option<Arc<[u8]>>,
}

impl Peer {
    /// A peer that receives at `local`, over UDP. It sends nothing before an answer.
    pub fn new(now: Instant, local: SocketAddr, options: PeerOptions) -> Result<Self, PeerError> {
        Peer::over(now, local, Protocol::Udp, options)
    }

    /// As [`Peer::new`], over UDP or a TCP connection to the server, of which `local` is this end.
    pub fn over(
        now: Instant,
        local: SocketAddr,
        protocol: Protocol,
        options: PeerOptions,
    ) -> Result<Self, PeerError> {
        let mut rtc = options.configuration().build(now);
        rtc.add_local_candidate(host_candidate(local, protocol)?);
        let outgoing = ByAudio::each(|_| Outgoing {
            mid: None,
            sequence: options.first_sequence.unwrap_or_else(rand::random).into(),
            timestamp: rand::random(),
            previous: None,
        });
        Ok(Peer {
            rtc,
            local,
            protocol,
            pending: None,
            slot_mids: Vec::new(),
            screen_mid: None,
            channels: Vec::new(),
            options,
            outgoing,
            pictures: ByVideo::default(),
            watched: Vec::new(),
        })
    }

    /// The first offer: one `sendonly` audio m-line, a `recvonly` one for each of `slots`, one of each for the
    /// sound of screens if the options say so, what they say of video, and the data channels. Call it once; [`Peer::restart_ice`] makes the
    /// offers that follow.
    pub fn offer(&mut self, slots: u8) -> String {
        let mut changes = self.rtc.sdp_api();
        let mut add = |direction| changes.add_media(MediaKind::Audio, direction, None, None, None);
        self.outgoing.microphone.mid = Some(add(Direction::SendOnly));
        self.slot_mids = (0..slots).map(|_| add(Direction::RecvOnly)).collect();
        if self.options.screen {
            self.outgoing.screen.mid = Some(add(Direction::SendOnly));
            self.screen_mid = Some(add(Direction::RecvOnly));
        }
        if let Some(VideoOffer { camera, slots, is_simulcast }) = self.options.video {
            let mut add =
                |direction, layers| changes.add_media(MediaKind::Video, direction, None, None, layers);
            let layers = is_simulcast.then(video::layers);
            self.pictures.camera =
                camera.then(|| Picture::new(add(Direction::SendOnly, layers), is_simulcast));
            let has_screen = camera && self.options.screen;
            self.pictures.screen_video =
                has_screen.then(|| Picture::new(add(Direction::SendOnly, None), false));
            self.watched = (0..slots).map(|_| add(Direction::RecvOnly, None)).collect();
        }
        if self.options.data_channels {
            self.channels = [Channel::Reliable, Channel::Lossy]
                .map(|channel| (changes.add_channel_with_config(channel.config()), channel))
                .into();
        }
        if let Some(label) = self.options.channel_zero {
            let label = label.to_owned();
            changes.add_channel_with_config(ChannelConfig {
                label,
                negotiated: Some(0),
                ..ChannelConfig::default()
            });
        }
        let (offer, pending) = changes.apply().expect("new m-lines have to be negotiated");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// A first offer that only receives: audio m-lines of slots, and those of video.
    pub fn offer_to_receive(&mut self, slots: u8) -> String {
        let mut changes = self.rtc.sdp_api();
        let mut add = |kind| changes.add_media(kind, Direction::RecvOnly, None, None, None);
        self.slot_mids = (0..slots).map(|_| add(MediaKind::Audio)).collect();
        let watched = self.options.video.map_or(0, |video| video.slots);
        self.watched = (0..watched).map(|_| add(MediaKind::Video)).collect();
        let (offer, pending) = changes.apply().expect("new m-lines have to be negotiated");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// An offer that restarts ICE (RFC 8445, section 2.4), from a new local address if one is
    /// given: the network changed.
    pub fn restart_ice(&mut self, moved_to: Option<SocketAddr>) -> Result<String, PeerError> {
        if let Some(local) = moved_to {
            let former = host_candidate(self.local, self.protocol)?;
            self.rtc.direct_api().invalidate_candidate(&former);
            self.rtc.add_local_candidate(host_candidate(local, self.protocol)?);
            self.local = local;
        }
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().ok_or(PeerError::NotNegotiated)?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    /// Takes the server's answer to the latest offer.
    pub fn accept_answer(&mut self, sdp: &str) -> Result<(), PeerError> {
        let pending = self.pending.take().ok_or(PeerError::NotNegotiated)?;
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|e| PeerError::Answer(e.to_string()))?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Answers an offer of the server's: its first, or one that follows. For servers that offer what is to be heard.
    pub fn answer(&mut self, offer: &str) -> Result<String, PeerError> {
        let offer = SdpOffer::from_sdp_string(offer).map_err(|e| PeerError::Offer(e.to_string()))?;
        Ok(self.rtc.sdp_api().accept_offer(offer)?.to_sdp_string())
    }

    /// Takes a candidate of a server that tells of them one by one (RFC 8838), as its `candidate` attribute.
    pub fn add_candidate(&mut self, candidate: &str) -> Result<(), PeerError> {
        let candidate =
            Candidate::from_sdp_string(candidate).map_err(|e| PeerError::Candidate(e.to_string()))?;
        self.rtc.add_remote_candidate(candidate);
        Ok(())
    }

    /// Takes a datagram that arrived at the local address. What isn't STUN, DTLS or RTP is ignored.
    pub fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Result<(), PeerError> {
        let Ok(receive) = Receive::new(self.protocol, source, self.local, datagram) else { return Ok(()) };
        Ok(self.rtc.handle_input(Input::Receive(now, receive))?)
    }

    /// Moves the time forward: at the latest when [`PeerOutput::Timeout`] says so.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Gives the next output.
    pub fn poll(&mut self) -> Result<PeerOutput, PeerError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(PeerOutput::Timeout(at)),
                Output::Transmit(t) => {
                    return Ok(PeerOutput::Transmit {
                        destination: t.destination,
                        contents: t.contents.into(),
                    });
                }
                Output::Event(event) => {
                    if let Some(event) = self.translate(event) {
                        return Ok(PeerOutput::Event(event));
                    }
                }
            }
        }
    }

    /// Sends one frame of 20 ms as the microphone's; sequence number and timestamp go on by one frame.
    pub fn send_audio(&mut self, now: Instant, audio: Audio) -> Result<(), PeerError> {
        self.send_audio_of(now, AudioOrigin::Microphone, audio)
    }

    /// As [`Peer::send_audio`], of the microphone or of the screen.
    pub fn send_audio_of(
        &mut self,
        now: Instant,
        origin: AudioOrigin,
        audio: Audio,
    ) -> Result<(), PeerError> {
        let (opus, red) = self.payload_types().ok_or(PeerError::NotNegotiated)?;
        let outgoing = &mut self.outgoing[origin];
        let mid = outgoing.mid.ok_or(PeerError::NotNegotiated)?;
        let previous = outgoing.previous.replace(audio.payload.clone());
        let (payload_type, payload) = match red {
            Some(red_type) => {
                let redundant = previous.as_deref().map(|frame| (FRAME_TICKS, frame));
                (red_type, red::encode(*opus, &audio.payload, redundant).into())
            }
            None => (opus, audio.payload),
        };
        let extensions = ExtensionValues {
            audio_level: audio.level_dbov,
            voice_activity: audio.level_dbov.map(|_| audio.voice),
            ..ExtensionValues::default()
        };
        let packet = RtpWrite::new(payload_type, outgoing.sequence.into(), outgoing.timestamp, now, payload)
            .ext_vals(extensions)
            .marker(audio.marker);
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).ok_or(PeerError::NotNegotiated)?;
        stream.write_rtp(packet);
        outgoing.sequence += 1;
        outgoing.timestamp = outgoing.timestamp.wrapping_add(FRAME_TICKS);
        // str0m looks at its send queues when time passes.
        self.handle_timeout(now)
    }

    /// Goes on as if `frames` frames of the microphone's had been sent and lost on the way.
    pub fn lose_frames(&mut self, frames: u32) {
        self.outgoing.microphone.sequence += u64::from(frames);
        self.pause_frames(frames);
    }

    /// Goes on as if `frames` frames of silence had not been sent at all (DTX): the timestamp
    /// moves, the sequence number doesn't.
    pub fn pause_frames(&mut self, frames: u32) {
        let outgoing = &mut self.outgoing.microphone;
        outgoing.timestamp = outgoing.timestamp.wrapping_add(FRAME_TICKS.wrapping_mul(frames));
        outgoing.previous = None;
    }

    /// Sends a text frame on a data channel. `false` if the channel isn't open or its buffer is full.
    pub fn send_data(&mut self, now: Instant, channel: Channel, frame: &str) -> Result<bool, PeerError> {
        self.write_data(now, channel, false, frame.as_bytes())
    }

    /// Sends a binary frame, which the protocol doesn't have.
    pub fn send_binary_data(
        &mut self,
        now: Instant,
        channel: Channel,
        frame: &[u8],
    ) -> Result<bool, PeerError> {
        self.write_data(now, channel, true, frame)
    }

    /// Says goodbye to the server. What [`Peer::poll`] still gives should be sent.
    pub fn close(&mut self) -> Result<(), PeerError> {
        Ok(self.rtc.close()?)
    }

    /// Whether ICE and DTLS are done.
    pub fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Whether the peer can still do anything.
    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// The m-line that the microphone is sent on, once there was an offer.
    pub fn send_mid(&self) -> Option<MediaStream> {
        self.outgoing.microphone.mid
    }

    /// The m-lines of the slots, in the order of the offer.
    pub fn slot_mids(&self) -> &[MediaStream] {
        &self.slot_mids
    }

    /// The m-line of the screen slot, if it was offered.
    pub fn screen_mid(&self) -> Option<MediaStream> {
        self.screen_mid
    }

    /// The address that the peer receives at.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What lies below, for tests that have to break a rule.
    pub fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    fn write_data(
        &mut self,
        now: Instant,
        channel: Channel,
        binary: bool,
        frame: &[u8],
    ) -> Result<bool, PeerError> {
        let Some((id, _)) = self.channels.iter().find(|(_, c)| *c == channel) else { return Ok(false) };
        let Some(mut open) = self.rtc.channel(*id) else { return Ok(false) };
        let accepted = open.write(binary, frame)?;
        self.handle_timeout(now)?;
        Ok(accepted)
    }

    /// The negotiated payload types of Opus and, if both sides have it, RED.
    fn payload_types(&self) -> Option<(str0m::media::Pt, Option<str0m::media::Pt>)> {
        let opus = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == RtcCodec::Opus)?;
        Some((opus.pt(), opus.red()))
    }

    fn translate(&mut self, event: Event) -> Option<PeerEvent> {
        match event {
            Event::Connected => Some(PeerEvent::Connected),
            Event::IceConnectionStateChange(state) => Some(PeerEvent::IceChanged(state)),
            Event::RtpPacket(packet) => self.received(packet).map(PeerEvent::PacketReceived),
            Event::ChannelOpen(id, _) => self.channel(id).map(PeerEvent::ChannelOpened),
            Event::ChannelData(data) => self.channel(data.id).map(|c| PeerEvent::DataReceived(c, data.data)),
            Event::ChannelClose(id) => self.channel(id).map(PeerEvent::ChannelClosed),
            Event::KeyframeRequest(request) => self.keyframe_wanted(&request).map(PeerEvent::KeyframeWanted),
            Event::MediaAdded(added) => {
                self.watch_what_is_offered(&added);
                None
            }
            Event::Closed => Some(PeerEvent::Closed),
            // Reports, statistics and feedback.
            _ => None,
        }
    }

    fn received(&mut self, packet: RtpPacket) -> Option<ReceivedPacket> {
        let header = packet.header;
        let mid = self.rtc.direct_api().stream_rx(&header.ssrc)?.mid();
        let is_red = self.payload_types().is_some_and(|(_, red)| red == Some(header.payload_type));
        Some(ReceivedPacket {
            mid,
            ssrc: *header.ssrc,
            sequence: *packet.seq_no,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: *header.payload_type,
            csrc: header.csrc[..header.csrc_count].to_vec(),
            level_dbov: header.ext_vals.audio_level,
            voice: header.ext_vals.voice_activity,
            payload: packet.payload,
            is_red,
            received: packet.timestamp,
        })
    }

    fn channel(&self, id: ChannelId) -> Option<Channel> {
        self.channels.iter().find(|(of, _)| *of == id).map(|(_, channel)| *channel)
    }
}

impl Channel {
    fn config(self) -> ChannelConfig {
        match self {
            Channel::Reliable => ChannelConfig {
                label: tercet_protocol::CHANNEL_RELIABLE.to_owned(),
                ..ChannelConfig::default()
            },
            Channel::Lossy => ChannelConfig {
                label: tercet_protocol::CHANNEL_LOSSY.to_owned(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..ChannelConfig::default()
            },
        }
    }
}

fn host_candidate(local: SocketAddr, protocol: Protocol) -> Result<Candidate, PeerError> {
    let candidate = match protocol {
        // RFC 6544, section 4.5: this end connects.
        Protocol::Tcp => Candidate::builder().tcp().host(local).tcptype(TcpType::Active).build(),
        _ => Candidate::host(local, protocol),
    };
    candidate.map_err(|e| PeerError::Rtc(RtcError::Ice(e)))
}

#[cfg(test)]
mod tests;
