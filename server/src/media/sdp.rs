//! Session descriptions between clients and str0m, which isn't told of what is sent.

use std::panic::catch_unwind;

use str0m::change::SdpOffer;
use str0m::media::Mid;

/// Whether an offer is of FFmpeg, which sends checks and answers none.
pub(super) fn knows_ice_lite_only(offer: &str) -> bool {
    offer.lines().any(|line| line.trim_end() == "s=FFmpegPublishSession")
}

/// Whether an offer has lines on which its client receives video.
pub(super) fn receives_video(offer: &str) -> bool {
    let receives = |section: &str| !attributes(section).any(|it| matches!(it, "sendonly" | "inactive"));
    sections(offer).any(|section| section.starts_with("m=video ") && receives(section))
}

/// The offer as str0m gets it: the audio lines on which the client only receives are stopped ones there, since what is
/// sent on them is ours to send. And the `mid`s of these.
pub(super) fn without_streams(offer: &str) -> (String, Vec<Mid>) {
    let mut received = Vec::new();
    let mut unsent = String::with_capacity(offer.len());
    for section in sections(offer) {
        let is_received = section.starts_with("m=audio ") && attributes(section).any(|a| a == "recvonly");
        if is_received {
            received.extend(mid_of(section).map(Mid::from));
        }
        for line in section.split_inclusive('\n') {
            let stops = is_received && line.trim_end() == "a=recvonly";
            unsent.push_str(if stops { "a=inactive\r\n" } else { line });
        }
    }
    (unsent, received)
}

fn is_media(line: &str) -> bool {
    line.starts_with("m=audio ") || line.starts_with("m=video ")
}

/// str0m's answer, as clients want it.
///
/// Lines on which something is sent, of which `sent` knows the SSRC and the CNAME by their `mid`, are no stopped ones (RFC
/// 5576, section 6.1, for the way to name them).
///
/// The payload types of each m-line stand in the order of the offer. str0m puts redundant audio first, and VP8, and
/// the first one is what a browser sends; whether to double its bitrate, and which codec to encode pictures with, is the client's
/// choice (RFC 3264, section 6.1: the order is the preference).
///
/// Every m-line names all candidates and that there are no more (RFC 8840, section 4.2). str0m
/// names them on the first line of the bundle, which is all that RFC 8843 asks for; aiortc looks on the last.
pub(super) fn polished<'a>(
    offer: &str,
    answer: &str,
    sent: impl Fn(&str) -> Option<(u32, &'a str)>,
) -> String {
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    let mut offered = offer.lines().filter(|line| line.starts_with("m="));
    let mut polished = String::with_capacity(answer.len() * 2);
    for section in sections(answer) {
        let mut push = |line: &str| {
            polished.push_str(line);
            polished.push_str("\r\n");
        };
        let stream = mid_of(section).and_then(&sent);
        for line in section.lines() {
            let preference = line.starts_with("m=").then(|| offered.next()).flatten();
            match preference.filter(|_| is_media(line)) {
                Some(preference) => push(&media_line_ordered_by(preference, line)),
                None if line.starts_with("a=candidate:") => {}
                None if line == "a=inactive" && stream.is_some() => push("a=sendonly"),
                // str0m's own, of a time when the client sent on the line too.
                None if line.starts_with("a=ssrc:") && stream.is_some() => {}
                None => push(line),
            }
            // The connection line is the first of each m-line's own.
            if line.starts_with("c=") {
                candidates.iter().for_each(|candidate| push(candidate));
                push("a=end-of-candidates");
            }
        }
        if let Some((ssrc, cname)) = stream {
            push(&format!("a=ssrc:{ssrc} cname:{cname}"));
        }
    }
    polished
}

/// What stands before the first m-line, and each of them with what belongs to it (RFC 8866, section 5).
pub(crate) fn sections(sdp: &str) -> impl Iterator<Item = &str> {
    let begins = sdp.match_indices("m=").map(|(at, _)| at).filter(|&at| sdp[..at].ends_with('\n'));
    let ends: Vec<usize> = begins.chain([sdp.len()]).collect();
    ends.into_iter().scan(0, |begin, end| Some(&sdp[std::mem::replace(begin, end)..end]))
}

/// The name of an m-line (RFC 5888).
pub(crate) fn mid_of(section: &str) -> Option<&str> {
    attributes(section).find_map(|attribute| attribute.strip_prefix("mid:"))
}

/// The `a=` lines of a section, without `a=`.
pub(crate) fn attributes(section: &str) -> impl Iterator<Item = &str> {
    section.lines().filter_map(|line| line.strip_prefix("a=")).map(str::trim_end)
}

/// `m=audio PORT PROTOCOL PT PT ...` (RFC 8866, section 5.14), payload types ordered as in another one.
fn media_line_ordered_by(preference: &str, line: &str) -> String {
    const FIXED_FIELDS: usize = 3;
    let preferred: Vec<&str> = preference.split_whitespace().skip(FIXED_FIELDS).collect();
    let rank = |pt: &&str| preferred.iter().position(|other| other == pt).unwrap_or(usize::MAX);
    let mut fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() > FIXED_FIELDS {
        fields[FIXED_FIELDS..].sort_by_key(rank);
    }
    fields.join(" ")
}

/// Whether an offer is one that str0m can read, whatever it makes of it.
pub(crate) fn can_be_read(offer: &str) -> bool {
    catch_unwind(|| SdpOffer::from_sdp_string(offer).is_ok()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\nc=IN IP4 0.0.0.0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
    const ANSWER: &str = "v=0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=mid:0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n";

    #[test]
    fn the_clients_order_of_payload_types_is_kept() {
        assert!(polished(OFFER, ANSWER, |_| None).contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"));
        let red_first = OFFER.replace("111 63 9", "63 111 9");
        assert!(polished(&red_first, ANSWER, |_| None).contains("m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"));
    }

    #[test]
    fn every_media_line_names_all_candidates_once() {
        let polished = polished(OFFER, ANSWER, |_| None);
        for section in polished.split("m=").skip(1) {
            assert_eq!(section.matches("a=candidate:1 1 udp").count(), 1, "{section}");
            assert_eq!(section.matches("a=end-of-candidates").count(), 1, "{section}");
        }
        assert!(polished.contains("webrtc-datachannel\r\n") && polished.ends_with("a=mid:1\r\n"));
    }

    #[test]
    fn what_the_client_receives_str0m_does_not_send() {
        let line =
            |direction: &str, mid: &str| format!("m=audio 9 X 111\r\na={direction}\r\na=mid:{mid}\r\n");
        let [sent, received] = [line("sendonly", "0"), line("recvonly", "1")];
        let video = line("recvonly", "2").replace("audio", "video");
        let offer = ["v=0\r\n", &sent, &received, &video].concat();
        let (unsent, mids) = without_streams(&offer);
        assert_eq!(unsent, ["v=0\r\n", &sent, &line("inactive", "1"), &video].concat());
        assert_eq!(mids, [Mid::from("1")]);
        let answer =
            ["v=0\r\n", &line("recvonly", "0"), &line("inactive", "1"), &line("inactive", "2")].concat();
        let polished = polished(&offer, &answer, |mid| (mid == "1").then_some((7, "name")));
        let stream = "a=ssrc:7 cname:name\r\n";
        let expected =
            ["v=0\r\n", &line("recvonly", "0"), &line("sendonly", "1"), stream, &line("inactive", "2")];
        assert_eq!(polished, expected.concat());
    }
}
