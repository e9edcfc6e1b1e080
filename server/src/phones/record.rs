//! What is left of a call: how it ended, as a line of the log and in `/metrics`.

use std::time::Instant;

use tercet_sip_gateway::signalling::{CallId, EndReason, Incoming};
use tracing::info;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// A word, of those in docs/sip.md.
    pub(super) reason: &'static str,
    /// The SIP status, where there was one.
    pub(super) status: Option<u16>,
}

impl End {
    /// For a reason of ours.
    pub(super) fn by(reason: &'static str) -> End {
        End { reason, status: None }
    }

    /// As signalling has it.
    pub(super) fn signalled(reason: EndReason, status: Option<u16>) -> End {
        End { reason: word_for(reason), status }
    }
}

/// Begins with a call, and is closed with it.
pub(super) struct Record<'a> {
    call: CallId,
    began: Instant,
    kind: Kind<'a>,
}

enum Kind<'a> {
    In(&'a Incoming),
    Out { trunk: Option<&'a str> },
}

impl<'a> Record<'a> {
    pub(super) fn of_call_in(incoming: &'a Incoming) -> Record<'a> {
        Record { call: incoming.call, began: Instant::now(), kind: Kind::In(incoming) }
    }

    pub(super) fn of_call_out(call: CallId, trunk: Option<&'a str>) -> Record<'a> {
        Record { call, began: Instant::now(), kind: Kind::Out { trunk } }
    }

    /// The call is over.
    pub(super) fn close(self, room: &str, end: End) {
        let Record { call, began, kind } = self;
        let seconds = began.elapsed().as_secs();
        let (direction, incoming, trunk) = match kind {
            Kind::In(incoming) => ("in", Some(incoming), None),
            Kind::Out { trunk } => ("out", None, trunk),
        };
        metrics::counter!("tercet_calls_ended_total", "direction" => direction, "reason" => end.reason)
            .increment(1);
        metrics::counter!("tercet_call_seconds_total").increment(seconds);
        info!(
            %call, direction, room, trunk, peer = incoming.map(|it| debug(&it.peer)),
            source = incoming.map(|it| display(it.source)), reason = end.reason, status = end.status, seconds,
            sip_call_id = incoming.map(|it| &*it.sip_call_id), "call ended"
        );
    }
}

fn word_for(reason: EndReason) -> &'static str {
    match reason {
        EndReason::PeerHungUp => "peer_hung_up",
        EndReason::HungUp => "hung_up",
        EndReason::Cancelled => "cancelled",
        EndReason::Rejected => "rejected",
        EndReason::NotAnswered => "not_answered",
        EndReason::NotConfirmed => "not_confirmed",
        EndReason::PeerGone => "peer_gone",
        EndReason::Transferred => "transferred",
        EndReason::Protocol => "protocol",
        EndReason::ShutDown => "shut_down",
    }
}
