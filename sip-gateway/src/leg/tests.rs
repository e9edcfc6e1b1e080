//! Two legs that talk to each other, and whoever else sends to their ports, in virtual time.

use audio_mixer::{Codec, FRAME_SAMPLES, FrameKind, SILENCE};

use super::*;
use crate::sdp::{Crypto, Direction, MasterKey, Suite, TelephoneEvent};

const TICK: Duration = Duration::from_millis(20);

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn agreed(remote: SocketAddr, crypto: Option<Crypto>) -> Negotiated {
    Negotiated {
        codec: Codec::Pcma,
        payload_type: 8,
        payload_type_received: 8,
        telephone_event: Some(TelephoneEvent { payload_type: 101, clock_hz: 8000 }),
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        ptime_ms: 20,
        direction: Direction::SendRecv,
        rtcp_mux: false,
        crypto,
    }
}

fn numbers(ssrc: u32) -> Numbers {
    Numbers { ssrc, sequence_number: u16::MAX - 1, timestamp: u32::MAX - 100 }
}

fn crypto(suite: Suite, local: u8, remote: u8) -> Crypto {
    let key = |seed| MasterKey {
        key: vec![seed; if suite == Suite::Aes256CmSha1_80 { 32 } else { 16 }],
        salt: vec![seed; 14],
    };
    Crypto { suite, local: key(local), remote: key(remote) }
}

/// Who may be sent to.
const KNOWN: Caller = Caller { address: None, is_known: true };

/// Ours at .1, the phone's at .2.
fn pair(now: Instant, suite: Option<Suite>) -> (Leg, Leg) {
    let keys = |local, remote| suite.map(|suite| crypto(suite, local, remote));
    let ours = Leg::new(now, agreed(at(2, 4000), keys(1, 2)), KNOWN, numbers(1)).expect("keys fit");
    let theirs = Leg::new(now, agreed(at(1, 5000), keys(2, 1)), KNOWN, numbers(2)).expect("keys fit");
    (ours, theirs)
}

fn speak(leg: &mut Leg, payload: &[u8]) -> (BytesMut, SocketAddr) {
    let mut datagram = BytesMut::new();
    leg.tick();
    let to = leg.packet(Instant::now(), &Bytes::copy_from_slice(payload), &mut datagram).expect("it sends");
    (datagram, to)
}

fn loud() -> Vec<u8> {
    let mut payload = Vec::new();
    let frame = std::array::from_fn(|n| if n % 40 < 20 { 12_000 } else { -12_000 });
    Codec::Pcma.encoder().encode(&frame, &mut payload);
    payload
}

fn is_heard(leg: &mut Leg, now: Instant) -> bool {
    let mut frame = SILENCE;
    (0..5).any(|tick| {
        leg.pull(now + TICK * tick, &mut frame);
        frame.iter().any(|sample| sample.unsigned_abs() > 5000)
    })
}

#[test]
fn sound_arrives_plain_and_sealed_by_each_suite() {
    let suites =
        [None, Some(Suite::Aes128CmSha1_80), Some(Suite::Aes128CmSha1_32), Some(Suite::Aes256CmSha1_80)];
    for suite in suites {
        let now = Instant::now();
        let (mut ours, mut theirs) = pair(now, suite);
        for tick in 0..5 {
            let (datagram, to) = speak(&mut theirs, &loud());
            assert_eq!(to, at(1, 5000));
            assert_eq!(suite.is_none(), datagram[12..].starts_with(&loud()), "{suite:?}");
            assert_eq!(ours.receive(now + TICK * tick, at(2, 4000), &datagram), Arrived::Sound, "{suite:?}");
        }
        assert!(is_heard(&mut ours, now + TICK * 5), "{suite:?}");
    }
}

#[test]
fn media_go_back_to_where_they_come_from() {
    let now = Instant::now();
    let (mut ours, mut theirs) = pair(now, None);
    assert_eq!(speak(&mut ours, &loud()).1, at(2, 4000));
    let (datagram, _) = speak(&mut theirs, &loud());
    ours.receive(now, at(9, 31_000), &datagram);
    assert_eq!(speak(&mut ours, &loud()).1, at(9, 31_000));
    let (datagram, _) = speak(&mut theirs, &loud());
    assert_eq!(ours.receive(now, at(66, 1), &datagram), Arrived::Dropped(Dropped::Stranger));
}

#[test]
fn what_was_not_sealed_with_the_key_or_was_there_before_is_dropped() {
    let now = Instant::now();
    let (mut ours, mut theirs) = pair(now, Some(Suite::Aes128CmSha1_80));
    let (datagram, _) = speak(&mut theirs, &loud());
    let unsealed = Arrived::Dropped(Dropped::Unsealed);
    for ssrc in 0..100_u32 {
        let mut forged = datagram.clone();
        forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
        forged[20] ^= 1;
        assert_eq!(ours.receive(now, at(66, 1), &forged), unsealed);
    }
    assert_eq!(ours.receive(now, at(2, 4000), &datagram), Arrived::Sound, "strangers took nobody's place");
    assert_eq!(ours.receive(now, at(2, 4000), &datagram), unsealed, "a replay");
}

#[test]
fn a_key_is_told_and_is_no_loss() {
    let now = Instant::now();
    let (mut ours, mut theirs) = pair(now, None);
    for tick in 0..5 {
        let (datagram, _) = speak(&mut theirs, &loud());
        ours.receive(now + TICK * tick, at(2, 4000), &datagram);
    }
    let mut told = Vec::new();
    for (tick, end) in [(5, 0x0a), (6, 0x0a), (7, 0x8a)] {
        let (mut datagram, _) = speak(&mut theirs, &[5, end, 0, 160]);
        datagram[1] = 101;
        // All packets of a key have the timestamp of its beginning.
        datagram[4..8].copy_from_slice(&[0, 0, 9, 9]);
        told.push(ours.receive(now + TICK * tick, at(2, 4000), &datagram));
    }
    assert_eq!(told[0], Arrived::Key(Digit::from_char('5').expect("it is a key")));
    assert_eq!(told[1..], [Arrived::Nothing, Arrived::Nothing]);
    assert_eq!(ours.jitter().stats().lost, 0);
}

