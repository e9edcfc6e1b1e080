//! One call, from its first message to its last: taken or dialled, then a [`Live`] participant, and a record in the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tercet_protocol::ErrorCode;
use tercet_sip_gateway::leg::Caller;
use tercet_sip_gateway::sdp::{Direction, Session};
use tercet_sip_gateway::signalling::{CallId, Event, HangUp, Incoming, Peer, Rejection};
use tokio::sync::mpsc;
use tracing::debug;

use super::dialling::{DialState, Dialled, Report};
use super::gateway::Shared;
use super::live::Live;
use super::pins::Guesser;
use super::record::{End, Record};
use super::routes::{destination, shown_name};
use super::{LineCommand, PortPair};
use crate::control::RETRY_AFTER;

/// Keys and other news of a line: more than a thumb makes in a second.
const LINE_EVENTS_MAX: usize = 32;

/// One call.
pub(super) struct Call {
    shared: Arc<Shared>,
    id: CallId,
    events: mpsc::Receiver<Event>,
    /// Which room it is for; empty until that is known.
    room: String,
}

impl Call {
    pub(super) fn new(shared: Arc<Shared>, id: CallId, events: mpsc::Receiver<Event>) -> Call {
        Call { shared, id, events, room: String::new() }
    }

    /// Serves a call in.
    pub(super) async fn serve(mut self, incoming: Incoming) {
        let record = Record::of_call_in(&incoming);
        let (shared, id) = (self.shared.clone(), self.id);
        let end = contained(&shared, id, async {
            match self.take(&incoming).await {
                Ok(live) => live.run(&mut self.events).await,
                Err(rejection) => {
                    let status = Some(rejection.status);
                    // A gateway that is too busy to refuse lets the call time out.
                    let _ = shared.sip.reject(id, rejection);
                    End { reason: "rejected", status }
                }
            }
        });
        let end = end.await;
        record.close(&self.room, end);
    }

    /// Serves a call out, which has been dialled: once it is answered, whoever it is joins the room.
    pub(super) async fn serve_out(mut self, dialled: Dialled, media: (PortPair, Session)) {
        let (trunk, report) = (dialled.trunk.clone(), dialled.report.clone());
        let record = Record::of_call_out(self.id, trunk.as_deref());
        self.room = dialled.destination.room.clone();
        let (shared, id) = (self.shared.clone(), self.id);
        let end = contained(&shared, id, async {
            match self.wait_for_answer(dialled, media, &report).await {
                Ok(live) => {
                    report.set(DialState::Talking, Some(live.identity().to_owned())).await;
                    live.run(&mut self.events).await
                }
                Err(end) => end,
            }
        });
        let end = end.await;
        report.set(DialState::Ended { reason: end.reason, status: end.status }, None).await;
        record.close(&self.room, end);
    }

    async fn wait_for_answer(
        &mut self,
        dialled: Dialled,
        (ports, session): (PortPair, Session),
        report: &Report,
    ) -> Result<Live, End> {
        let (line_sender, line_events) = mpsc::channel(LINE_EVENTS_MAX);
        let Dialled { destination, name, .. } = dialled;
        let mut live = Live::new(self.shared.clone(), self.id, destination, name, session, line_events, true);
        // Whom we call we know; where they are, only they say.
        let caller = Caller { address: None, is_known: true };
        live.line(LineCommand::Open { ports, caller, events: line_sender }).await;
        let end = loop {
            match self.events.recv().await {
                Some(Event::Progress { sdp, .. }) => {
                    report.set(DialState::Ringing, None).await;
                    if let Some(answer) = sdp {
                        // What can't be agreed on may be said better by the answer itself.
                        let _ = live.accept(&answer).await;
                    }
                }
                Some(Event::Answered { sdp, .. }) => {
                    if let Some(answer) = sdp
                        && let Err(end) = live.accept(&answer).await
                    {
                        let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                        break end;
                    }
                    live.stands();
                    live.begin().await;
                    return Ok(live);
                }
                Some(Event::Ended { reason, status, .. }) => break End::signalled(reason, status),
                Some(_) => {}
                None => break End::by("overloaded"),
            }
        };
        live.leave().await;
        Err(end)
    }

    /// Looks whether the call can be taken, and takes it.
    async fn take(&mut self, incoming: &Incoming) -> Result<Live, Rejection> {
        let shared = &self.shared;
        let sip = &shared.config.sip;
        if shared.is_draining() || shared.lines.is_strained() {
            return Err(busy());
        }
        let destination = destination(sip, incoming).ok_or(Rejection::with(404))?;
        self.room.clone_from(&destination.room);
        let guesser = Guesser::from(incoming);
        let has_pin = destination.pin.is_some() || destination.moderator_pin.is_some();
        if has_pin && !shared.wrong_pins.may_try(Instant::now(), &guesser) {
            return Err(Rejection::with(403));
        }
        let _ = shared.sip.ring(self.id);
        let (ports, mut session) = shared.media().map_err(|error| {
            debug!(%error, "no ports for a call");
            busy()
        })?;
        let (answer, agreed) = match &incoming.offer {
            Some(offer) => {
                let answered = session.answer(offer).map_err(|error| Rejection::with(error.status()))?;
                (answered.0, Some(answered.1))
            }
            None => (session.offer(Direction::SendRecv), None),
        };
        let (line_sender, line_events) = mpsc::channel(LINE_EVENTS_MAX);
        let announces = has_pin || destination.waits_for_moderator;
        let role = destination.role;
        let name = shown_name(sip.caller_id, incoming.from.display.as_deref(), &incoming.from.user);
        let mut live = Live::new(shared.clone(), self.id, destination, name, session, line_events, announces);
        if has_pin {
            live.count_wrong_pins_of(guesser);
        } else {
            // Who can't be let in is told so by the status of the call, not after it was answered.
            live.join(role).await.map_err(rejection_for)?;
        }
        let caller =
            Caller { address: Some(incoming.source.ip()), is_known: incoming.peer != Peer::Anonymous };
        live.line(LineCommand::Open { ports, caller, events: line_sender }).await;
        if let Some(agreed) = agreed {
            live.agree(agreed).await;
        }
        let _ = shared.sip.answer(self.id, answer);
        live.begin().await;
        Ok(live)
    }
}

/// A fault of ours in what serves a call ends that call alone, and leaves nothing of it behind. Its session in the room ends as
/// that of a client that is gone.
async fn contained(shared: &Shared, id: CallId, serving: impl Future<Output = End>) -> End {
    match AssertUnwindSafe(serving).catch_unwind().await {
        Ok(end) => end,
        Err(_) => {
            metrics::counter!("tercet_phone_panics_total").increment(1);
            let _ = shared.sip.hang_up(id, HangUp::Normal);
            shared.lines.send(id, LineCommand::Close).await;
            End::by("failed")
        }
    }
}

fn busy() -> Rejection {
    Rejection { status: 503, retry_after_s: Some(RETRY_AFTER.as_secs() as u32) }
}

/// The status of a call that the room doesn't take.
fn rejection_for(code: ErrorCode) -> Rejection {
    match code {
        ErrorCode::RoomFull => Rejection::with(486),
        ErrorCode::Overloaded | ErrorCode::ShuttingDown => busy(),
        _ => Rejection::with(500),
    }
}
