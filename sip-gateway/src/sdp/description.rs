//! A peer's session description (RFC 8866), as far as audio needs it: text in, lines by their meaning out.
//!
//! Lines that are of no use to us are passed over, whatever is in them: video codecs, ICE, T.38. What we need and can't
//! read makes it [`SdpError::Malformed`].

use std::net::{IpAddr, SocketAddr};

use super::crypto::CryptoLine;
use super::format::Format;
use super::{Direction, SdpError};

/// More streams than anybody has; each costs a line of our answer.
const MEDIA_MAX: usize = 32;

/// More formats of audio than there are payload types.
const FORMATS_MAX: usize = 128;

/// Where a `c=` line sends media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Address(IpAddr),
    /// `0.0.0.0` or `::`: the hold of RFC 2543 (RFC 3264, section 8.4).
    Nowhere,
    /// A name, which we don't resolve: media comes from somewhere, and is answered there.
    Name,
}

/// One `m=` section.
#[derive(Clone, Debug)]
pub(super) struct MediaSection {
    /// `audio`, `video`, `image`, ...
    pub(super) kind: String,
    pub(super) port: u16,
    /// `RTP/AVP`, ...
    pub(super) protocol: String,
    pub(super) formats: Vec<String>,
    pub(super) target: Option<Target>,
    /// From the peer's side: `sendonly` is that it sends.
    pub(super) direction: Option<Direction>,
    pub(super) rtpmaps: Vec<(u8, String)>,
    pub(super) rtcp: Option<(u16, Option<IpAddr>)>,
    pub(super) rtcp_mux: bool,
    pub(super) crypto: Vec<CryptoLine>,
    pub(super) ptime_ms: Option<u32>,
    pub(super) maxptime_ms: Option<u32>,
}

impl MediaSection {
    /// Formats that we know, in the peer's order, with their payload types. `a=rtpmap` goes before the static types.
    pub(super) fn known_formats(&self) -> impl Iterator<Item = (u8, Format)> + '_ {
        self.formats.iter().filter_map(|format| {
            let payload_type: u8 = format.parse().ok().filter(|payload_type| *payload_type < 128)?;
            let mapped = self.rtpmaps.iter().find(|(of, _)| *of == payload_type);
            let format = match mapped {
                Some((_, rtpmap)) => Format::named(rtpmap)?,
                None => Format::of_static_type(payload_type)?,
            };
            Some((payload_type, format))
        })
    }

    /// Its payload types that have no meaning by themselves: an answer may use those of the offer without saying more.
    pub(super) fn unmapped(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats
            .iter()
            .filter_map(|format| format.parse().ok())
            .filter(|payload_type| !self.rtpmaps.iter().any(|(of, _)| of == payload_type))
    }
}

/// A whole description.
#[derive(Clone, Debug)]
pub(super) struct Description {
    target: Option<Target>,
    direction: Option<Direction>,
    pub(super) media: Vec<MediaSection>,
}

impl Description {
    pub(super) fn parse(text: &str) -> Result<Description, SdpError> {
        let mut lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
        if lines.next().map(str::trim_end) != Some("v=0") {
            return Err(SdpError::Malformed);
        }
        let mut description = Description { target: None, direction: None, media: Vec::new() };
        let mut has_origin = false;
        for line in lines {
            let (kind, value) = line.split_once('=').ok_or(SdpError::Malformed)?;
            match kind {
                "o" => has_origin = value.split_ascii_whitespace().count() == 6,
                "m" if description.media.len() < MEDIA_MAX => description.media.push(parse_media(value)?),
                "m" => return Err(SdpError::Malformed),
                "c" => {
                    let target = parse_target(value).ok_or(SdpError::Malformed)?;
                    match description.media.last_mut() {
                        Some(media) => media.target = Some(target),
                        None => description.target = Some(target),
                    }
                }
                "a" => description.read_attribute(value),
                // Some phones leave out s= and t=, or write them where they like; nothing hangs on either.
                _ => {}
            }
        }
        if has_origin { Ok(description) } else { Err(SdpError::Malformed) }
    }

