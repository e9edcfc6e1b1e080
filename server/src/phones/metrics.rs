//! What the thread of phones counts.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tercet_sip_gateway::leg::{Dropped, Leg};
use tercet_sip_gateway::signalling::{CallId, Counters};
use tracing::warn;

use super::line::{Line, Received};

/// What the thread of phones counts.
pub(super) struct PhoneMetrics {
    pub(super) lines: Gauge,
    pub(super) rooms: Gauge,
    pub(super) tick: Histogram,
    pub(super) lag: Histogram,
    pub(super) crossing_dropped: Counter,
    packets_in: Counter,
    bytes_in: Counter,
    packets_out: Counter,
    bytes_out: Counter,
    send_refused: Counter,
    dropped: Vec<(Dropped, Counter)>,
    lost: Counter,
    panicked: Counter,
}

impl PhoneMetrics {
    pub(super) fn register() -> PhoneMetrics {
        let dropped = |reason: Dropped| {
            (reason, counter!("tercet_phone_packets_dropped_total", "reason" => reason.as_str()))
        };
        PhoneMetrics {
            lines: gauge!("tercet_phone_lines"),
            rooms: gauge!("tercet_phone_rooms"),
            tick: histogram!("tercet_phone_tick_seconds"),
            lag: histogram!("tercet_loop_lag_seconds", "loop" => "phones"),
            crossing_dropped: counter!("tercet_phone_crossing_dropped_total"),
            packets_in: counter!("tercet_phone_packets_in_total"),
            bytes_in: counter!("tercet_phone_bytes_in_total"),
            packets_out: counter!("tercet_phone_packets_out_total"),
            bytes_out: counter!("tercet_phone_bytes_out_total"),
            send_refused: counter!("tercet_phone_send_refused_total"),
            dropped: Dropped::ALL.map(dropped).into(),
            lost: counter!("tercet_phone_packets_lost_total"),
            panicked: counter!("tercet_phone_panics_total"),
        }
    }

    pub(super) fn received(&self, received: &Received) {
        self.packets_in.increment(received.packets);
        self.bytes_in.increment(received.bytes);
        for reason in &received.dropped {
            if let Some((_, counter)) = self.dropped.iter().find(|(of, _)| of == reason) {
                counter.increment(1);
            }
        }
    }

    pub(super) fn sent(&self, is_sent: bool, bytes: usize) {
        if is_sent {
            self.packets_out.increment(1);
            self.bytes_out.increment(bytes as u64);
        } else {
            self.send_refused.increment(1);
        }
    }

    /// A call's media panicked, which is a fault of ours: that call ends, and no other.
    pub(super) fn line_failed(&self, call: CallId, line: &mut Line) {
        warn!(%call, "the media of a call panicked");
        self.panicked.increment(1);
        line.fail();
    }

    /// A call is over: what the network did to it.
    pub(super) fn call_ended(&self, leg: &Leg) {
        self.lost.increment(leg.jitter().stats().lost);
    }
}

/// What signalling counts, as it stands.
pub(super) fn record(counters: &Counters) {
    let total = |name: &'static str, value: u64| counter!(name).absolute(value);
    total("tercet_sip_calls_in_total", counters.calls_in);
    total("tercet_sip_calls_out_total", counters.calls_out);
    total("tercet_sip_calls_answered_total", counters.calls_answered);
    total("tercet_sip_challenges_total", counters.challenges);
    total("tercet_sip_authentication_failures_total", counters.authentication_failures);
    total("tercet_sip_replays_total", counters.replays);
    total("tercet_sip_rate_limited_total", counters.rate_limited);
    total("tercet_sip_unparseable_total", counters.unparseable);
    total("tercet_sip_dropped_total", counters.dropped);
    total("tercet_sip_streams_refused_total", counters.streams_refused);
    total("tercet_sip_commands_refused_total", counters.commands_refused);
    total("tercet_sip_registrations_total", counters.registrations);
    total("tercet_sip_sessions_expired_total", counters.sessions_expired);
    for (status, count) in &counters.rejected {
        counter!("tercet_sip_rejected_total", "status" => status.to_string()).absolute(*count);
    }
    for (status, count) in &counters.dial_failed {
        counter!("tercet_sip_dial_failed_total", "status" => status.to_string()).absolute(*count);
    }
    gauge!("tercet_sip_calls").set(counters.calls_now as f64);
    gauge!("tercet_sip_contacts").set(counters.contacts_now as f64);
    gauge!("tercet_sip_trunks_registered").set(counters.trunks_registered_now as f64);
}
