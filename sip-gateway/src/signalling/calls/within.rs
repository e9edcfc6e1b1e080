//! Requests of the peer within a call.

use std::time::Instant;

use super::super::message::{Method, Request, Response};
use super::super::{CallId, EndReason, Event};
use super::call::{Call, Pending, State};
use super::{ALLOW, Arrived, Core, SUPPORTED};

impl Core {
    pub(super) fn on_request_within(&mut self, now: Instant, id: CallId, arrived: Arrived) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some((cseq, _)) = arrived.request.headers.cseq() else { return };
        let is_end = arrived.request.method == Method::Bye && !call.is_over();
        if !is_end && !self.admission.takes_request_within(now, id) {
            self.tally.rate_limited.add(1);
            return self.refuse(&arrived, 503);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        // Out of order (RFC 3261, section 12.2.2).
        if call.dialog.remote_cseq.is_some_and(|last| cseq < last) {
            return self.reply_within(id, &arrived, 500);
        }
        call.dialog.remote_cseq = Some(cseq);
        self.servers.insert(arrived.tx, id);
        if call.is_over() && arrived.request.method != Method::Bye {
            return self.reply_within(id, &arrived, 481);
        }
        match arrived.request.method {
            Method::Bye => self.on_bye(now, id, &arrived),
            Method::Invite | Method::Update => self.on_offer(now, id, arrived),
            Method::Prack => self.on_prack(now, id, &arrived),
            Method::Info => self.on_info(id, &arrived),
            Method::Refer => self.on_refer(id, arrived),
            Method::Notify => self.on_notify(now, id, &arrived),
            Method::Options => self.on_options(&arrived),
            Method::Message | Method::Publish | Method::Subscribe | Method::Register => {
                self.reply_within(id, &arrived, 405);
            }
            Method::Ack | Method::Cancel | Method::Other(_) => self.reply_within(id, &arrived, 501),
        }
    }

    /// A response within a call.
    pub(super) fn reply_within(&mut self, id: CallId, arrived: &Arrived, status: u16) {
        let Some(call) = self.calls.get(&id) else { return };
        let mut response = self.response_within(call, &arrived.request, status);
        match status {
            405 | 501 => response = response.with("Allow", ALLOW),
            415 => response = response.with("Accept", super::ACCEPT),
            // "… a Retry-After with a random value of 0 to 10 seconds" (section 14.2).
            500 => response = response.with("Retry-After", (id.0 % 10).to_string()),
            _ => {}
        }
        self.respond_within(arrived, response);
    }

    /// The first response to a request within a call. An INVITE that is refused waits for no ACK; of anything else the stack
    /// keeps the response, because it may have done something.
    fn respond_within(&mut self, arrived: &Arrived, response: Response) {
        if arrived.request.method == Method::Invite && response.status >= 300 {
            self.reply(arrived.tx, response);
        } else {
            self.respond(arrived.tx, response);
        }
    }

    pub(super) fn response_within(&self, call: &Call, request: &Request, status: u16) -> Response {
        Response::to(request, status, &call.dialog.local_tag).with("Server", self.config.user_agent.clone())
    }

