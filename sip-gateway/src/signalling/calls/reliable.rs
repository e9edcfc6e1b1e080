//! Responses before the final one that are not to be lost (RFC 3262), both ways.

use std::time::{Duration, Instant};

use super::super::message::{Method, Response};
use super::super::{CallId, EndReason, Event};
use super::bodies::offer_in;
use super::call::{State, Unconfirmed};
use super::outgoing::Purpose;
use super::timers::Timer;
use super::{Arrived, Core, GIVE_UP, Output, ServerTx};

/// T1: the first repetition.
const T1: Duration = Duration::from_millis(500);

impl Core {
    /// Sends a response until the peer confirms it. One at a time (section 3); what comes in between is not worth the wait.
    pub(super) fn respond_reliably(
        &mut self,
        now: Instant,
        id: CallId,
        tx: ServerTx,
        mut response: Response,
    ) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.unconfirmed.is_none()) else { return };
        // The first number is anything from 1 to 2^31 - 1.
        call.reliable_sequence += 1;
        let sequence = call.reliable_sequence;
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", sequence.to_string());
        call.unconfirmed = Some(Unconfirmed {
            sequence,
            has_sdp: !response.body.is_empty(),
            response: response.clone(),
            first_sent: now,
            interval: T1,
        });
        self.timers.set(now + T1, Timer::Reliable(id, sequence));
        self.respond(tx, response);
    }

    pub(super) fn repeat_reliable(&mut self, now: Instant, id: CallId, sequence: u32) {
        let Some(call) = self.in_state(id, State::Ringing) else { return };
        let Some(invite) = &call.invite else { return };
        let tx = invite.tx;
        let Some(unconfirmed) = call.unconfirmed.as_mut().filter(|one| one.sequence == sequence) else {
            return;
        };
        if now.saturating_duration_since(unconfirmed.first_sent) >= GIVE_UP {
            // "The UAS SHOULD reject the original request with a 5xx response" (section 3).
            let response = Response::to(&invite.request, 504, &call.dialog.local_tag);
            call.state = State::Leaving;
            call.invite = None;
            self.respond(tx, response);
            self.end(now, id, EndReason::NotConfirmed, Some(504));
            return self.forget(id);
        }
        unconfirmed.interval *= 2;
        let (response, again) = (unconfirmed.response.clone(), now + unconfirmed.interval);
        self.timers.set(again, Timer::Reliable(id, sequence));
        self.outputs.push_back(Output::Respond { tx, response });
    }

    pub(super) fn on_prack(&mut self, now: Instant, id: CallId, arrived: &Arrived) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let invite_cseq = call.invite.as_ref().and_then(|invite| invite.request.headers.cseq());
        let confirmed = call.unconfirmed.take_if(|unconfirmed| {
            let expected = invite_cseq.map(|(number, _)| format!("{} {number} INVITE", unconfirmed.sequence));
            let given = arrived
                .request
                .headers
                .get("RAck")
                .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            expected.is_some() && given == expected
        });
        let Some(confirmed) = confirmed else { return self.reply_within(id, arrived, 481) };
        let sdp = offer_in(&arrived.request).ok().flatten();
        let is_answer = call.is_offer_ours && confirmed.has_sdp && !call.is_agreed;
        call.is_described |= confirmed.has_sdp;
        call.is_agreed |= is_answer && sdp.is_some();
        let held = call.held_answer.take();
        // Another offer within PRACK is legal, and nobody makes one.
        let status = if sdp.is_some() && !is_answer { 488 } else { 200 };
        self.reply_within(id, arrived, status);
        if let Some(sdp) = sdp.filter(|_| is_answer) {
            self.tell(Event::Confirmed { call: id, sdp: Some(sdp) });
        }
        if let Some(answer) = held {
            self.answer(now, id, answer);
        }
    }

    /// Confirms a reliable response to our INVITE. Whether it is news: one that comes again, or too early, is not.
    pub(super) fn confirm_reliable(&mut self, id: CallId, response: &Response) -> bool {
        let headers = &response.headers;
        if !headers.has_token("Require", "100rel") {
            return true;
        }
        let Some(sequence) = headers.get("RSeq").and_then(|value| value.parse::<u32>().ok()) else {
            return true;
        };
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let is_next = call.heard_reliable.is_none_or(|heard| heard.checked_add(1) == Some(sequence));
        if !is_next {
            return false;
        }
        call.heard_reliable = Some(sequence);
        let mut prack = call.dialog.request(Method::Prack);
        prack.headers.push("RAck", format!("{sequence} {} INVITE", call.invite_cseq));
        let (target, trunk) = (call.dialog.next_hop(), call.trunk);
        self.send(Purpose::Prack(id), prack, target, trunk);
        true
    }
}
