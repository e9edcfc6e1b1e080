//! Calls in, from the INVITE to its ACK (RFC 3261, section 13.3).

use std::net::IpAddr;
use std::time::Instant;

use super::super::message::{Address, Method, Request, Response, Uri, unescape};
use super::super::source::counted_as;
use super::super::{CallId, EndReason, Event, HangUp, Inbound, Incoming, Party, Peer, Rejection};
use super::bodies::{offer_in, takes_descriptions};
use super::call::{Call, Pending, State};
use super::credentials::Proof;
use super::dialog::{Abilities, Dialog};
use super::session_timer::{Interval, TooSmall};
use super::timers::Timer;
use super::{ALLOW, Arrived, Core, Output, RETRY_AFTER_S, SUPPORTED, ServerTx};

/// Why an INVITE gets no call.
enum Refusal {
    Status(u16),
    Response(Box<Response>),
}

/// Who calls, and what their INVITE says.
struct Caller {
    peer: Peer,
    trunk: Option<usize>,
    offer: Option<String>,
    interval: Option<Interval>,
}

impl Core {
    pub(super) fn on_invite(&mut self, now: Instant, arrived: Arrived) {
        let headers = &arrived.request.headers;
        let (Some(call_id), Some(tag), Some((cseq, _))) =
            (headers.get("Call-ID"), headers.tag_of("From"), headers.cseq())
        else {
            return self.refuse(&arrived, 400);
        };
        let key = (call_id.to_owned(), tag, cseq);
        // The same request by another way (RFC 3261, section 8.2.2.2).
        if self.invites.contains_key(&key) {
            return self.refuse(&arrived, 482);
        }
        let caller = match self.examine(now, &arrived) {
            Ok(caller) => caller,
            Err(Refusal::Status(status)) => return self.refuse(&arrived, status),
            Err(Refusal::Response(response)) => return self.reply(arrived.tx, *response),
        };
        let local_tag = self.token();
        let contact = self.local.contact("", arrived.transport, Some(arrived.source));
        let dialog = Dialog::of_request(
            &arrived.request,
            local_tag,
            arrived.transport,
            arrived.source,
            contact,
            caller.trunk.is_some(),
        );
        let Some(dialog) = dialog else { return self.refuse(&arrived, 400) };
        let trying = Response::to(&arrived.request, 100, "");
        self.respond(arrived.tx, trying);
        self.open_call(now, arrived, dialog, key, caller);
    }

    /// What is looked at before there is a call, in the order of RFC 3261, section 8.2.
    fn examine(&mut self, now: Instant, arrived: &Arrived) -> Result<Caller, Refusal> {
        if self.is_full() {
            return Err(Refusal::Status(503));
        }
        let (peer, trunk) = self.identify(now, arrived)?;
        let source = arrived.source.ip();
        if !self.admission.takes_call(now, trunk, source) || self.has_many_calls(trunk, source) {
            self.tally.rate_limited.add(1);
            return Err(Refusal::Status(503));
        }
        if Uri::parse(&arrived.request.uri).is_err() {
            return Err(Refusal::Status(416));
        }
        if let Some(response) = self.bad_extension(&arrived.request) {
            return Err(Refusal::Response(Box::new(response)));
        }
        let offer = offer_in(&arrived.request).map_err(Refusal::Status)?;
        if !takes_descriptions(&arrived.request.headers) {
            return Err(Refusal::Status(406));
        }
        let interval = match Interval::of_request(&arrived.request.headers, self.config.session_timers) {
            Ok(interval) => interval,
            Err(TooSmall { min_s }) => {
                let response = self.response(&arrived.request, 422).with("Min-SE", min_s.to_string());
                return Err(Refusal::Response(Box::new(response)));
            }
        };
        Ok(Caller { peer, trunk, offer, interval })
    }

