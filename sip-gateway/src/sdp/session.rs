//! One call's session, from our side: it answers offers, makes offers, and takes answers to them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use audio_mixer::Codec;

use super::crypto::CryptoLine;
use super::description::{Description, MediaSection};
use super::format::{Format, clock_hz};
use super::negotiated::TelephoneEvent;
use super::{
    Crypto, Direction, LocalMedia, MasterKey, Negotiated, SECRET_BYTES, SdpError, SrtpPolicy, Suite,
};

/// The bounds of the sound in a packet: what the mixer cuts into frames, and what fits a datagram.
const PTIME_MS_MIN: u32 = 10;
const PTIME_MS_MAX: u32 = 60;

/// The first payload type that is free to be given a meaning (RFC 3551, section 3).
const DYNAMIC_TYPES: std::ops::Range<u8> = 96..127;

/// What one `m=` line of ours says.
#[derive(Clone, Debug)]
struct OurMedia {
    protocol: String,
    formats: Vec<(u8, Format)>,
    direction: Direction,
    ptime_ms: u8,
    rtcp_mux: bool,
    crypto: Vec<CryptoLine>,
}

/// Our side of a session, through all its offers and answers. Each description that differs from the one before it has
/// the next version in `o=` (RFC 3264, section 8).
pub struct Session {
    local: LocalMedia,
    secret: [u8; SECRET_BYTES],
    /// Of the last description of ours.
    version: u64,
    /// What the last description of ours said, below its `o=` line.
    said: String,
    /// The last one's `m=` lines, as they stand in an answer that refuses them: `kind protocol format`.
    lines: Vec<String>,
    /// Which of them is the audio that we use.
    index: usize,
    /// What payload types mean in this session. They keep their meaning to its end (RFC 3264, section 8.3.2).
    meanings: Vec<(u8, Format)>,
    offered: Option<OurMedia>,
    agreed: Option<Negotiated>,
    agreed_protocol: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("local", &self.local)
            .field("agreed", &self.agreed)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session whose keys, if it needs any, are made of `secret`: random bytes that nothing else is made of.
    pub fn new(local: LocalMedia, secret: &[u8; SECRET_BYTES]) -> Session {
        Session {
            local,
            secret: *secret,
            version: 0,
            said: String::new(),
            lines: Vec::new(),
            index: 0,
            meanings: Vec::new(),
            offered: None,
            agreed: None,
            agreed_protocol: String::new(),
        }
    }