    fn on_bye(&mut self, now: Instant, id: CallId, arrived: &Arrived) {
        self.reply_within(id, arrived, 200);
        self.drop_pending(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let was_leaving = call.state == State::Leaving;
        call.state = State::Leaving;
        // Its final NOTIFY may never come: a transfer that worked ends with BYE.
        let reason = if call.is_transferring { EndReason::Transferred } else { EndReason::PeerHungUp };
        self.end(now, id, reason, None);
        if !was_leaving {
            self.forget(id);
        }
    }

    /// Keys, in the two forms that phones have; and nothing, which asks whether we are still there.
    fn on_info(&mut self, id: CallId, arrived: &Arrived) {
        let request = &arrived.request;
        let body = String::from_utf8_lossy(&request.body);
        let key = match request.headers.content_type().as_deref() {
            Some("application/dtmf-relay") => read_relay(&body),
            Some("application/dtmf") => body.trim().chars().next().and_then(key_of).map(|key| (key, None)),
            _ if request.body.is_empty() => return self.reply_within(id, arrived, 200),
            _ => return self.reply_within(id, arrived, 415),
        };
        match key {
            Some((digit, duration_ms)) => {
                self.reply_within(id, arrived, 200);
                self.tell(Event::Dtmf { call: id, digit, duration_ms });
            }
            None => self.reply_within(id, arrived, 400),
        }
    }

    /// A re-INVITE or UPDATE (RFC 3261, section 14.2; RFC 3311).
    pub(super) fn on_offer(&mut self, now: Instant, id: CallId, arrived: Arrived) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == State::Answered || call.unacknowledged.is_some() {
            // Its ACK is on another way through the stack, and may be overtaken.
            return match call.overtaking {
                None => call.overtaking = Some(arrived),
                Some(_) => self.reply_within(id, &arrived, 500),
            };
        }
        let is_invite = arrived.request.method == Method::Invite;
        let Ok(sdp) = super::bodies::offer_in(&arrived.request) else {
            return self.reply_within(id, &arrived, 415);
        };
        if let Some(response) = self.bad_extension(&arrived.request) {
            return self.respond_within(&arrived, response);
        }
        let Some(call) = self.calls.get(&id) else { return };
        let ours = self.config.session_timers.filter(|_| call.session_timer.is_some());
        let interval = match super::session_timer::Interval::of_request(&arrived.request.headers, ours) {
            Ok(interval) => interval,
            Err(too_small) => {
                let response = self
                    .response_within(call, &arrived.request, 422)
                    .with("Min-SE", too_small.min_s.to_string());
                return self.respond_within(&arrived, response);
            }
        };
        let is_early = matches!(call.state, State::Ringing | State::Calling);
        let has_offer = is_invite || sdp.is_some();
        // Before the answer a re-INVITE is too early; and an UPDATE, before the first offer has its answer.
        let is_too_early = is_early && (is_invite || (has_offer && !call.is_described && !call.is_agreed));
        if call.offered.is_some() || is_too_early {
            return self.reply_within(id, &arrived, if is_too_early && is_invite { 491 } else { 500 });
        }
        if has_offer && call.has_open_offer() {
            return self.reply_within(id, &arrived, 491);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.dialog.retarget(&arrived.request.headers);
        self.renew_session_timer(now, id, interval);
        if !has_offer {
            return self.reply_to_refresh(id, &arrived.request, arrived.tx, None);
        }
        if is_invite {
            let trying = Response::to(&arrived.request, 100, "");
            self.respond(arrived.tx, trying);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.offered = Some(Pending { tx: arrived.tx, request: arrived.request });
        }
        self.tell(Event::Offered { call: id, sdp });
    }

    /// 200 to a re-INVITE or UPDATE.
    pub(super) fn reply_to_refresh(
        &mut self,
        id: CallId,
        request: &Request,
        tx: super::ServerTx,
        sdp: Option<&str>,
    ) {
        let Some(call) = self.calls.get(&id) else { return };
        let mut response = self
            .response_within(call, request, 200)
            .with("Contact", call.dialog.contact.clone())
            .with("Allow", ALLOW)
            .with("Supported", SUPPORTED);
        if let Some(timer) = &call.session_timer {
            timer.write_answer(&mut response, call.abilities.timer);
        }
        if let Some(sdp) = sdp {
            response.set_body("application/sdp", sdp);
        }
        self.respond(tx, response);
    }
}

/// `Signal=5` and `Duration=160`, a line each.
fn read_relay(body: &str) -> Option<(char, Option<u16>)> {
    let field = |wanted: &str| {
        body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let signal = field("Signal")?;
    // Some say 10 and 11 for the star and the hash, as RFC 4733 numbers them.
    let digit = match signal {
        "10" => '*',
        "11" => '#',
        "16" => '!',
        _ => key_of(signal.chars().next().filter(|_| signal.chars().count() == 1)?)?,
    };
    Some((digit, field("Duration").and_then(|duration| duration.parse().ok())))
}

fn key_of(c: char) -> Option<char> {
    let key = c.to_ascii_uppercase();
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D' | '!').then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_forms_that_phones_have() {
        for (body, key) in [
            ("Signal=5\r\nDuration=160\r\n", Some(('5', Some(160)))),
            ("Signal= # \nDuration= 250", Some(('#', Some(250)))),
            ("signal=11", Some(('#', None))),
            ("Signal=d\r\nDuration=99999", Some(('D', None))),
            ("Signal=12", None),
            ("Duration=160", None),
            ("Signal=", None),
            ("", None),
        ] {
            assert_eq!(read_relay(body), key, "{body}");
        }
    }
}
