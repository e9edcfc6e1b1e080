//! Offers in the style of phones that people have, and what must become of them.

use super::*;
use audio_mixer::Codec::{G722, Opus, Pcma, Pcmu};

/// An audio call and a refused video, ICE and feedback lines; SAVP is not offered.
const LINPHONE: &str = "v=0\r\no=ada 2890844526 1 IN IP4 192.0.2.10\r\ns=Talk\r\nc=IN IP4 192.0.2.10\r\n\
b=AS:380\r\nt=0 0\r\na=ice-pwd:3a1b2c3d4e5f60718293a4b5\r\na=ice-ufrag:7f0b\r\na=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\n\
m=audio 7078 RTP/AVPF 96 97 98 0 8 101 99 100\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
a=rtpmap:97 speex/16000\r\na=fmtp:97 vbr=on\r\na=rtpmap:98 speex/8000\r\na=rtpmap:101 telephone-event/48000\r\n\
a=rtpmap:99 telephone-event/16000\r\na=rtpmap:100 telephone-event/8000\r\na=rtcp-fb:* trr-int 5000\r\n\
a=candidate:1 1 UDP 2130706303 192.0.2.10 7078 typ host\r\n\
m=video 9078 RTP/AVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42801F\r\n";

const ASTERISK: &str = "v=0\r\no=- 1463829471 1463829471 IN IP4 203.0.113.5\r\ns=Asterisk\r\nc=IN IP4 203.0.113.5\r\n\
t=0 0\r\nm=audio 14782 RTP/AVP 8 0 9 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:9 G722/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

/// Two ways to have the same call: SRTP first, and RTP where that can't be; and a fax.
const FREESWITCH: &str = "v=0\r\no=FreeSWITCH 1700000000 1700000001 IN IP4 203.0.113.6\r\ns=FreeSWITCH\r\n\
c=IN IP4 203.0.113.6\r\nt=0 0\r\nm=audio 23456 RTP/SAVP 102 9 0 8 103 101\r\na=rtpmap:102 opus/48000/2\r\n\
a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 telephone-event/48000\r\n\
a=fmtp:103 0-16\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
a=crypto:1 AEAD_AES_256_GCM_8 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygp\r\n\
a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^48\r\na=ptime:20\r\n\
m=audio 23458 RTP/AVP 102 9 0 8 103 101\r\na=rtpmap:102 opus/48000/2\r\na=rtpmap:9 G722/8000\r\n\
a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n\
m=image 23460 udptl t38\r\na=T38FaxVersion:0\r\n";

const BARESIP: &str = "v=0\r\no=- 3866017890 1297842013 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
a=tool:baresip 1.0.0\r\nm=audio 40318 RTP/AVP 96 0 101\r\nb=AS:125\r\na=rtpmap:96 opus/48000/2\r\n\
a=fmtp:96 stereo=1;sprop-stereo=1;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\na=rtcp:40319\r\na=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\na=ssrc:123 cname:sip:a@127.0.0.1\r\na=ptime:20\r\n";

/// Static payload types that nobody explains, and 30 ms.
const OLD_DESK_PHONE: &str = "v=0\no=CiscoSystemsSIP-GW-UserAgent 1 1 IN IP4 198.51.100.9\ns=SIP Call\n\
c=IN IP4 198.51.100.9\nt=0 0\nm=audio 16384 RTP/AVP 18 0 8 100\na=rtpmap:100 telephone-event/8000\na=ptime:30\n";

fn local() -> LocalMedia {
    LocalMedia::at("198.51.100.1:5004".parse().unwrap(), &[Opus, G722, Pcma, Pcmu])
}

fn session_with(local: LocalMedia) -> Session {
    let mut secret = [7; SECRET_BYTES];
    secret[SECRET_BYTES - 1] = 9;
    Session::new(local, &secret)
}