    fn identify(&mut self, now: Instant, arrived: &Arrived) -> Result<(Peer, Option<usize>), Refusal> {
        let by_source = self.admission.trunk_of(&self.config, arrived.source.ip());
        let trunk = by_source.map(|index| (index, &self.config.trunks[index]));
        if let Some((index, trunk)) = trunk.filter(|(_, trunk)| !trunk.is_challenged) {
            return Ok((Peer::Trunk(trunk.name.clone()), Some(index)));
        }
        match self.config.inbound {
            Inbound::Anybody if by_source.is_none() => return Ok((Peer::Anonymous, None)),
            Inbound::Trunks if by_source.is_none() => return Err(Refusal::Status(403)),
            _ => {}
        }
        let proof = self.prove(now, arrived, |config, name| {
            let of_trunk = by_source.and_then(|index| config.trunks[index].credentials.as_ref());
            let known = of_trunk.into_iter().chain(config.users.iter().filter(|_| by_source.is_none()));
            known.into_iter().find(|one| one.username == name).map(|one| one.password.clone())
        });
        match (proof, by_source) {
            (Proof::Asked(response), _) => Err(Refusal::Response(response)),
            (Proof::Of(_), Some(index)) => {
                Ok((Peer::Trunk(self.config.trunks[index].name.clone()), Some(index)))
            }
            (Proof::Of(name), None) => Ok((Peer::User(name), None)),
        }
    }

    fn has_many_calls(&self, trunk: Option<usize>, source: IpAddr) -> bool {
        let standing = self.calls.values().filter(|call| !call.is_over());
        match trunk {
            Some(trunk) => {
                standing.filter(|call| call.trunk == Some(trunk)).count()
                    >= self.config.trunks[trunk].calls_max
            }
            None => {
                let source = Some(counted_as(source));
                let of_source = |call: &&Call| call.trunk.is_none() && call.source == source;
                standing.filter(of_source).count() >= self.config.limits.calls_per_source_max
            }
        }
    }

    fn open_call(
        &mut self,
        now: Instant,
        arrived: Arrived,
        dialog: Dialog,
        key: (String, String, u32),
        caller: Caller,
    ) {
        let id = self.call_ids.next();
        self.open_dialog((dialog.call_id.clone(), dialog.local_tag.clone()), id);
        self.invites.insert(key.clone(), id);
        self.servers.insert(arrived.tx, id);
        self.timers.set(now + self.config.ringing_timeout, Timer::Ringing(id));
        self.tally.calls_in.add(1);
        let headers = &arrived.request.headers;
        let asked = self.config.headers.iter().flat_map(|name| {
            headers.all(name).map(|value| (name.clone(), value.to_owned())).collect::<Vec<_>>()
        });
        let incoming = Incoming {
            call: id,
            from: headers.get("From").map(party_of).unwrap_or_default(),
            to: party_of(&format!("<{}>", arrived.request.uri)),
            to_header: headers.get("To").map(party_of).unwrap_or_default(),
            peer: caller.peer,
            source: arrived.source,
            transport: arrived.transport,
            headers: asked.collect(),
            sip_call_id: dialog.call_id.clone(),
            offer: caller.offer,
        };
        let mut call = Call::new(State::Ringing, dialog);
        call.abilities = Abilities::of(headers);
        call.trunk = caller.trunk;
        call.source = Some(counted_as(arrived.source.ip()));
        call.is_offer_ours = incoming.offer.is_none();
        call.session_timer = caller.interval;
        call.invite = Some(Pending { tx: arrived.tx, request: arrived.request });
        call.invite_key = Some(key);
        self.calls.insert(id, call);
        tracing::debug!(call = %id, peer = ?incoming.peer, source = %incoming.source, "a call came in");
        self.tell(Event::Incoming(Box::new(incoming)));
    }

    /// A response to the INVITE of a call in, with what makes a dialog of it.
    pub(super) fn response_to_invite(&self, call: &Call, request: &Request, status: u16) -> Response {
        Response::to(request, status, &call.dialog.local_tag)
            .with("Contact", call.dialog.contact.clone())
            .with("Allow", ALLOW)
            .with("Supported", SUPPORTED)
            .with("Server", self.config.user_agent.clone())
    }

    pub(super) fn ring(&mut self, now: Instant, id: CallId) {
        self.progress(now, id, 180, None);
    }

    pub(super) fn early_media(&mut self, now: Instant, id: CallId, sdp: String) {
        self.progress(now, id, 183, Some(sdp));
    }