#[test]
fn whoever_holds_is_not_heard_and_whoever_is_held_hears_nothing() {
    let now = Instant::now();
    let (mut ours, mut theirs) = pair(now, None);
    let held = Negotiated { direction: Direction::Inactive, ..agreed(at(2, 4000), None) };
    assert!(ours.agree(now, held));
    let (datagram, _) = speak(&mut theirs, &loud());
    assert_eq!(ours.receive(now, at(2, 4000), &datagram), Arrived::Dropped(Dropped::OnHold));
    assert!(!is_heard(&mut ours, now));
    assert!(!ours.sends(now) && ours.packet(now, &Bytes::from(loud()), &mut BytesMut::new()).is_none());
    assert!(ours.agree(now, agreed(at(2, 4000), None)));
    let (datagram, _) = speak(&mut ours, &loud());
    assert_eq!(datagram[1] & 0x80, 0x80, "a talkspurt begins");
    let (datagram, _) = speak(&mut ours, &loud());
    assert_eq!(datagram[1] & 0x80, 0);
}

#[test]
fn both_tell_what_they_sent_and_heard() {
    let now = Instant::now();
    let (mut ours, mut theirs) = pair(now, Some(Suite::Aes128CmSha1_80));
    let (datagram, _) = speak(&mut theirs, &loud());
    ours.receive(now, at(2, 4000), &datagram);
    speak(&mut ours, &loud());
    assert!(ours.report(now, Duration::ZERO, || 0.5).is_none(), "not yet");
    let later = now + REPORT_INTERVAL;
    let (report, to) = ours.report(later, Duration::from_secs(1_700_000_000), || 0.5).expect("it is due");
    assert_eq!(to, at(2, 4001));
    assert_eq!(theirs.receive(later, at(1, 5001), &report), Arrived::Report);
    assert_eq!(theirs.receive(later, at(66, 5001), &report), Arrived::Dropped(Dropped::Stranger));
}

#[test]
fn garbage_is_dropped_and_counted_as_such() {
    let now = Instant::now();
    let (mut ours, _) = pair(now, None);
    let header = [0x80, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7];
    let with = |first: u8, kind: u8, rest: &[u8]| [&[first, kind], &header[2..], rest].concat();
    let malformed = [
        vec![],
        vec![0x80],
        vec![0; 100],
        with(0x8f, 8, &[]),
        with(0x90, 8, &[0xbe, 0xde, 0xff, 0xff]),
        with(0xa0, 8, &[0]),
        with(0xa0, 8, &[1, 2, 200]),
        with(0x80, 8, &[0; 1500]),
        with(0x80, 200, &[]),
    ];
    for datagram in malformed {
        assert_eq!(
            ours.receive(now, at(2, 4000), &datagram),
            Arrived::Dropped(Dropped::Malformed),
            "{datagram:?}"
        );
    }
    let other = with(0x80, 96, &[0; 160]);
    assert_eq!(ours.receive(now, at(2, 4000), &other), Arrived::Dropped(Dropped::PayloadType));
    let mut frame = [1; FRAME_SAMPLES];
    assert_eq!((ours.pull(now, &mut frame), frame), (FrameKind::Silence, SILENCE));
}

#[test]
fn an_address_that_a_stranger_names_hears_a_second_and_no_more() {
    let now = Instant::now();
    let stranger = Caller { address: Some(at(2, 0).ip()), is_known: false };
    let mut ours = Leg::new(now, agreed(at(66, 4000), None), stranger, numbers(1)).expect("no keys");
    let count = |ours: &mut Leg| {
        let payload = Bytes::from(loud());
        (0..500).filter(|_| ours.packet(now, &payload, &mut BytesMut::new()).is_some()).count()
    };
    assert_eq!(count(&mut ours), 50);
    assert!(ours.report(now + REPORT_INTERVAL * 2, Duration::ZERO, || 0.5).is_none());
    assert!(ours.agree(now, agreed(at(67, 4000), None)));
    assert_eq!(count(&mut ours), 0, "another offer is no proof");
    assert!(ours.agree(now, agreed(at(2, 4000), None)));
    assert_eq!(count(&mut ours), 500, "it calls from there");
}

#[test]
fn a_key_of_the_phone_alone_leaves_our_count_of_packets() {
    let now = Instant::now();
    let suite = Suite::Aes128CmSha1_80;
    let (mut ours, mut theirs) = pair(now, Some(suite));
    // Our sequence numbers roll over, so the key stream depends on more than the packet shows.
    for _ in 0..40_000 {
        let (datagram, _) = speak(&mut ours, &[0; 4]);
        theirs.receive(now, at(1, 5000), &datagram);
    }
    assert!(ours.agree(now, agreed(at(2, 4000), Some(crypto(suite, 1, 3)))));
    let (datagram, _) = speak(&mut ours, &loud());
    assert_eq!(theirs.receive(now, at(1, 5000), &datagram), Arrived::Sound);
    assert!(theirs.agree(now, agreed(at(1, 5000), Some(crypto(suite, 3, 1)))));
    let (datagram, _) = speak(&mut theirs, &loud());
    assert_eq!(ours.receive(now, at(2, 4000), &datagram), Arrived::Sound, "with its new key");
}