fn session() -> Session {
    session_with(local())
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn media_lines(description: &str) -> Vec<&str> {
    description.lines().filter(|line| line.starts_with("m=")).collect()
}

#[test]
fn linphone_gets_opus_and_its_keys_and_no_video() {
    let (answer, agreed) = session().answer(LINPHONE).unwrap();
    assert_eq!(media_lines(&answer), ["m=audio 5004 RTP/AVPF 96 101", "m=video 0 RTP/AVPF 96"]);
    assert_eq!((agreed.codec, agreed.payload_type), (Opus, 96));
    assert_eq!(agreed.telephone_event, Some(TelephoneEvent { payload_type: 101, clock_hz: 48000 }));
    assert_eq!(agreed.remote, address("192.0.2.10:7078"));
    assert_eq!(agreed.remote_rtcp, address("192.0.2.10:7079"));
    assert!(!agreed.rtcp_mux);
}

#[test]
fn asterisk_gets_our_preference_among_its_codecs() {
    let (answer, agreed) = session().answer(ASTERISK).unwrap();
    assert_eq!(agreed.codec, G722);
    assert_eq!(agreed.telephone_event, Some(TelephoneEvent { payload_type: 101, clock_hz: 8000 }));
    assert!(answer.contains("a=rtpmap:9 G722/8000\r\n"), "{answer}");
    assert!(answer.contains("a=fmtp:101 0-15\r\n"), "{answer}");
    assert!(!answer.contains("PCMU"), "{answer}");
}

#[test]
fn freeswitch_gets_srtp_where_it_can_be_and_rtp_where_it_must_not() {
    let (answer, agreed) = session().answer(FREESWITCH).unwrap();
    let refused = ["m=audio 0 RTP/AVP 102", "m=image 0 udptl t38"];
    assert_eq!(media_lines(&answer), ["m=audio 5004 RTP/SAVP 102 103", refused[0], refused[1]]);
    assert!(answer.contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"), "{answer}");
    let crypto = agreed.crypto.unwrap();
    assert_eq!((crypto.suite, crypto.remote.key.len()), (Suite::Aes128CmSha1_80, 16));
    assert_ne!(crypto.local, crypto.remote);

    let never = LocalMedia { srtp: SrtpPolicy::Never, ..local() };
    let (answer, agreed) = session_with(never).answer(FREESWITCH).unwrap();
    assert_eq!(media_lines(&answer)[..2], ["m=audio 0 RTP/SAVP 102", "m=audio 5004 RTP/AVP 102 101"]);
    assert_eq!(agreed.crypto, None);
    assert_eq!(agreed.remote, address("203.0.113.6:23458"));
}

#[test]
fn baresip_keeps_its_keys_beside_opus_at_the_only_clock_it_has() {
    let (_, agreed) = session().answer(BARESIP).unwrap();
    assert_eq!(agreed.codec, Opus);
    assert_eq!(agreed.telephone_event, Some(TelephoneEvent { payload_type: 101, clock_hz: 8000 }));
    assert_eq!(agreed.remote_rtcp, address("127.0.0.1:40319"));
}

#[test]
fn static_payload_types_need_no_explanation() {
    let (answer, agreed) = session().answer(OLD_DESK_PHONE).unwrap();
    assert_eq!((agreed.codec, agreed.payload_type, agreed.ptime_ms), (Pcma, 8, 30));
    assert_eq!(media_lines(&answer), ["m=audio 5004 RTP/AVP 8 100"]);
    assert!(answer.contains("a=ptime:30\r\n"), "{answer}");
}

#[test]
fn rtpmap_goes_before_the_static_types() {
    let offer = ASTERISK.replace("a=rtpmap:9 G722/8000", "a=rtpmap:9 speex/8000");
    let (_, agreed) = session().answer(&offer).unwrap();
    assert_eq!(agreed.codec, Pcma);
}

#[test]
fn ptime_is_bounded_and_a_multiple_of_ten() {
    for (line, expected_ms) in [
        ("a=ptime:20", 20),
        ("a=ptime:25", 20),
        ("a=ptime:0", 10),
        ("a=ptime:5000000000", 20),
        ("a=ptime:200", 60),
        ("a=ptime:40\r\na=maxptime:30", 30),
        ("a=ptime:x", 20),
    ] {
        let offer = format!("{OLD_DESK_PHONE}\r\n").replace("a=ptime:30", line);
        assert_eq!(session().answer(&offer).unwrap().1.ptime_ms, expected_ms, "{line}");
    }
}

#[test]
fn hold_is_seen_in_each_of_its_forms() {
    for (from, to, direction) in [
        ("a=sendrecv", "a=sendonly", Direction::RecvOnly),
        ("a=sendrecv", "a=recvonly", Direction::SendOnly),
        ("a=sendrecv", "a=inactive", Direction::Inactive),
        ("a=sendrecv", "a=label:1", Direction::SendRecv),
        ("t=0 0", "t=0 0\r\na=inactive", Direction::SendRecv),
        ("c=IN IP4 203.0.113.5", "c=IN IP4 0.0.0.0", Direction::RecvOnly),
    ] {
        let (answer, agreed) = session().answer(&ASTERISK.replace(from, to)).unwrap();
        assert_eq!(agreed.direction, direction, "{to}");
        assert!(answer.contains(&format!("a={}\r\n", direction.name())), "{answer}");
    }
    let of_the_session = ASTERISK.replace("a=sendrecv\r\n", "").replace("t=0 0", "t=0 0\r\na=sendonly");
    assert_eq!(session().answer(&of_the_session).unwrap().1.direction, Direction::RecvOnly);
}

#[test]
fn hold_of_old_has_nowhere_to_send_to() {
    let (_, agreed) =
        session().answer(&ASTERISK.replace("IP4 203.0.113.5\r\nt=", "IP4 0.0.0.0\r\nt=")).unwrap();
    assert_eq!((agreed.remote, agreed.remote_rtcp), (None, None));
}

#[test]
fn address_of_the_stream_goes_before_that_of_the_session() {
    let offer = ASTERISK.replace("a=ptime", "c=IN IP4 203.0.113.99/127\r\na=ptime");
    assert_eq!(session().answer(&offer).unwrap().1.remote, address("203.0.113.99:14782"));
    let named = ASTERISK.replace("c=IN IP4 203.0.113.5", "c=IN IP4 pbx.example.com");
    assert_eq!(session().answer(&named).unwrap().1.remote, None);
}

#[test]
fn ipv6_is_offered_and_answered() {
    let local = LocalMedia::at("[2001:db8::1]:5004".parse().unwrap(), &[Pcmu]);
    let offer = ASTERISK.replace("IP4 203.0.113.5", "IP6 2001:db8::5");
    let (answer, agreed) = session_with(local).answer(&offer).unwrap();
    assert_eq!(agreed.remote, address("[2001:db8::5]:14782"));
    assert!(answer.contains("c=IN IP6 2001:db8::1\r\n"), "{answer}");
}

#[test]
fn rtcp_goes_where_the_offer_says() {
    for (line, mux, expected) in [
        ("a=rtcp-mux", true, "203.0.113.5:14782"),
        ("a=rtcp-mux", false, "203.0.113.5:14783"),
        ("a=rtcp:20001", true, "203.0.113.5:20001"),
        ("a=rtcp:20001 IN IP4 203.0.113.77", true, "203.0.113.77:20001"),
        ("a=rtcp:0", true, "203.0.113.5:14783"),
    ] {
        let offer = format!("{ASTERISK}{line}\r\n");
        let (answer, agreed) = session_with(LocalMedia { rtcp_mux: mux, ..local() }).answer(&offer).unwrap();
        assert_eq!(agreed.remote_rtcp, address(expected), "{line}");
        assert_eq!(answer.contains("a=rtcp-mux"), line == "a=rtcp-mux" && mux, "{answer}");
    }
    let elsewhere = LocalMedia { rtcp: address("198.51.100.1:6000"), ..local() };
    let (answer, _) = session_with(elsewhere).answer(ASTERISK).unwrap();
    assert!(answer.contains("a=rtcp:6000 IN IP4 198.51.100.1\r\n"), "{answer}");
}

#[test]
fn srtp_beside_plain_rtp_is_taken_if_we_like() {
    let line = "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==\r\n";
    let offer = format!("{ASTERISK}{line}");
    for (srtp, suite) in [
        (SrtpPolicy::Never, None),
        (SrtpPolicy::Optional, Some(Suite::Aes256CmSha1_80)),
        (SrtpPolicy::Required, Some(Suite::Aes256CmSha1_80)),
    ] {
        let (answer, agreed) = session_with(LocalMedia { srtp, ..local() }).answer(&offer).unwrap();
        assert_eq!(agreed.crypto.map(|crypto| crypto.suite), suite);
        assert_eq!(answer.contains("a=crypto:1 AES_256_CM"), suite.is_some());
    }
    let required = LocalMedia { srtp: SrtpPolicy::Required, ..local() };
    assert_eq!(session_with(required).answer(ASTERISK).unwrap_err(), SdpError::NoCrypto);
}

#[test]
fn refusals_say_why() {
    let secure = ASTERISK.replace("RTP/AVP", "RTP/SAVP");
    let dtls = ASTERISK.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    let tcp = ASTERISK.replace("RTP/AVP", "TCP/RTP/AVP");
    let refused = ASTERISK.replace("m=audio 14782", "m=audio 0");
    let other_codec = ASTERISK.replace("m=audio 14782 RTP/AVP 8 0 9 101", "m=audio 14782 RTP/AVP 18");
    let only_keys = ASTERISK.replace("m=audio 14782 RTP/AVP 8 0 9 101", "m=audio 14782 RTP/AVP 101");
    let video = ASTERISK.replace("m=audio", "m=video");
    for (offer, error, status) in [
        (secure.as_str(), SdpError::NoCrypto, 488),
        (&dtls, SdpError::NoCrypto, 488),
        (&tcp, SdpError::NoAudio, 488),
        (&refused, SdpError::NoAudio, 488),
        (&other_codec, SdpError::NoCommonCodec, 488),
        (&only_keys, SdpError::NoCommonCodec, 488),
        (&video, SdpError::NoAudio, 488),
        ("", SdpError::Malformed, 400),
        ("v=0\r\n", SdpError::Malformed, 400),
        ("v=1\r\no=- 1 1 IN IP4 192.0.2.1\r\n", SdpError::Malformed, 400),
        ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio\r\n", SdpError::Malformed, 400),
        ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 99999 RTP/AVP 0\r\n", SdpError::Malformed, 400),
        ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4\r\n", SdpError::Malformed, 400),
        ("v=0\r\nhello\r\n", SdpError::Malformed, 400),
    ] {
        let refusal = session().answer(offer).unwrap_err();
        assert_eq!((refusal, refusal.status()), (error, status), "{offer}");
    }
}

#[test]
fn refused_offer_leaves_what_holds() {
    let mut session = session();
    let (_, agreed) = session.answer(ASTERISK).unwrap();
    session.answer(&ASTERISK.replace("RTP/AVP 8 0 9 101", "RTP/AVP 18")).unwrap_err();
    assert_eq!(session.agreed(), Some(&agreed));
}

#[test]
fn version_counts_descriptions_that_differ() {
    let mut session = session();
    let version = |description: &str| {
        let origin = description.lines().nth(1).unwrap();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    let (first, _) = session.answer(ASTERISK).unwrap();
    let (again, _) = session.answer(ASTERISK).unwrap();
    let (held, _) = session.answer(&ASTERISK.replace("sendrecv", "sendonly")).unwrap();
    assert_eq!((version(&first), version(&again), version(&held)), (1, 1, 2));
    assert_eq!(
        first.lines().nth(1).unwrap().split(' ').nth(1),
        held.lines().nth(1).unwrap().split(' ').nth(1)
    );
}

#[test]
fn our_offer_and_another_sessions_answer_agree() {
    let mut caller = session();
    let mut callee = session_with(LocalMedia::at("203.0.113.80:7000".parse().unwrap(), &[G722, Opus]));
    let offer = caller.offer(Direction::SendRecv);
    assert_eq!(media_lines(&offer), ["m=audio 5004 RTP/AVP 96 9 8 0 101 100"]);
    assert!(offer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "), "{offer}");
    let (answer, of_callee) = callee.answer(&offer).unwrap();
    let of_caller = caller.accept(&answer).unwrap();
    assert_eq!((of_caller.codec, of_callee.codec), (G722, G722));
    assert_eq!(of_caller.telephone_event, Some(TelephoneEvent { payload_type: 101, clock_hz: 8000 }));
    assert_eq!(of_caller.remote, address("203.0.113.80:7000"));
    assert!(of_caller.rtcp_mux && of_callee.rtcp_mux);
    assert_eq!(of_caller.crypto.unwrap().remote, of_callee.crypto.unwrap().local);
}

#[test]
fn offer_that_must_be_sealed_takes_no_plain_answer() {
    let mut required = session_with(LocalMedia { srtp: SrtpPolicy::Required, ..local() });
    assert!(required.offer(Direction::SendRecv).contains("m=audio 5004 RTP/SAVP "));
    assert_eq!(required.accept(&ASTERISK.replace("RTP/AVP", "RTP/SAVP")), Err(SdpError::NoCrypto));
    assert_eq!(required.accept(ASTERISK), Err(SdpError::NoCrypto));

    let mut optional = session();
    optional.offer(Direction::SendRecv);
    assert_eq!(optional.accept(ASTERISK).unwrap().crypto, None);
}

#[test]
fn answer_may_renumber_and_leave_maps_out() {
    let mut session = session();
    session.offer(Direction::SendRecv);
    let renumbered = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                      m=audio 4000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n";
    let agreed = session.accept(renumbered).unwrap();
    assert_eq!((agreed.payload_type, agreed.payload_type_received), (111, 96));

    session.offer(Direction::SendRecv);
    let unmapped = renumbered.replace("111\r\na=rtpmap:111 opus/48000/2", "96");
    let agreed = session.accept(&unmapped).unwrap();
    assert_eq!((agreed.codec, agreed.payload_type), (Opus, 96));
}

#[test]
fn answer_without_an_offer_or_with_what_was_not_offered_is_none() {
    let mut session = session_with(LocalMedia::at("198.51.100.1:5004".parse().unwrap(), &[Pcmu]));
    assert_eq!(session.accept(ASTERISK), Err(SdpError::Malformed));
    session.offer(Direction::SendRecv);
    let only_alaw = ASTERISK.replace("RTP/AVP 8 0 9 101", "RTP/AVP 8");
    assert_eq!(session.accept(&only_alaw), Err(SdpError::NoCommonCodec));
    assert_eq!(session.accept(&ASTERISK.replace("m=audio 14782", "m=audio 0")), Err(SdpError::NoAudio));
    assert_eq!(session.accept(ASTERISK).unwrap().codec, Pcmu);
}

#[test]
fn offers_within_a_call_keep_its_streams_its_types_and_its_codec_first() {
    let mut session = session();
    let offer =
        LINPHONE.replace("opus", "speex").replace("RTP/AVPF 96 97 98 0 8 101", "RTP/AVPF 96 97 98 0 8");
    let (_, agreed) = session.answer(&offer).unwrap();
    assert_eq!(agreed.codec, Pcma);
    let ours = session.offer(Direction::SendOnly);
    let lines = media_lines(&ours);
    assert!(lines[0].starts_with("m=audio 5004 RTP/AVPF 8 96 9 0 100 "), "{lines:?}");
    assert_eq!(lines[1], "m=video 0 RTP/AVPF 96");
    assert!(ours.contains("a=sendonly\r\n"), "{ours}");
    // 100 is the peer's for events at 8000 Hz, so ours at 48000 Hz get another.
    assert!(ours.contains("a=rtpmap:100 telephone-event/8000\r\n"), "{ours}");
    assert_eq!(ours.matches("a=rtpmap:100 ").count(), 1);
    assert!(!ours.contains("a=crypto"), "{ours}");
    let answer = ASTERISK.replace("sendrecv", "recvonly").replace(" 8 0 9 101", " 8 101");
    let agreed = session.accept(&format!("{answer}m=video 0 RTP/AVPF 96\r\n")).unwrap();
    assert_eq!((agreed.codec, agreed.direction), (Pcma, Direction::SendOnly));
}

#[test]
fn any_text_is_an_answer_or_an_error() {
    // Every offer, cut all over, and with bytes replaced by what a parser may trip over.
    for offer in [LINPHONE, ASTERISK, FREESWITCH, BARESIP, OLD_DESK_PHONE] {
        for at in (0..offer.len()).step_by(5) {
            let _ = session().answer(&offer[..at]);
            for with in ["\0", "=", ":", "/", " ", "|", "99999999999999999999", "\r\n"] {
                let mut session = session();
                session.offer(Direction::SendRecv);
                let text = format!("{}{with}{}", &offer[..at], &offer[at + 1..]);
                let _ = session.answer(&text);
                let _ = session.accept(&text);
            }
        }
    }
}
