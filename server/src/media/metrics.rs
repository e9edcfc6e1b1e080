//! A worker's counters: handles that cost one atomic add each.

use std::time::Duration;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use tercet_core::Dropped;

use super::WorkerId;

/// A worker's counters, labelled with its number.
pub(super) struct WorkerMetrics {
    pub(super) packets_in: Counter,
    pub(super) bytes_in: Counter,
    pub(super) packets_out: Counter,
    pub(super) bytes_out: Counter,
    pub(super) send_refused: Counter,
    pub(super) forwarded: Counter,
    pub(super) video_forwarded: Counter,
    pub(super) video_unsupported: Counter,
    pub(super) keyframes_asked: Counter,
    pub(super) not_selected: Counter,
    pub(super) pre_roll: Counter,
    pub(super) dropped_stranger: Counter,
    pub(super) dropped_unproven: Counter,
    pub(super) dropped_malformed: Counter,
    pub(super) dropped_roaming: Counter,
    pub(super) dropped_stray: Counter,
    pub(super) dropped_report: Counter,
    pub(super) dropped_overdue: Counter,
    pub(super) crossing_dropped: Counter,
    pub(super) data_dropped: Counter,
    pub(super) events_dropped: Counter,
    pub(super) switches: Counter,
    pub(super) slots_occupied: Gauge,
    pub(super) rooms: Gauge,
    pub(super) endpoints: Gauge,
    pub(super) busy: Gauge,
    pub(super) wait_max: Gauge,
    pub(super) gather: Gauge,
    pub(super) lag: Lag,
    pub(super) connections_failed: Counter,
    pub(super) tcp_connections: Gauge,
    panics: Counter,
    ingest: Ingested,
}

/// One counter for each reason to drop a publisher's packet.
struct Ingested {
    muted: Counter,
    listen_only: Counter,
    padding: Counter,
    no_level: Counter,
    late: Counter,
    flood: Counter,
    oversized: Counter,
}

/// How late the worker's own timer fires.
pub(super) struct Lag(metrics::Histogram);

impl Lag {
    pub(super) fn record(&self, late: Duration) {
        self.0.record(late.as_secs_f64());
    }
}

impl WorkerMetrics {
    pub(super) fn register(worker: WorkerId) -> WorkerMetrics {
        describe();
        let id = worker.0.to_string();
        let dropped = |reason: &'static str| counter!("tercet_packets_dropped_total", "worker" => id.clone(), "reason" => reason);
        let count = |name: &'static str| counter!(name, "worker" => id.clone());
        let level = |name: &'static str| gauge!(name, "worker" => id.clone());
        WorkerMetrics {
            packets_in: count("tercet_packets_in_total"),
            bytes_in: count("tercet_bytes_in_total"),
            packets_out: count("tercet_packets_out_total"),
            bytes_out: count("tercet_bytes_out_total"),
            forwarded: count("tercet_packets_forwarded_total"),
            video_forwarded: count("tercet_video_packets_forwarded_total"),
            video_unsupported: dropped("video_unsupported"),
            keyframes_asked: count("tercet_keyframe_requests_total"),
            pre_roll: count("tercet_pre_roll_packets_total"),
            send_refused: dropped("send_refused"),
            not_selected: dropped("not_selected"),
            dropped_stranger: dropped("stranger"),
            dropped_unproven: dropped("unproven"),
            dropped_malformed: dropped("malformed"),
            dropped_roaming: dropped("too_many_addresses"),
            dropped_stray: dropped("not_published"),
            dropped_report: dropped("listener_report"),
            dropped_overdue: dropped("overdue"),
            crossing_dropped: dropped("worker_queue_full"),
            data_dropped: count("tercet_data_frames_dropped_total"),
            events_dropped: count("tercet_worker_events_dropped_total"),
            switches: count("tercet_selector_switches_total"),
            slots_occupied: level("tercet_slots_occupied"),
            rooms: level("tercet_worker_rooms"),
            endpoints: level("tercet_worker_endpoints"),
            busy: level("tercet_worker_busy_ratio"),
            wait_max: level("tercet_worker_wait_seconds"),
            gather: level("tercet_worker_gather_seconds"),
            lag: Lag(metrics::histogram!("tercet_loop_lag_seconds", "loop" => format!("worker-{id}"))),
            connections_failed: count("tercet_connections_failed_total"),
            tcp_connections: level("tercet_tcp_connections"),
            panics: count("tercet_peer_panics_total"),
            ingest: Ingested {
                muted: dropped("muted"),
                listen_only: dropped("listen_only"),
                padding: dropped("padding"),
                no_level: dropped("no_level"),
                late: dropped("late"),
                flood: dropped("flood"),
                oversized: dropped("oversized"),
            },
        }
    }

    pub(super) fn ingest_dropped(&self, reason: Dropped) {
        let counter = match reason {
            Dropped::Muted => &self.ingest.muted,
            Dropped::ListenOnly => &self.ingest.listen_only,
            Dropped::Padding => &self.ingest.padding,
            Dropped::NoLevel => &self.ingest.no_level,
            Dropped::Late => &self.ingest.late,
            Dropped::Flood => &self.ingest.flood,
            Dropped::Oversized => &self.ingest.oversized,
        };
        counter.increment(1);
    }

    pub(super) fn peer_panicked(&self) {
        self.panics.increment(1);
    }
}

fn describe() {
    describe_counter!("tercet_packets_in_total", "Datagrams received on the media ports.");
    describe_counter!("tercet_bytes_in_total", "Bytes received on the media ports.");
    describe_counter!("tercet_packets_out_total", "Datagrams sent from the media ports.");
    describe_counter!("tercet_bytes_out_total", "Bytes sent from the media ports.");
    describe_counter!("tercet_packets_forwarded_total", "Audio packets written to listeners' slots.");
    describe_counter!(
        "tercet_pre_roll_packets_total",
        "Audio packets kept from before their source was selected, and forwarded when it was."
    );
    describe_counter!(
        "tercet_packets_dropped_total",
        "Datagrams and audio packets that went no further, by reason."
    );
    describe_counter!(
        "tercet_data_frames_dropped_total",
        "Data frames that broke a rule or met a slow reader."
    );
    describe_counter!(
        "tercet_worker_events_dropped_total",
        "Events that the control plane was too slow for."
    );
    describe_counter!("tercet_selector_switches_total", "Occupations of a position that began or ended.");
    describe_counter!(
        "tercet_connections_failed_total",
        "Peer connections that broke beyond repair, handshakes included."
    );
    describe_counter!("tercet_refusals_total", "Requests and connections that were refused, by error code.");
    describe_counter!("tercet_peer_panics_total", "Peer connections that ended by a panic.");
    describe_gauge!("tercet_slots_occupied", "Positions (slots and reserve) with a speaker, over all rooms.");
    describe_gauge!("tercet_tcp_connections", "TCP connections with media, of the worker.");
    describe_gauge!("tercet_worker_rooms", "Rooms with a part on the worker.");
    describe_gauge!("tercet_worker_endpoints", "Sessions on the worker.");
    describe_gauge!("tercet_worker_busy_ratio", "Of the worker's last half second, what it didn't sleep.");
    describe_gauge!(
        "tercet_worker_wait_seconds",
        "The longest that a packet waited to be sent, in the worker's last half second."
    );
    describe_gauge!("tercet_worker_gather_seconds", "How long a busy worker lets packets wait for others.");
    describe_histogram!("tercet_loop_lag_seconds", "How late an event loop's own timer fires.");
}
