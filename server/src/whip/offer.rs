//! Offers of encoders and players, as the media plane is to see them, and its answers, as they are to see those.
//!
//! An offer's directions are made those of its protocol (RFC 9725, section 4.2: what is offered as `sendrecv` is answered as
//! `recvonly`; WHEP has it the other way round). Its candidates are taken out: the server learns where a client is by its
//! checks (RFC 8445, section 7.3.1.3), so nobody can have it send anything to addresses of their choice.

use super::Kind;
use super::problem::Problem;
use crate::media::{attributes, can_be_read, mid_of, sections};

/// An offer that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    kind: Kind,
    sdp: String,
    ufrag: String,
}

/// Names of encodings (RFC 7587, 7741, 6184, 9628; AV1's of its RTP specification).
const CODECS: [&str; 5] = ["opus", "VP8", "H264", "VP9", "AV1"];

const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// It is none, or not one for this protocol.
    pub(crate) fn read(kind: Kind, text: &str) -> Result<Offer, Problem> {
        if !text.starts_with("v=0") {
            return Err(Problem::bad("the body is no session description (RFC 8866)"));
        }
        let all: Vec<&str> = sections(text).collect();
        let (head, lines) = all.split_first().ok_or_else(|| Problem::bad("the body is empty"))?;
        let media: Vec<&str> = lines.iter().copied().filter(|line| kind_of(line).is_some()).collect();
        if media.is_empty() {
            return Err(Problem::bad("the offer has neither audio nor video"));
        }
        let ufrag = attribute(&all, "ice-ufrag:");
        let (Some(ufrag), Some(_), Some(_)) =
            (ufrag, attribute(&all, "ice-pwd:"), attribute(&all, "fingerprint:"))
        else {
            return Err(Problem::bad("the offer lacks ICE credentials or a DTLS fingerprint"));
        };
        check_lines(kind, head, &media)?;
        let sdp: String = all.iter().map(|section| prepared(kind, head, section)).collect();
        // Who joins takes the place of a former session of theirs: only with what can be answered.
        if !can_be_read(&sdp) {
            return Err(Problem::bad("the session description can't be read (RFC 8866)"));
        }
        Ok(Offer { kind, sdp, ufrag: ufrag.to_owned() })
    }

    /// As the media plane gets it.
    pub(super) fn sdp(&self) -> &str {
        &self.sdp
    }

    /// The ICE user fragment of its client.
    pub(super) fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The same with other ICE credentials: a restart that says no more than that.
    pub(super) fn restarted(&self, ufrag: &str, pwd: &str) -> Offer {
        let mut sdp = String::with_capacity(self.sdp.len());
        for line in self.sdp.lines() {
            if line.starts_with("a=ice-ufrag:") {
                sdp.push_str(&format!("a=ice-ufrag:{ufrag}"));
            } else if line.starts_with("a=ice-pwd:") {
                sdp.push_str(&format!("a=ice-pwd:{pwd}"));
            } else {
                sdp.push_str(line);
            }
            sdp.push_str("\r\n");
        }
        Offer { kind: self.kind, sdp, ufrag: ufrag.to_owned() }
    }

    /// The media plane's answer as the client gets it: an m-line on which nothing was agreed is a rejected one (RFC 3264,
    /// section 6), all that is played is of one stream, and RTCP has no port of its own (RFC 8858, section 3).
    pub(super) fn answer(&self, answer: &str) -> String {
        let is_rejected = |section: &&str| {
            let mut fields = section.lines().next().unwrap_or_default().split_whitespace();
            kind_of(section).is_some() && fields.nth(3).is_none()
        };
        let rejected: Vec<&str> = sections(answer).filter(is_rejected).filter_map(mid_of).collect();
        let mut offered = sections(&self.sdp).skip(1);
        let mut polished = String::with_capacity(answer.len());
        for (index, section) in sections(answer).enumerate() {
            let offered = if index == 0 { None } else { offered.next() };
            if is_rejected(&section) {
                push_rejected(&mut polished, section, offered.unwrap_or_default());
                continue;
            }
            let mid = mid_of(section).unwrap_or_default();
            let is_played = attributes(section).any(|attribute| attribute == "sendonly");
            for line in section.lines().filter(|line| !is_of_streams(line)) {
                if let Some(mids) = line.strip_prefix("a=group:BUNDLE") {
                    let mids = mids.split_whitespace().filter(|mid| !rejected.contains(mid));
                    push(&mut polished, &mids.fold("a=group:BUNDLE".to_owned(), |all, mid| all + " " + mid));
                    continue;
                }
                push(&mut polished, line);
                if line == "a=rtcp-mux" {
                    push(&mut polished, "a=rtcp-mux-only");
                }
                if line == "a=sendonly" && is_played {
                    push(&mut polished, &format!("a=msid:tercet {mid}"));
                }
            }
        }
        polished
    }
}

fn push(sdp: &mut String, line: &str) {
    sdp.push_str(line);
    sdp.push_str("\r\n");
}

/// A rejected m-line has port 0, and formats of the offer since there has to be one.
fn push_rejected(sdp: &mut String, section: &str, offered: &str) {
    let mut fields = offered.lines().next().unwrap_or_default().split_whitespace();
    let (kind, _, protocol, format) = (fields.next(), fields.next(), fields.next(), fields.next());
    let words = [kind.unwrap_or("m=video"), "0", protocol.unwrap_or("RTP/SAVPF"), format.unwrap_or("0")];
    push(sdp, &words.join(" "));
    push(sdp, "c=IN IP4 0.0.0.0");
    if let Some(mid) = mid_of(section) {
        push(sdp, &format!("a=mid:{mid}"));
    }
    push(sdp, "a=inactive");
}