    fn progress(&mut self, now: Instant, id: CallId, status: u16, sdp: Option<String>) {
        let Some(call) = self.calls.get(&id).filter(|call| call.state == State::Ringing && !call.is_over())
        else {
            return;
        };
        let Some(invite) = call.invite.clone() else { return };
        let mut response = self.response_to_invite(call, &invite.request, status);
        if let Some(sdp) = &sdp {
            response.set_body("application/sdp", sdp.as_str());
        }
        let is_wanted = invite.request.headers.has_token("Require", "100rel")
            || (sdp.is_some() && call.abilities.reliable);
        if let Some(call) = self.calls.get_mut(&id).filter(|_| sdp.is_some()) {
            call.our_sdp.clone_from(&sdp);
        }
        if is_wanted {
            self.respond_reliably(now, id, invite.tx, response);
        } else {
            self.respond(invite.tx, response);
        }
    }

    pub(super) fn answer(&mut self, now: Instant, id: CallId, sdp: String) {
        let Some(call) = self.in_state(id, State::Ringing) else { return };
        // An answer to a call whose reliable description isn't confirmed has to wait (RFC 3262, section 3).
        if call.unconfirmed.as_ref().is_some_and(|unconfirmed| unconfirmed.has_sdp) {
            call.held_answer = Some(sdp);
            return;
        }
        call.unconfirmed = None;
        let Some(invite) = call.invite.clone() else { return };
        call.state = State::Answered;
        let call = &self.calls[&id];
        let mut response = self.response_to_invite(call, &invite.request, 200);
        if let Some(timer) = &call.session_timer {
            timer.write_answer(&mut response, call.abilities.timer);
        }
        if !call.is_described {
            response.set_body("application/sdp", sdp.as_str());
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.our_sdp = Some(sdp);
        }
        self.tally.calls_answered.add(1);
        self.respond(invite.tx, response);
        self.arm_session_timer(now, id);
    }

    pub(super) fn reject(&mut self, now: Instant, id: CallId, rejection: &Rejection) {
        let status = if (300..700).contains(&rejection.status) { rejection.status } else { 500 };
        self.end_ringing(now, id, status, rejection.retry_after_s, EndReason::Rejected, None);
    }

    fn end_ringing(
        &mut self,
        now: Instant,
        id: CallId,
        status: u16,
        retry_after_s: Option<u32>,
        reason: EndReason,
        cause: Option<HangUp>,
    ) {
        let Some(call) = self.in_state(id, State::Ringing) else { return };
        call.state = State::Leaving;
        let Some(invite) = call.invite.take() else { return };
        let tag = call.dialog.local_tag.clone();
        let mut response =
            Response::to(&invite.request, status, &tag).with("Server", self.config.user_agent.clone());
        if let Some(seconds) = retry_after_s {
            response = response.with("Retry-After", seconds.to_string());
        } else if status == 503 {
            response = response.with("Retry-After", RETRY_AFTER_S);
        }
        if let Some(cause) = cause {
            response = response.with("Reason", cause.reason());
        }
        self.respond(invite.tx, response);
        self.end(now, id, reason, Some(status));
        self.forget(id);
    }

    pub(super) fn on_ringing_timeout(&mut self, now: Instant, id: CallId) {
        self.end_ringing(now, id, 480, None, EndReason::NotAnswered, None);
        if self.in_state(id, State::Calling).is_some() {
            self.give_up(now, id, EndReason::NotAnswered);
        }
    }

    pub(super) fn hang_up(&mut self, now: Instant, id: CallId, cause: HangUp, reason: EndReason) {
        let Some(call) = self.live(id) else { return };
        call.hang_up_cause = cause;
        match call.state {
            State::Ringing => {
                let status = if reason == EndReason::ShutDown { 503 } else { 480 };
                self.end_ringing(now, id, status, None, reason, Some(cause));
            }
            // No BYE before the ACK, or the lack of one (RFC 3261, section 15).
            State::Answered => self.end(now, id, reason, None),
            State::Calling => self.give_up(now, id, reason),
            State::Standing => self.say_goodbye(now, id, reason, None),
            State::Cancelling | State::Leaving => {}
        }
    }

