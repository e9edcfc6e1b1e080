//! What the thread of phones counts.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use tercet_sip_gateway::leg::{Dropped, Leg};
use tercet_sip_gateway::signalling::{CallId, Counters};
use tracing::warn;

use super::line::{Line, Received, Sent};

/// What the thread of phones counts.
pub(super) struct PhoneMetrics {
    pub(super) lines: Gauge,
    pub(super) rooms: Gauge,
    pub(super) tick: Histogram,
    pub(super) lag: Histogram,
    pub(super) crossing_dropped: Counter,
    pub(super) events_dropped: Counter,
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
        describe();
        for name in ["tercet_wrong_pins_total", "tercet_phone_keys_dropped_total"] {
            counter!(name).absolute(0);
        }
        PhoneMetrics {
            lines: gauge!("tercet_phone_lines"),
            rooms: gauge!("tercet_phone_rooms"),
            tick: histogram!("tercet_phone_tick_seconds"),
            lag: histogram!("tercet_loop_lag_seconds", "loop" => "phones"),
            crossing_dropped: counter!("tercet_phone_crossing_dropped_total"),
            events_dropped: counter!("tercet_phone_events_dropped_total"),
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

    pub(super) fn sent(&self, sent: &Sent) {
        self.packets_out.increment(sent.packets);
        self.bytes_out.increment(sent.bytes);
        self.send_refused.increment(sent.refused);
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

fn describe() {
    describe_counter!("tercet_calls_ended_total", "Calls that are over, by direction and reason.");
    describe_counter!("tercet_call_seconds_total", "How long those calls took, all together.");
    describe_counter!("tercet_wrong_pins_total", "PINs that callers entered and that were wrong.");
    describe_counter!("tercet_sip_calls_in_total", "Calls that came in.");
    describe_counter!("tercet_sip_calls_out_total", "Calls that were made.");
    describe_counter!("tercet_sip_calls_answered_total", "Calls that were answered, in and out.");
    describe_counter!("tercet_sip_rejected_total", "Calls and requests that we refused, by status.");
    describe_counter!("tercet_sip_dial_failed_total", "Calls out that were refused, by status.");
    describe_counter!("tercet_sip_registrations_total", "Registrations of phones, and renewals.");
    describe_counter!("tercet_sip_challenges_total", "Passwords that were asked for.");
    describe_counter!("tercet_sip_authentication_failures_total", "Passwords that were wrong.");
    describe_counter!("tercet_sip_replays_total", "Answers to a challenge that had been given before.");
    describe_counter!("tercet_sip_rate_limited_total", "Requests over a limit.");
    describe_counter!("tercet_sip_unparseable_total", "Datagrams and streams that were no SIP message.");
    describe_counter!("tercet_sip_dropped_total", "Events for which there was no room.");
    describe_counter!("tercet_sip_commands_refused_total", "Commands for which there was no room.");
    describe_counter!("tercet_sip_streams_refused_total", "Connections over TCP and TLS over their limit.");
    describe_counter!("tercet_sip_sessions_expired_total", "Calls that their session timer ended.");
    describe_counter!("tercet_phone_packets_in_total", "Datagrams received on the ports of calls.");
    describe_counter!("tercet_phone_bytes_in_total", "Bytes received on the ports of calls.");
    describe_counter!("tercet_phone_packets_out_total", "Packets of sound sent to phones.");
    describe_counter!("tercet_phone_bytes_out_total", "Bytes of sound sent to phones.");
    describe_counter!(
        "tercet_phone_packets_lost_total",
        "Packets that the network lost, counted when a call ends."
    );
    describe_counter!(
        "tercet_phone_packets_dropped_total",
        "Datagrams of phones that went no further, by reason."
    );
    describe_counter!("tercet_phone_send_refused_total", "Packets to phones that the system didn't take.");
    describe_counter!(
        "tercet_phone_crossing_dropped_total",
        "Packets of phones for which another worker had no room."
    );
    describe_counter!("tercet_phone_events_dropped_total", "Events that the control plane was too slow for.");
    describe_counter!("tercet_phone_keys_dropped_total", "Keys that came faster than anybody presses them.");
    describe_counter!("tercet_phone_panics_total", "Calls that ended by a panic.");
    describe_gauge!("tercet_sip_calls", "Calls that stand or ring.");
    describe_gauge!("tercet_sip_contacts", "Phones that are registered here.");
    describe_gauge!("tercet_sip_trunks_registered", "Trunks that we are registered with.");
    describe_gauge!("tercet_phone_lines", "Calls with sound.");
    describe_gauge!("tercet_phone_rooms", "Rooms with a phone.");
    describe_histogram!(
        "tercet_phone_tick_seconds",
        "How long it takes to make 20 ms of sound for all phones."
    );
}