/// What str0m says of streams, which it names anew for each m-line.
fn is_of_streams(line: &str) -> bool {
    let is_msid_of_ssrc =
        line.starts_with("a=ssrc:") && line.split_once(' ').is_some_and(|(_, of)| of.starts_with("msid:"));
    line.starts_with("a=msid") || is_msid_of_ssrc
}

/// How many lines there may be, and what each of them has to have.
fn check_lines(kind: Kind, head: &str, media: &[&str]) -> Result<(), Problem> {
    let count = |name| media.iter().filter(|line| kind_of(line) == Some(name)).count();
    if kind == Kind::Whip && (count("audio") > 1 || count("video") > 1) {
        let message = "WHIP publishes one audio and one video track at most (RFC 9725, section 4.4.2)";
        return Err(Problem::unprocessable(message));
    }
    let group = attributes(head).find_map(|attribute| attribute.strip_prefix("group:BUNDLE"));
    let bundled: Vec<&str> = group.into_iter().flat_map(str::split_whitespace).collect();
    if !media.iter().all(|line| mid_of(line).is_some_and(|mid| bundled.contains(&mid)) || is_stopped(line)) {
        return Err(Problem::unprocessable("all m-lines have to be bundled (RFC 9725, section 4.4.1)"));
    }
    let is_multiplexed = |line: &&str| attributes(line).any(|a| a == "rtcp-mux" || a == "rtcp-mux-only");
    if !media.iter().all(|line| is_multiplexed(line) || is_stopped(line)) {
        return Err(Problem::unprocessable("RTCP has to be multiplexed (RFC 9725, section 4.4.1)"));
    }
    let refused = refused_direction(kind);
    let is_of_use = |line: &&str| !["inactive", refused].contains(&direction(head, line));
    if !media.iter().copied().any(|line| is_of_use(&line)) {
        let message = match kind {
            Kind::Whip => "no m-line of the offer sends anything (RFC 9725, section 4.2)",
            Kind::Whep => "no m-line of the offer receives anything",
        };
        return Err(Problem::unprocessable(message));
    }
    if !media.iter().copied().filter(is_of_use).any(names_codec) {
        let message = "no m-line offers Opus, or a video codec that is known here";
        return Err(Problem::unprocessable(message));
    }
    Ok(())
}

/// Whether one of the formats of an m-line is forwarded here.
fn names_codec(line: &str) -> bool {
    let encodings =
        attributes(line).filter_map(|attribute| attribute.strip_prefix("rtpmap:")?.split_once(' '));
    let mut names = encodings.filter_map(|(_, encoding)| encoding.split('/').next());
    names.any(|name| CODECS.iter().any(|known| known.eq_ignore_ascii_case(name.trim())))
}

/// `audio` or `video`.
fn kind_of(section: &str) -> Option<&'static str> {
    ["audio", "video"].into_iter().find(|kind| {
        section
            .strip_prefix("m=")
            .and_then(|line| line.strip_prefix(kind))
            .is_some_and(|rest| rest.starts_with(' '))
    })
}

fn attribute<'a>(all: &[&'a str], name: &str) -> Option<&'a str> {
    all.iter().flat_map(|section| attributes(section)).find_map(|attribute| attribute.strip_prefix(name))
}

fn is_stopped(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("0")
}

/// RFC 8866, section 6.7: of the line, or else of the session, or else `sendrecv`.
fn direction<'a>(head: &'a str, line: &'a str) -> &'a str {
    let of = |section: &'a str| attributes(section).find(|attribute| DIRECTIONS.contains(attribute));
    of(line).or_else(|| of(head)).unwrap_or("sendrecv")
}

/// The direction that makes no sense in this protocol.
fn refused_direction(kind: Kind) -> &'static str {
    match kind {
        Kind::Whip => "recvonly",
        Kind::Whep => "sendonly",
    }
}

/// A section as the media plane gets it.
fn prepared(kind: Kind, head: &str, section: &str) -> String {
    let mut out = String::with_capacity(section.len() + 32);
    let is_media = kind_of(section).is_some();
    for line in section.lines() {
        let line = line.trim_end();
        let attribute = line.strip_prefix("a=").unwrap_or_default();
        let is_direction = DIRECTIONS.contains(&attribute);
        let is_of_candidates = attribute.starts_with("candidate:") || attribute == "end-of-candidates";
        if !is_direction && !is_of_candidates {
            push(&mut out, &with_both_channels(line));
        }
    }
    if is_media {
        let direction = match (kind, direction(head, section)) {
            (_, "inactive") => "inactive",
            (_, offered) if offered == refused_direction(kind) => "inactive",
            (Kind::Whip, _) => "sendonly",
            (Kind::Whep, _) => "recvonly",
        };
        push(&mut out, &format!("a={direction}"));
    }
    out
}

/// RFC 7587, section 7: the encoding name is `opus/48000/2`. GStreamer's WHEP client writes `OPUS/48000`.
fn with_both_channels(line: &str) -> std::borrow::Cow<'_, str> {
    match line.strip_prefix("a=rtpmap:").and_then(|rest| rest.split_once(' ')) {
        Some((pt, encoding)) if encoding.eq_ignore_ascii_case("opus/48000") => {
            format!("a=rtpmap:{pt} opus/48000/2").into()
        }
        _ => line.into(),
    }
}

#[cfg(test)]
mod tests;
