//! RTCP (RFC 3550, section 6) of one call: what we tell of what we send and hear, and what the phone tells.

use std::time::{Duration, Instant};

use audio_mixer::ReceptionReport;
use bytes::{Bytes, BytesMut};
use rtc_rtcp::Packet;
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::packet;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport as ReceptionBlock;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};

/// From 1900, where NTP begins, to 1970 (RFC 5905, section 6).
const NTP_UNIX_S: u64 = 2_208_988_800;

/// What the phone last told of its clock, to be told back (RFC 3550, section 6.4.1, LSR and DLSR).
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderClock {
    middle: u32,
    at: Instant,
}

/// What we sent so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) ssrc: u32,
    /// The RTP timestamp of now.
    pub(super) timestamp: u32,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// What we heard of the phone since we last told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) ssrc: u32,
    pub(super) report: ReceptionReport,
}

/// A report: of what was sent, if something was, of what was heard, and our name. `wall` is the time since 1970.
pub(super) fn report(
    now: Instant,
    wall: Duration,
    sent: Sent,
    heard: Option<Heard>,
    clock: Option<SenderClock>,
) -> Option<BytesMut> {
    let block = |heard: Heard| ReceptionBlock {
        ssrc: heard.ssrc,
        fraction_lost: heard.report.fraction_lost,
        // Duplicates may make it negative (RFC 3550, section 6.4.1), which the library has no place for.
        total_lost: heard.report.cumulative_lost.clamp(0, 0x7f_ffff).unsigned_abs(),
        last_sequence_number: heard.report.highest_sequence,
        jitter: heard.report.jitter,
        last_sender_report: clock.map_or(0, |clock| clock.middle),
        delay: clock.map_or(0, |clock| in_65536ths(now.saturating_duration_since(clock.at))),
    };
    let (ssrc, reports) = (sent.ssrc, heard.map(block).into_iter().collect());
    let first: Box<dyn Packet> = if sent.packets == 0 {
        Box::new(ReceiverReport { ssrc, reports, profile_extensions: Bytes::new() })
    } else {
        Box::new(SenderReport {
            ssrc,
            ntp_time: ntp(wall),
            rtp_time: sent.timestamp,
            packet_count: sent.packets,
            octet_count: sent.octets,
            reports,
            profile_extensions: Bytes::new(),
        })
    };
    // RFC 7022, section 4.2: a name that tells nothing of the host, and is new with each session.
    let name = SourceDescriptionItem {
        sdes_type: SdesType::SdesCname,
        text: Bytes::from(format!("{ssrc:08x}@tercet.invalid")),
    };
    let description =
        SourceDescription { chunks: vec![SourceDescriptionChunk { source: ssrc, items: vec![name] }] };
    packet::marshal(&[first, Box::new(description)]).ok()
}

/// What there is in a datagram of the phone that is of use: its clock, and whether it says goodbye.
pub(super) fn read(now: Instant, mut datagram: &[u8]) -> Option<(Option<SenderClock>, bool)> {
    let packets = packet::unmarshal(&mut datagram).ok()?;
    let mut clock = None;
    let mut is_goodbye = false;
    for packet in &packets {
        if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
            clock = Some(SenderClock { middle: (report.ntp_time >> 16) as u32, at: now });
        }
        is_goodbye |= packet.as_any().is::<Goodbye>();
    }
    Some((clock, is_goodbye))
}

/// Seconds since 1900 and their fraction, 32 bits each.
fn ntp(wall: Duration) -> u64 {
    let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
    ((wall.as_secs() + NTP_UNIX_S) << 32) | fraction
}

fn in_65536ths(time: Duration) -> u32 {
    u32::try_from(time.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent { ssrc: 7, timestamp: 16_000, packets: 100, octets: 16_000 };

    #[test]
    fn a_report_reads_back() {
        let now = Instant::now();
        let wall = Duration::new(1_700_000_000, 500_000_000);
        let heard = Heard {
            ssrc: 9,
            report: ReceptionReport {
                fraction_lost: 12,
                cumulative_lost: 3,
                highest_sequence: 70_000,
                jitter: 80,
            },
        };
        let datagram = report(now, wall, SENT, Some(heard), None).expect("it can be written");
        let packets = packet::unmarshal(&mut &datagram[..]).expect("it can be read");
        let sender =
            packets[0].as_any().downcast_ref::<SenderReport>().expect("the first says what was sent");
        assert_eq!((sender.packet_count, sender.rtp_time), (100, 16_000));
        assert_eq!(sender.ntp_time, ((1_700_000_000 + NTP_UNIX_S) << 32) | 1 << 31);
        assert_eq!((sender.reports[0].ssrc, sender.reports[0].last_sequence_number), (9, 70_000));
        let (clock, is_goodbye) = read(now, &datagram).expect("we read what we write");
        assert!(!is_goodbye);
        // The other side tells it back a second later.
        let later = now + Duration::from_secs(1);
        let back = report(later, wall, SENT, Some(heard), clock).expect("it can be written");
        let packets = packet::unmarshal(&mut &back[..]).expect("it can be read");
        let sender = packets[0].as_any().downcast_ref::<SenderReport>().expect("as above");
        assert_eq!(sender.reports[0].delay, 65_536);
        assert_ne!(sender.reports[0].last_sender_report, 0);
    }

    #[test]
    fn whoever_has_sent_nothing_only_tells_what_was_heard() {
        let sent = Sent { packets: 0, ..SENT };
        let datagram = report(Instant::now(), Duration::ZERO, sent, None, None).expect("it can be written");
        let packets = packet::unmarshal(&mut &datagram[..]).expect("it can be read");
        assert!(packets[0].as_any().is::<ReceiverReport>());
    }

    #[test]
    fn garbage_is_nothing() {
        for garbage in [&[][..], &[0x80], &[0x80, 200, 0, 200, 1, 2, 3, 4], &[0xff; 40]] {
            assert!(read(Instant::now(), garbage).is_none());
        }
    }
}