    /// The caller gave up, or takes a re-INVITE back.
    pub(super) fn on_cancelled(&mut self, now: Instant, tx: ServerTx) {
        let Some(id) = self.servers.get(&tx).copied() else { return };
        self.end_ringing(now, id, 487, None, EndReason::Cancelled, None);
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(offered) = call.offered.take_if(|offered| offered.tx == tx) {
            let response = Response::to(&offered.request, 487, &call.dialog.local_tag);
            self.respond(tx, response);
        }
    }

    pub(super) fn on_acknowledged(&mut self, now: Instant, tx: ServerTx, ack: &Request) {
        let Some(id) = self.servers.get(&tx).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_offer_ours = match (&call.invite, call.unacknowledged) {
            (Some(invite), _) if invite.tx == tx && call.state == State::Answered => {
                call.state = State::Standing;
                call.invite = None;
                call.is_offer_ours && !call.is_agreed
            }
            (_, Some((of, is_offer_ours))) if of == tx => {
                call.unacknowledged = None;
                is_offer_ours
            }
            _ => return,
        };
        if call.is_over() {
            // It was hung up between our answer and this.
            return self.leave(now, id);
        }
        let answer = offer_in(ack).ok().flatten();
        if is_offer_ours && answer.is_none() {
            // It answers our offer with nothing.
            return self.say_goodbye(now, id, EndReason::Protocol, None);
        }
        let overtaking = call.overtaking.take();
        self.tell(Event::Confirmed { call: id, sdp: answer.filter(|_| is_offer_ours) });
        match overtaking {
            Some(arrived) if arrived.request.method == Method::Refer => self.on_refer(id, arrived),
            Some(arrived) => self.on_offer(now, id, arrived),
            None => {}
        }
    }

    pub(super) fn on_server_over(&mut self, now: Instant, tx: ServerTx) {
        let Some(id) = self.servers.remove(&tx) else { return };
        self.on_transfer_taken(id, tx);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_of_invite =
            call.state == State::Answered && call.invite.as_ref().is_some_and(|it| it.tx == tx);
        let is_of_offer = call.unacknowledged.is_some_and(|(of, _)| of == tx);
        if is_of_invite || is_of_offer {
            call.state = State::Standing;
            call.unacknowledged = None;
            if call.is_over() {
                return self.leave(now, id);
            }
            self.say_goodbye(now, id, EndReason::NotConfirmed, None);
        }
    }

    /// Ends a call that stands.
    pub(super) fn say_goodbye(&mut self, now: Instant, id: CallId, reason: EndReason, status: Option<u16>) {
        self.end(now, id, reason, status);
        self.leave(now, id);
    }

    /// BYE; what is unanswered in the call is refused.
    fn leave(&mut self, now: Instant, id: CallId) {
        self.drop_pending(id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.state = State::Leaving;
        let mut bye = call.dialog.request(Method::Bye);
        bye.headers.push("Reason", call.hang_up_cause.reason());
        let target = call.dialog.next_hop();
        let trunk = call.trunk;
        self.timers.set(now + super::GIVE_UP, Timer::Forget(id));
        self.send(super::outgoing::Purpose::Bye(id), bye, target, trunk);
    }

    /// 487 to requests of the peer that nobody will answer any more (RFC 3261, section 15.1.2).
    pub(super) fn drop_pending(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let tag = call.dialog.local_tag.clone();
        let overtaking = call.overtaking.take().map(|Arrived { tx, request, .. }| Pending { tx, request });
        let invite = call.invite.take().filter(|_| call.state == State::Ringing);
        let pending = [call.offered.take(), call.asked_transfer.take(), overtaking, invite];
        for pending in pending.into_iter().flatten() {
            let response = Response::to(&pending.request, 487, &tag);
            self.outputs.push_back(Output::Respond { tx: pending.tx, response });
        }
    }
}

/// Who an address is.
pub(super) fn party_of(value: &str) -> Party {
    let Some(address) = Address::parse(value) else { return Party::default() };
    let uri = address.uri();
    Party {
        display: address.display.filter(|display| !display.is_empty()),
        user: uri.as_ref().map(Uri::user_plain).unwrap_or_else(|| unescape(&address.uri)),
        host: uri.map(|uri| uri.host).unwrap_or_default(),
    }
}