    /// Answers an offer of the peer. The direction is the peer's, as seen from here: if it only sends, we only receive.
    /// The first audio that can be used is, and every other stream is refused, in its place (RFC 3264, section 6).
    ///
    /// # Errors
    /// There can be no session; what was agreed on before still holds.
    pub fn answer(&mut self, offer: &str) -> Result<(String, Negotiated), SdpError> {
        let offer = Description::parse(offer)?;
        let mut refusal = SdpError::NoAudio;
        for (index, media) in offer.media.iter().enumerate() {
            if media.kind != "audio" || media.port == 0 {
                continue;
            }
            match self.meet(&offer, media) {
                Ok((ours, agreed)) => {
                    self.lines = offer.media.iter().map(refused_line).collect();
                    self.index = index;
                    self.learn(&ours.formats);
                    self.offered = None;
                    self.agreed = Some(agreed.clone());
                    self.agreed_protocol.clone_from(&ours.protocol);
                    return Ok((self.describe(&ours), agreed));
                }
                // The first refusal is told: what the peer would have liked best.
                Err(error) if refusal == SdpError::NoAudio => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// An offer of ours: all that we can, in `direction`. In a session that stands, what is agreed on comes first, and SRTP
    /// stays as it is.
    pub fn offer(&mut self, direction: Direction) -> String {
        let crypto = match &self.agreed {
            Some(agreed) => self.crypto_lines(agreed.crypto.iter().map(|crypto| crypto.suite)),
            None if self.local.srtp == SrtpPolicy::Never => Vec::new(),
            None => self.crypto_lines(Suite::ALL.into_iter()),
        };
        let protocol = match (&self.agreed, self.local.srtp) {
            (Some(_), _) => self.agreed_protocol.clone(),
            (None, SrtpPolicy::Required) => "RTP/SAVP".to_owned(),
            (None, SrtpPolicy::Optional | SrtpPolicy::Never) => "RTP/AVP".to_owned(),
        };
        let formats = self.offered_formats();
        self.learn(&formats);
        let rtcp_mux = self.local.rtcp_mux && self.agreed.as_ref().is_none_or(|agreed| agreed.rtcp_mux);
        let ptime_ms = self.local.ptime_ms;
        let ours = OurMedia { protocol, formats, direction, ptime_ms, rtcp_mux, crypto };
        if self.lines.is_empty() {
            self.lines = vec![String::new()];
        }
        self.offered = Some(ours.clone());
        self.describe(&ours)
    }

    /// What the peer's answer to our last offer makes of it.
    ///
    /// # Errors
    /// There can be no session; what was agreed on before still holds.
    pub fn accept(&mut self, answer: &str) -> Result<Negotiated, SdpError> {
        let answer = Description::parse(answer)?;
        let ours = self.offered.as_ref().ok_or(SdpError::Malformed)?;
        let media = answer.media.get(self.index).ok_or(SdpError::Malformed)?;
        if media.kind != "audio" || media.port == 0 {
            return Err(SdpError::NoAudio);
        }
        // Payload types are the answer's in what we send, and the offer's in what we receive (RFC 3264, section 6.1).
        let theirs: Vec<(u8, Format)> = media
            .known_formats()
            .chain(media.unmapped().filter_map(|payload_type| {
                ours.formats.iter().copied().find(|(offered, _)| *offered == payload_type)
            }))
            .collect();
        let (payload_type, codec, payload_type_received) = theirs
            .iter()
            .find_map(|(payload_type, format)| {
                let Format::Codec(codec) = format else { return None };
                let (offered, _) = ours.formats.iter().find(|(_, offered)| offered == format)?;
                Some((*payload_type, *codec, *offered))
            })
            .ok_or(SdpError::NoCommonCodec)?;
        let crypto = media.crypto.iter().find_map(|line| {
            let offered = ours.crypto.iter().find(|ours| (ours.tag, ours.suite) == (line.tag, line.suite))?;
            Some(Crypto { suite: line.suite, local: offered.key.clone(), remote: line.key.clone() })
        });
        let must_be_sealed = self.local.srtp == SrtpPolicy::Required || is_secure(&media.protocol);
        if crypto.is_none() && must_be_sealed {
            return Err(SdpError::NoCrypto);
        }
        let (remote, remote_rtcp) = answer.remote(media);
        let agreed = Negotiated {
            codec,
            payload_type,
            payload_type_received,
            telephone_event: telephone_event(&theirs, codec),
            remote,
            remote_rtcp,
            ptime_ms: ptime_ms(media, self.local.ptime_ms),
            direction: answer.direction(media).and(ours.direction),
            rtcp_mux: ours.rtcp_mux && media.rtcp_mux,
            crypto,
        };
        self.agreed_protocol.clone_from(&ours.protocol);
        self.offered = None;
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    /// What was agreed on last.
    pub fn agreed(&self) -> Option<&Negotiated> {
        self.agreed.as_ref()
    }

    /// Changes what we can do, from the next offer or answer on: another address, other codecs.
    pub fn set_local(&mut self, local: LocalMedia) {
        self.local = local;
    }

    /// What we and an offered audio have in common.
    fn meet(&self, offer: &Description, media: &MediaSection) -> Result<(OurMedia, Negotiated), SdpError> {
        let is_secure = is_secure(&media.protocol);
        if !is_secure && !matches!(media.protocol.as_str(), "RTP/AVP" | "RTP/AVPF") {
            // DTLS-SRTP is SRTP that we can't do here; anything else is no audio to us.
            let is_dtls = media.protocol.starts_with("UDP/TLS/RTP/");
            return Err(if is_dtls { SdpError::NoCrypto } else { SdpError::NoAudio });
        }
        let theirs: Vec<(u8, Format)> = media.known_formats().collect();
        let of_codec =
            |codec: Codec| theirs.iter().copied().find(|(_, format)| *format == Format::Codec(codec));
        let (codec, chosen) = self
            .local
            .codecs
            .iter()
            .find_map(|codec| Some((*codec, of_codec(*codec)?)))
            .ok_or(SdpError::NoCommonCodec)?;
        // The most preferred line that we can do is the first (RFC 4568, section 5.1.2).
        let line = media.crypto.first().filter(|_| self.local.srtp != SrtpPolicy::Never);
        if line.is_none() && (is_secure || self.local.srtp == SrtpPolicy::Required) {
            return Err(SdpError::NoCrypto);
        }
        let crypto = line.map(|line| Crypto {
            suite: line.suite,
            local: MasterKey::of(line.suite, &self.secret),
            remote: line.key.clone(),
        });
        let telephone_event = telephone_event(&theirs, codec);
        let event_format = telephone_event
            .map(|event| (event.payload_type, Format::TelephoneEvent { clock_hz: event.clock_hz }));
        let direction = offer.direction(media);
        let rtcp_mux = media.rtcp_mux && self.local.rtcp_mux;
        let (remote, mut remote_rtcp) = offer.remote(media);
        if media.rtcp_mux && !rtcp_mux {
            // Refused: RTCP is where it would be without (RFC 5761, section 5.1.1).
            let unmuxed = MediaSection { rtcp_mux: false, ..media.clone() };
            remote_rtcp = offer.remote(&unmuxed).1;
        }
        let ptime_ms = ptime_ms(media, self.local.ptime_ms);
        let ours = OurMedia {
            protocol: media.protocol.clone(),
            formats: std::iter::once(chosen).chain(event_format).collect(),
            direction,
            ptime_ms,
            rtcp_mux,
            crypto: line
                .zip(crypto.as_ref())
                .map(|(line, crypto)| CryptoLine { key: crypto.local.clone(), ..line.clone() })
                .into_iter()
                .collect(),
        };
        let agreed = Negotiated {
            codec,
            payload_type: chosen.0,
            payload_type_received: chosen.0,
            telephone_event,
            remote,
            remote_rtcp,
            ptime_ms,
            direction,
            rtcp_mux,
            crypto,
        };
        Ok((ours, agreed))
    }

    /// All our codecs, what is agreed on first, and keys at each clock rate.
    fn offered_formats(&self) -> Vec<(u8, Format)> {
        let agreed = self.agreed.as_ref().map(|agreed| agreed.codec);
        let others = self.local.codecs.iter().copied().filter(|codec| Some(*codec) != agreed);
        let codecs: Vec<Codec> = agreed.into_iter().chain(others).collect();
        let mut clocks: Vec<u32> = codecs.iter().map(|codec| clock_hz(*codec)).collect();
        clocks.sort_unstable();
        clocks.dedup();
        let events = clocks.into_iter().map(|clock_hz| Format::TelephoneEvent { clock_hz });
        let mut formats: Vec<(u8, Format)> = Vec::new();
        for format in codecs.into_iter().map(Format::Codec).chain(events) {
            formats.extend(self.payload_type_of(format, &formats).map(|payload_type| (payload_type, format)));
        }
        formats
    }

    /// The payload type that a format has in this session, or one that has had no meaning so far.
    fn payload_type_of(&self, format: Format, taken: &[(u8, Format)]) -> Option<u8> {
        if let Some((payload_type, _)) = self.meanings.iter().find(|(_, known)| *known == format) {
            return Some(*payload_type);
        }
        let is_free =
            |payload_type: u8| self.meanings.iter().chain(taken).all(|(known, _)| *known != payload_type);
        std::iter::once(format.payload_type())
            .chain(DYNAMIC_TYPES)
            .find(|payload_type| is_free(*payload_type))
    }

    fn learn(&mut self, formats: &[(u8, Format)]) {
        for (payload_type, format) in formats {
            self.meanings.retain(|(known, _)| known != payload_type);
            self.meanings.push((*payload_type, *format));
        }
    }

    fn crypto_lines(&self, suites: impl Iterator<Item = Suite>) -> Vec<CryptoLine> {
        (1..)
            .zip(suites)
            .map(|(tag, suite)| CryptoLine { tag, suite, key: MasterKey::of(suite, &self.secret) })
            .collect()
    }

    /// Our description, with its place among the streams that we refuse.
    fn describe(&mut self, ours: &OurMedia) -> String {
        let address = address_of(self.local.address.ip());
        let mut said = format!("s=-\r\nc=IN {address}\r\nt=0 0\r\n");
        for (index, line) in self.lines.iter().enumerate() {
            if index == self.index {
                write_audio(&mut said, &self.local, ours);
            } else {
                let _ = write!(said, "m={line}\r\n");
            }
        }
        if self.said != said {
            self.version += 1;
            self.said = said;
        }
        let number =
            self.secret[SECRET_BYTES - 4..].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        format!("v=0\r\no=- {number} {} IN {address}\r\n{}", self.version, self.said)
    }
}

fn write_audio(text: &mut String, local: &LocalMedia, ours: &OurMedia) {
    let types: String = ours.formats.iter().map(|(payload_type, _)| format!(" {payload_type}")).collect();
    let _ = write!(text, "m=audio {} {}{types}\r\n", local.address.port(), ours.protocol);
    for (payload_type, format) in &ours.formats {
        let _ = write!(text, "a=rtpmap:{payload_type} {}\r\n", format.rtpmap());
        if let Some(parameters) = format.parameters() {
            let _ = write!(text, "a=fmtp:{payload_type} {parameters}\r\n");
        }
    }
    let _ = write!(text, "a=ptime:{}\r\na={}\r\n", ours.ptime_ms, ours.direction.name());
    if ours.rtcp_mux {
        text.push_str("a=rtcp-mux\r\n");
    }
    if let Some(rtcp) = local.rtcp.filter(|rtcp| !is_next_port(local.address, *rtcp)) {
        let _ = write!(text, "a=rtcp:{} IN {}\r\n", rtcp.port(), address_of(rtcp.ip()));
    }
    for line in &ours.crypto {
        let _ = write!(text, "{line}\r\n");
    }
}

fn is_next_port(rtp: SocketAddr, rtcp: SocketAddr) -> bool {
    rtp.ip() == rtcp.ip() && rtp.port().checked_add(1) == Some(rtcp.port())
}

/// A stream that we don't take: port 0, and a format, which the grammar wants (RFC 3264, section 6).
fn refused_line(media: &MediaSection) -> String {
    let format = media.formats.first().map_or("0", String::as_str);
    format!("{} 0 {} {format}", media.kind, media.protocol)
}

fn address_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("IP4 {address}"),
        IpAddr::V6(address) => format!("IP6 {address}"),
    }
}

/// SRTP with keys in the description (RFC 3711, RFC 5124).
fn is_secure(protocol: &str) -> bool {
    matches!(protocol, "RTP/SAVP" | "RTP/SAVPF")
}

/// The events at the codec's clock (RFC 4733, section 2.1: they share its timestamps), or else at 8000 Hz.
fn telephone_event(theirs: &[(u8, Format)], codec: Codec) -> Option<TelephoneEvent> {
    [clock_hz(codec), 8000].into_iter().find_map(|clock_hz| {
        let wanted = Format::TelephoneEvent { clock_hz };
        let (payload_type, _) = theirs.iter().find(|(_, format)| *format == wanted)?;
        Some(TelephoneEvent { payload_type: *payload_type, clock_hz })
    })
}

/// How much sound the peer wants in a packet (RFC 8866, section 6.4), within its and our bounds.
fn ptime_ms(media: &MediaSection, preferred_ms: u8) -> u8 {
    let wanted_ms = media.ptime_ms.unwrap_or_else(|| u32::from(preferred_ms));
    let bounded_ms =
        wanted_ms.min(media.maxptime_ms.unwrap_or(PTIME_MS_MAX)).clamp(PTIME_MS_MIN, PTIME_MS_MAX);
    u8::try_from(bounded_ms / 10 * 10).expect("at most PTIME_MS_MAX")
}

#[cfg(test)]
mod tests;
