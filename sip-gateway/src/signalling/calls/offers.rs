//! Offers within a call that stands, both ways (RFC 3261, section 14; RFC 3311; RFC 6337).

use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::super::message::{Method, Request, Response};
use super::super::{CallId, EndReason, Event};
use super::call::{OurOffer, State};
use super::outgoing::{Purpose, sdp_of};
use super::session_timer::Interval;
use super::timers::Timer;
use super::{ALLOW, Core, SUPPORTED};

/// An offer that meets the peer's is tried so often.
const TRIES_MAX: u32 = 5;

impl Core {
    /// The application's answer to the peer's offer.
    pub(super) fn answer_offer(&mut self, _now: Instant, id: CallId, answer: Result<String, u16>) {
        let Some(call) = self.live(id) else { return };
        let Some(offered) = call.offered.take() else { return };
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(status) => {
                let status = if (300..700).contains(&status) { status } else { 488 };
                let call = &self.calls[&id];
                let response = self.response_within(call, &offered.request, status);
                return self.respond(offered.tx, response);
            }
        };
        call.our_sdp = Some(sdp.clone());
        if offered.request.method == Method::Invite {
            let is_offer_ours = offered.request.body.is_empty();
            call.unacknowledged = Some((offered.tx, is_offer_ours));
        }
        self.reply_to_refresh(id, &offered.request, offered.tx, Some(&sdp));
    }

    /// The application's offer. One at a time: a second, before the first has its answer, takes its place.
    pub(super) fn reoffer(&mut self, now: Instant, id: CallId, sdp: String) {
        let Some(call) = self.live(id) else { return };
        match &mut call.our_offer {
            Some(offer) if offer.tx.is_none() => offer.sdp = sdp,
            Some(_) => self.tell(Event::Reoffered { call: id, answer: Err(491) }),
            None => {
                call.our_offer = Some(OurOffer { sdp, tx: None, tries: 0 });
                self.offer_again(now, id);
            }
        }
    }

    pub(super) fn offer_again(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.live(id) else { return };
        let Some(offer) = call.our_offer.as_ref().filter(|offer| offer.tx.is_none()) else { return };
        // The peer's offer goes first; so does its ACK.
        if call.state != State::Standing || call.has_open_offer() || call.unacknowledged.is_some() {
            self.timers.set(now + Duration::from_millis(500), Timer::Reoffer(id));
            return;
        }
        let sdp = offer.sdp.clone();
        let mut request = call.dialog.request(Method::Invite);
        call.invite_cseq = call.dialog.cseq;
        request.headers.push("Allow", ALLOW);
        request.headers.push("Supported", SUPPORTED);
        if let Some(timer) = &call.session_timer {
            timer.write_request(&mut request.headers);
        }
        request.set_body("application/sdp", sdp);
        let (target, trunk) = (call.dialog.next_hop(), call.trunk);
        let tx = self.send(Purpose::Reoffer(id), request, target, trunk);
        if let Some(offer) = self.calls.get_mut(&id).and_then(|call| call.our_offer.as_mut()) {
            offer.tx = Some(tx);
            offer.tries += 1;
        }
    }

    pub(super) fn on_reoffered(&mut self, now: Instant, id: CallId, request: &Request, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if (200..300).contains(&response.status) {
            call.dialog.retarget(&response.headers);
            self.acknowledge(id, response);
        }
        let Some(call) = self.live(id) else { return };
        let Some(mut offer) = call.our_offer.take() else { return };
        match response.status {
            200..300 => {
                call.our_sdp = Some(offer.sdp);
                let interval = Interval::of_response(&response.headers, self.config.session_timers);
                self.renew_session_timer(now, id, interval);
                match sdp_of(response) {
                    Some(sdp) => self.tell(Event::Reoffered { call: id, answer: Ok(sdp) }),
                    None => self.say_goodbye(now, id, EndReason::Protocol, None),
                }
            }
            491 if offer.tries < TRIES_MAX => {
                // Who made the Call-ID waits longer, so that they don't meet again (section 14.1).
                let is_ours = call.invite_key.is_none();
                offer.tx = None;
                call.our_offer = Some(offer);
                let wait_ms =
                    if is_ours { self.rng.random_range(2100..4000) } else { self.rng.random_range(0..2000) };
                self.timers.set(now + Duration::from_millis(wait_ms), Timer::Reoffer(id));
            }
            // It knows the call no more, or has gone.
            408 | 481 => self.say_goodbye(now, id, EndReason::PeerGone, Some(response.status)),
            status => {
                tracing::debug!(call = %id, status, method = %request.method, "an offer was refused");
                self.tell(Event::Reoffered { call: id, answer: Err(status) });
            }
        }
    }
}
