//! What an offer has to have, and what becomes of it and of its answer.

use axum::http::StatusCode;

use super::*;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";

fn line(kind: &str, mid: u8, rest: &str) -> String {
    format!(
        "m={kind} 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
         a=fingerprint:sha-256 AB\r\na=mid:{mid}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n{rest}"
    )
}

fn status(kind: Kind, offer: &str) -> Option<u16> {
    Offer::read(kind, offer).err().map(|problem| problem.status.as_u16())
}

#[test]
fn an_offer_has_what_the_protocol_asks_for() {
    let good = [HEAD, &line("audio", 0, ""), &line("video", 1, "")].concat();
    assert_eq!((status(Kind::Whip, &good), status(Kind::Whep, &good)), (None, None));
    let two_of_audio = [HEAD, &line("audio", 0, ""), &line("audio", 1, "")].concat();
    assert_eq!((status(Kind::Whip, &two_of_audio), status(Kind::Whep, &two_of_audio)), (Some(422), None));
    let refused = [
        ("hello", 400),
        ("", 400),
        (HEAD, 400),
        (&*[HEAD, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"].concat(), 400),
        (&good.replace("a=ice-pwd", "a=pwd"), 400),
        (&good.replace("a=fingerprint", "a=finger"), 400),
        (&good.replace("BUNDLE 0 1", "BUNDLE 0"), 422),
        (&good.replace("a=rtcp-mux", "a=rtcp-rsize"), 422),
        (&good.replace("a=mid:1", "a=mid:1\r\na=recvonly").replace("a=mid:0", "a=mid:0\r\na=inactive"), 422),
    ];
    for (offer, expected) in refused {
        assert_eq!(status(Kind::Whip, offer), Some(expected), "{offer}");
    }
    assert_eq!(StatusCode::UNPROCESSABLE_ENTITY.as_u16(), 422);
}

#[test]
fn directions_are_those_of_the_protocol_and_candidates_are_left_out() {
    let rest = "a=sendrecv\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n";
    let offer = [HEAD, &line("audio", 0, rest), &line("video", 1, "")].concat();
    for (kind, direction) in [(Kind::Whip, "a=sendonly\r\n"), (Kind::Whep, "a=recvonly\r\n")] {
        let offer = Offer::read(kind, &offer).expect("it can be read");
        let expected = [HEAD, &line("audio", 0, direction), &line("video", 1, direction)].concat();
        assert_eq!(offer.sdp(), expected);
    }
}

#[test]
fn opus_is_understood_without_its_channels() {
    let offer = [HEAD, &line("audio", 0, ""), &line("video", 1, "")].concat();
    let offer = offer.replace("opus/48000/2", "OPUS/48000");
    let offer = Offer::read(Kind::Whep, &offer).expect("it can be read");
    assert!(offer.sdp().contains("a=rtpmap:111 opus/48000/2\r\n"));
}

#[test]
fn a_restart_changes_the_credentials_and_nothing_else() {
    let offer = [HEAD, &line("audio", 0, ""), &line("video", 1, "")].concat();
    let offer = Offer::read(Kind::Whip, &offer).expect("it can be read");
    let restarted = offer.restarted("efgh", "abcdefabcdefabcdefabcd");
    assert_eq!((offer.ufrag(), restarted.ufrag()), ("abcd", "efgh"));
    let back = restarted.restarted("abcd", "0123456789012345678901");
    assert_eq!(back, offer);
}

#[test]
fn what_is_played_is_of_one_stream_and_what_was_not_agreed_is_rejected() {
    let offer = [HEAD, &line("audio", 0, ""), &line("video", 1, "")].concat();
    let offer = Offer::read(Kind::Whep, &offer).expect("it can be read");
    let answer = "v=0\r\na=group:BUNDLE 0 1\r\na=msid-semantic:WMS a b\r\n\
                  m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=msid:a x\r\na=rtcp-mux\r\n\
                  a=ssrc:7 cname:c\r\na=ssrc:7 msid:a x\r\n\
                  m=video 9 UDP/TLS/RTP/SAVPF \r\na=mid:1\r\na=sendonly\r\na=msid:b y\r\na=rtcp-mux\r\n";
    let expected = "v=0\r\na=group:BUNDLE 0\r\n\
                    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=msid:tercet 0\r\na=rtcp-mux\r\n\
                    a=rtcp-mux-only\r\na=ssrc:7 cname:c\r\n\
                    m=video 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=inactive\r\n";
    assert_eq!(offer.answer(answer), expected);
}