    fn read_attribute(&mut self, attribute: &str) {
        let attribute = attribute.trim_end();
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        if let Some(direction) = parse_direction(name) {
            match self.media.last_mut() {
                Some(media) => media.direction = Some(direction),
                None => self.direction = Some(direction),
            }
            return;
        }
        let Some(media) = self.media.last_mut() else { return };
        match name {
            "rtpmap" if media.rtpmaps.len() < FORMATS_MAX => {
                media.rtpmaps.extend(value.trim().split_once(' ').and_then(|(payload_type, rtpmap)| {
                    Some((payload_type.parse().ok()?, rtpmap.to_owned()))
                }));
            }
            "crypto" if media.crypto.len() < FORMATS_MAX => media.crypto.extend(CryptoLine::parse(value)),
            "rtcp" => media.rtcp = parse_rtcp(value),
            "rtcp-mux" => media.rtcp_mux = true,
            "ptime" => media.ptime_ms = value.trim().parse().ok(),
            "maxptime" => media.maxptime_ms = value.trim().parse().ok(),
            _ => {}
        }
    }

    /// Where a section's RTP and RTCP go. The section's own `c=` goes before the session's (RFC 8866, section 5.7).
    pub(super) fn remote(&self, media: &MediaSection) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let Some(Target::Address(address)) = media.target.or(self.target) else { return (None, None) };
        let rtp = SocketAddr::new(address, media.port);
        let rtcp = match media.rtcp {
            _ if media.rtcp_mux => Some(rtp),
            // RFC 3605, section 2.1.
            Some((port, other)) => Some(SocketAddr::new(other.unwrap_or(address), port)),
            // The next higher port (RFC 3550, section 11).
            None => media.port.checked_add(1).map(|port| SocketAddr::new(address, port)),
        };
        (Some(rtp), rtcp)
    }

    /// Who sends in a section, from our side.
    pub(super) fn direction(&self, media: &MediaSection) -> Direction {
        let theirs = media.direction.or(self.direction).unwrap_or_default();
        let ours = theirs.flipped();
        match media.target.or(self.target) {
            // "Hold" of old: nothing shall be sent to it (RFC 3264, section 8.4).
            Some(Target::Nowhere) => ours.and(Direction::RecvOnly),
            _ => ours,
        }
    }
}

fn parse_media(value: &str) -> Result<MediaSection, SdpError> {
    let mut words = value.split_ascii_whitespace();
    let mut word = || words.next().ok_or(SdpError::Malformed);
    let (kind, port, protocol) = (word()?, word()?, word()?);
    // `PORT/COUNT`: the first of them.
    let port = port.split('/').next().unwrap_or_default().parse().map_err(|_| SdpError::Malformed)?;
    let formats: Vec<String> = words.take(FORMATS_MAX).map(str::to_owned).collect();
    if formats.is_empty() {
        return Err(SdpError::Malformed);
    }
    Ok(MediaSection {
        kind: kind.to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats,
        target: None,
        direction: None,
        rtpmaps: Vec::new(),
        rtcp: None,
        rtcp_mux: false,
        crypto: Vec::new(),
        ptime_ms: None,
        maxptime_ms: None,
    })
}

/// `IN IP4 ADDRESS[/TTL]` (RFC 8866, section 5.7).
fn parse_target(value: &str) -> Option<Target> {
    let mut words = value.split_ascii_whitespace();
    if words.next()? != "IN" || !matches!(words.next()?, "IP4" | "IP6") {
        return None;
    }
    let address = words.next()?.split('/').next()?;
    Some(match address.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => Target::Nowhere,
        Ok(address) => Target::Address(address),
        Err(_) => Target::Name,
    })
}

/// `PORT [IN IP4 ADDRESS]` (RFC 3605).
fn parse_rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    Some((port, words.nth(2).and_then(|address| address.parse().ok())))
}

fn parse_direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}
