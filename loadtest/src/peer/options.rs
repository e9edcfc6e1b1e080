//! What a peer offers.

use std::sync::LazyLock;

use str0m::format::{Codec as RtcCodec, FormatParams};
use str0m::media::Frequency;
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Rtc, RtcConfig};
use tercet_dtls::SharedCrypto;

/// The payload types of VP8 and of what is sent of it again, as Chromium numbers them.
const VP8: u8 = 96;
const VP8_AGAIN: u8 = 97;

/// Of transport-wide sequence numbers, and of the names of streams and of repaired ones (RFC 8852).
const SIMULCAST_EXTENSION_IDS: [u8; 3] = [5, 10, 11];

/// All peers are clients of one tester: nobody has to tell their certificates apart.
pub(super) static CRYPTO: LazyLock<SharedCrypto> =
    LazyLock::new(|| SharedCrypto::generate().expect("aws-lc-rs makes a P-256 key pair"));

/// How the audio of a [`Peer`](super::Peer) is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Opus with a payload type of the client's choice: Chromium has 111, Firefox 109, aiortc 96.
    Opus(u8),
    /// Opus (111) and RED (63), as Chromium offers them. What is sent is RED if the answer has it.
    OpusAndRed,
}

/// What a [`Peer`](super::Peer) offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerOptions {
    /// How audio is coded.
    pub codec: Codec,
    /// The id of the audio-level header extension (RFC 6464), 1 to 14.
    pub level_extension_id: u8,
    /// Whether the channels `reliable` and `lossy` are offered.
    pub data_channels: bool,
    /// The label of a data channel that both sides take as open with id 0 (`negotiated` in WebRTC's API), for servers
    /// that have such a one. What comes on it isn't told.
    pub channel_zero: Option<&'static str>,
    /// Whether the m-lines of screens are offered: for their sound one's own, and the one that is heard; beside a camera, one for
    /// one's own picture.
    pub screen: bool,
    /// What is offered of video, if anything.
    pub video: Option<VideoOffer>,
    /// The first RTP sequence number; random if absent.
    pub first_sequence: Option<u16>,
}

/// What a [`Peer`](super::Peer) offers of video: VP8. Without simulcast, what it loses isn't asked for again, so that a peer that is shown
/// few of its packets is none that lost the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoOffer {
    /// Whether it has a camera, and sends.
    pub camera: bool,
    /// How many it wants to watch.
    pub slots: u8,
    /// As browsers offer it: the camera in three sizes (RFC 8853), what was lost is sent again (RFC 4588), and the server is told
    /// when packets come, to know what the network takes.
    pub is_simulcast: bool,
}

impl Default for PeerOptions {
    fn default() -> Self {
        PeerOptions {
            codec: Codec::Opus(111),
            level_extension_id: 1,
            data_channels: true,
            channel_zero: None,
            screen: false,
            video: None,
            first_sequence: None,
        }
    }
}

impl PeerOptions {
    pub(super) fn configuration(&self) -> RtcConfig {
        let mut extensions = ExtensionMap::empty();
        extensions.set(self.level_extension_id, Extension::AudioLevel);
        extensions.set(if self.level_extension_id == 4 { 3 } else { 4 }, Extension::RtpMid);
        let is_simulcast = self.video.is_some_and(|video| video.is_simulcast);
        if is_simulcast {
            let [transport_wide, stream, repaired] = SIMULCAST_EXTENSION_IDS;
            extensions.set(transport_wide, Extension::TransportSequenceNumber);
            extensions.set(stream, Extension::RtpStreamId);
            extensions.set(repaired, Extension::RepairedRtpStreamId);
        }
        let mut config = Rtc::builder()
            .set_crypto_provider(CRYPTO.provider.clone())
            .set_dtls_cert(CRYPTO.certificate.clone())
            .set_rtp_mode(true)
            .set_extension_map(extensions)
            .clear_codecs();
        if self.video.is_some() {
            let format = FormatParams::default();
            let (rate, codec) = (Frequency::NINETY_KHZ, RtcCodec::Vp8);
            let again = is_simulcast.then(|| VP8_AGAIN.into());
            config.codec_config().add_config(VP8.into(), again, codec, rate, None, format);
            for params in config.codec_config().iter_mut() {
                params.set_fb_nack(is_simulcast);
            }
        }
        match self.codec {
            Codec::OpusAndRed => config.enable_opus(true, true),
            Codec::Opus(payload_type) => {
                let format = FormatParams {
                    min_p_time: Some(10),
                    use_inband_fec: Some(true),
                    ..FormatParams::default()
                };
                let (rate, channels) = (Frequency::FORTY_EIGHT_KHZ, Some(2));
                config.codec_config().add_config(
                    payload_type.into(),
                    None,
                    RtcCodec::Opus,
                    rate,
                    channels,
                    format,
                );
                config
            }
        }
    }
}
