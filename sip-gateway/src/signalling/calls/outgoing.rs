//! Calls out (RFC 3261, section 13.2), and what becomes of every request of ours.

use std::net::SocketAddr;
use std::time::Instant;

use super::super::message::{Address, Method, Request, Response, Scheme, Uri};
use super::super::{CallId, Dial, EndReason, Event, Transport};
use super::call::{Call, State};
use super::dialog::{Abilities, Dialog};
use super::session_timer::Interval;
use super::timers::Timer;
use super::{ALLOW, ClientTx, Core, GIVE_UP, Output, SUPPORTED, Target};

/// A request is sent again with credentials so often: once for a proxy, once for its server, and once more for a nonce that
/// has become too old.
const TRIES_MAX: u8 = 4;

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Calls.
    Invite(CallId),
    /// Offers something else.
    Reoffer(CallId),
    /// Refreshes the session.
    Refresh(CallId),
    Bye(CallId),
    Prack(CallId),
    Refer(CallId),
    Notify(CallId),
    /// Ends a dialog that nobody wanted: the second of a call that was forked.
    Stray,
    /// Registers with a trunk.
    Register(usize),
}

/// A request of ours without a final response.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) purpose: Purpose,
    pub(super) request: Request,
    target: Target,
    pub(super) trunk: Option<usize>,
    tries: u8,
}

impl Sent {
    pub(super) fn call(&self) -> Option<CallId> {
        match self.purpose {
            Purpose::Invite(call)
            | Purpose::Reoffer(call)
            | Purpose::Refresh(call)
            | Purpose::Bye(call)
            | Purpose::Prack(call)
            | Purpose::Refer(call)
            | Purpose::Notify(call) => Some(call),
            Purpose::Stray | Purpose::Register(_) => None,
        }
    }
}

/// Where a call out goes.
struct Destination {
    uri: Uri,
    target: Target,
    trunk: Option<usize>,
    domain: String,
}

impl Core {
    pub(super) fn send(
        &mut self,
        purpose: Purpose,
        request: Request,
        target: Target,
        trunk: Option<usize>,
    ) -> ClientTx {
        self.send_again(Sent { purpose, request, target, trunk, tries: 0 })
    }

    fn send_again(&mut self, mut sent: Sent) -> ClientTx {
        self.sent_count += 1;
        let tx = ClientTx(self.sent_count);
        sent.request.headers.set("User-Agent", self.config.user_agent.clone());
        let (request, target) = (sent.request.clone(), sent.target.clone());
        self.sent.insert(tx, sent);
        self.outputs.push_back(Output::Send { tx, request, target });
        tx
    }

    pub(super) fn dial(&mut self, now: Instant, id: CallId, dial: Dial) {
        self.tally.calls_out.add(1);
        if self.is_full() {
            return self.fail_dial(id, 503);
        }
        let Some(destination) = self.destination(&dial) else { return self.fail_dial(id, 404) };
        if destination.trunk.is_some_and(|trunk| self.is_trunk_full(trunk)) {
            return self.fail_dial(id, 503);
        }
        let Destination { uri, target, trunk, domain } = destination;
        let transport = target.transport();
        let configured = trunk.and_then(|trunk| self.config.trunks[trunk].caller.clone());
        let caller = dial.caller.or(configured).unwrap_or_else(|| "anonymous".to_owned());
        let caller = super::super::message::escape_user(&caller);
        let near = uri.ip().map(|ip| SocketAddr::new(ip, 0));
        let local = Address {
            display: dial.display,
            uri: format!("sip:{caller}@{domain}"),
            parameters: String::new(),
        };
        let local_tag = self.token();
        let call_id = format!("{}@{}", self.token(), self.local.address(transport, near).ip());
        let contact = self.local.contact("", transport, near);
        let mut dialog =
            Dialog::to_open(call_id.clone(), local, local_tag.clone(), &uri.to_string(), &target, contact);
        let mut invite = dialog.request(Method::Invite);
        invite.headers.push("Allow", ALLOW);
        invite.headers.push("Supported", SUPPORTED);
        if let Some(timers) = self.config.session_timers {
            invite.headers.push("Session-Expires", timers.expires_s.max(timers.min_s).max(90).to_string());
            invite.headers.push("Min-SE", timers.min_s.max(90).to_string());
        }
        for (name, value) in &dial.headers {
            if is_header(name, value) {
                invite.headers.push(name, value.clone());
            }
        }
        invite.set_body("application/sdp", dial.offer.as_str());
        let mut call = Call::new(State::Calling, dialog);
        call.trunk = trunk;
        call.invite_cseq = call.dialog.cseq;
        call.our_sdp = Some(dial.offer);
        self.open_dialog((call_id, local_tag), id);
        self.calls.insert(id, call);
        self.timers.set(now + self.config.ringing_timeout, Timer::Ringing(id));
        let tx = self.send(Purpose::Invite(id), invite, target, trunk);
        if let Some(call) = self.calls.get_mut(&id) {
            call.invited = Some(tx);
        }
        tracing::debug!(call = %id, trunk, "a call goes out");
    }

    fn is_trunk_full(&self, trunk: usize) -> bool {
        let of_trunk = self.calls.values().filter(|call| !call.is_over() && call.trunk == Some(trunk));
        of_trunk.count() >= self.config.trunks[trunk].calls_max
    }

    /// What can't even be tried.
    fn fail_dial(&mut self, id: CallId, status: u16) {
        self.tally.dial_failed.add(status);
        self.tell(Event::Ended { call: id, reason: EndReason::Rejected, status: Some(status) });
    }

    fn destination(&self, dial: &Dial) -> Option<Destination> {
        if let Some(name) = &dial.trunk {
            let index = self.config.trunks.iter().position(|trunk| trunk.name == *name)?;
            let trunk = &self.config.trunks[index];
            let (target, domain) = trunk_target(trunk)?;
            let user = super::super::message::escape_user(&dial.to);
            let uri = Uri::parse(&format!("sip:{user}@{}", trunk.host)).ok()?;
            return Some(Destination { uri, target, trunk: Some(index), domain });
        }
        if let Some((uri, target)) = self.bindings.newest(&dial.to) {
            let domain = self.local.address(target.transport(), None).ip().to_string();
            return Some(Destination { uri, target, trunk: None, domain: bracketed(&domain) });
        }
        let uri =
            Uri::parse(&dial.to).ok().filter(|uri| uri.scheme != Scheme::Tel && uri.headers.is_none())?;
        let target = Target::of_uri(&uri, Transport::Udp);
        let domain = self.local.address(target.transport(), None).ip().to_string();
        Some(Destination { uri, target, trunk: None, domain: bracketed(&domain) })
    }

    pub(super) fn on_response(
        &mut self,
        now: Instant,
        tx: ClientTx,
        response: Response,
        sent_to: Option<SocketAddr>,
    ) {
        if !response.is_final() {
            if let Some(Sent { purpose: Purpose::Invite(id), .. }) = self.sent.get(&tx) {
                let id = *id;
                self.on_progress(now, id, &response);
            }
            return;
        }
        let Some(mut sent) = self.sent.remove(&tx) else { return };
        if matches!(response.status, 401 | 407) && sent.tries < TRIES_MAX && self.may_retry(&sent) {
            let (trunk, mut request) = (sent.trunk, sent.request.clone());
            if self.authenticate(trunk, &mut request, &response) {
                sent.request = request;
                return self.retry(sent);
            }
        }
        match sent.purpose {
            Purpose::Invite(id) => self.on_invite_response(now, id, sent, response),
            Purpose::Reoffer(id) => self.on_reoffered(now, id, &sent.request, &response),
            Purpose::Refresh(id) => self.on_refreshed(now, id, &response, &sent.request.method),
            Purpose::Bye(id) => self.forget(id),
            Purpose::Prack(_) | Purpose::Stray => {}
            Purpose::Refer(id) => self.on_refer_response(id, &response),
            Purpose::Notify(id) => self.on_reported(id, &response),
            Purpose::Register(trunk) => self.on_registered(now, trunk, sent.request, &response, sent_to),
        }
    }

    /// Not for a call that was given up meanwhile.
    fn may_retry(&self, sent: &Sent) -> bool {
        match sent.purpose {
            Purpose::Invite(id) => self.calls.get(&id).is_some_and(|call| call.state == State::Calling),
            _ => true,
        }
    }

    /// Sends a request again under the next number (RFC 3261, section 22.2).
    fn retry(&mut self, mut sent: Sent) {
        sent.tries += 1;
        let method = sent.request.method.clone();
        let id = sent.call();
        if let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) {
            call.dialog.cseq += 1;
            sent.request.headers.set("CSeq", format!("{} {method}", call.dialog.cseq));
            if method == Method::Invite {
                call.invite_cseq = call.dialog.cseq;
            }
        } else if let Some((number, _)) = sent.request.headers.cseq() {
            sent.request.headers.set("CSeq", format!("{} {method}", number + 1));
        }
        let purpose = sent.purpose;
        let tx = self.send_again(sent);
        let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) else { return };
        match purpose {
            Purpose::Invite(_) => {
                call.invited = Some(tx);
                call.is_heard_of = false;
            }
            Purpose::Reoffer(_) => {
                if let Some(offer) = &mut call.our_offer {
                    offer.tx = Some(tx);
                }
            }
            _ => {}
        }
    }

    fn on_progress(&mut self, now: Instant, id: CallId, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let was_heard_of = std::mem::replace(&mut call.is_heard_of, true);
        if call.state == State::Cancelling {
            // Given up before anything was heard of it: now it can be cancelled.
            if !was_heard_of {
                self.cancel(now, id);
            }
            return;
        }
        if call.state != State::Calling || response.status == 100 {
            return;
        }
        if response.headers.tag_of("To").is_some() {
            // Of several phones that ring, the last that was heard of counts, until one answers.
            let is_other = call.dialog.remote_tag != response.headers.tag_of("To");
            call.dialog.open(response);
            call.abilities = Abilities::of(&response.headers);
            if is_other {
                call.heard_reliable = None;
            }
        }
        if !self.confirm_reliable(id, response) {
            return;
        }
        let sdp = sdp_of(response);
        if let Some(call) = self.calls.get_mut(&id).filter(|_| sdp.is_some()) {
            call.is_agreed |= response.headers.has_token("Require", "100rel");
        }
        self.tell(Event::Progress { call: id, status: response.status, sdp });
    }

    fn on_invite_response(&mut self, now: Instant, id: CallId, mut sent: Sent, response: Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.invited = None;
        if (200..300).contains(&response.status) {
            return self.on_answered(now, id, &response);
        }
        if call.state != State::Calling {
            // Given up, and that is confirmed.
            return self.forget(id);
        }
        if let Some(min_s) =
            Core::longer_interval(&response).filter(|_| response.status == 422 && sent.tries < TRIES_MAX)
        {
            // RFC 4028, section 7.3.
            sent.request.headers.set("Session-Expires", min_s.to_string());
            sent.request.headers.set("Min-SE", min_s.to_string());
            return self.retry(sent);
        }
        call.state = State::Leaving;
        let reason = if matches!(response.status, 408 | 480 | 487) {
            EndReason::NotAnswered
        } else {
            EndReason::Rejected
        };
        self.tally.dial_failed.add(response.status);
        self.end(now, id, reason, Some(response.status));
        self.forget(id);
    }

    fn on_answered(&mut self, now: Instant, id: CallId, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_given_up = call.state == State::Cancelling;
        call.dialog.open(response);
        call.abilities = Abilities::of(&response.headers);
        call.state = State::Standing;
        let is_agreed = call.is_agreed;
        self.acknowledge(id, response);
        if is_given_up {
            // The answer and our CANCEL have crossed.
            return self.say_goodbye(now, id, EndReason::HungUp, None);
        }
        let sdp = sdp_of(response);
        if sdp.is_none() && !is_agreed {
            return self.say_goodbye(now, id, EndReason::Protocol, None);
        }
        self.tally.calls_answered.add(1);
        let interval = Interval::of_response(&response.headers, self.config.session_timers);
        self.renew_session_timer(now, id, interval);
        self.tell(Event::Answered { call: id, sdp: sdp.filter(|_| !is_agreed) });
    }

    /// Confirms a 2xx to an INVITE of ours (RFC 3261, section 13.2.2.4).
    pub(super) fn acknowledge(&mut self, id: CallId, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let cseq = response.headers.cseq().map_or(call.invite_cseq, |(number, _)| number);
        let mut ack = call.dialog.request_numbered(Method::Ack, cseq);
        ack.headers.set("User-Agent", self.config.user_agent.clone());
        let target = call.dialog.next_hop();
        self.outputs.push_back(Output::Acknowledge { ack, target });
    }

    /// A 2xx that comes again is confirmed again; one of another phone is confirmed and ended (section 13.2.2.4).
    pub(super) fn on_stray_answer(&mut self, response: &Response) {
        let headers = &response.headers;
        let (Some(call_id), Some(tag)) = (headers.get("Call-ID"), headers.tag_of("From")) else { return };
        let Some(id) = self.dialogs.get(&(call_id.to_owned(), tag)).copied() else { return };
        let Some(call) = self.calls.get(&id) else { return };
        if call.dialog.remote_tag == headers.tag_of("To") {
            return self.acknowledge(id, response);
        }
        let mut other = call.dialog.clone();
        other.open(response);
        let trunk = call.trunk;
        let ack = other.request_numbered(Method::Ack, call.invite_cseq);
        self.outputs.push_back(Output::Acknowledge { ack, target: other.next_hop() });
        let bye = other.request(Method::Bye);
        self.send(Purpose::Stray, bye, other.next_hop(), trunk);
    }

    /// Ends a call out that nobody has answered.
    pub(super) fn give_up(&mut self, now: Instant, id: CallId, reason: EndReason) {
        let Some(call) = self.in_state(id, State::Calling) else { return };
        call.state = State::Cancelling;
        let is_heard_of = call.is_heard_of;
        self.end(now, id, reason, None);
        if is_heard_of {
            self.cancel(now, id);
        }
    }

    fn cancel(&mut self, now: Instant, id: CallId) {
        let Some(tx) = self.calls.get(&id).and_then(|call| call.invited) else { return };
        self.timers.set(now + GIVE_UP, Timer::Forget(id));
        self.outputs.push_back(Output::Cancel(tx));
    }
}

impl Target {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Target::Flow { transport, .. } | Target::Host { transport, .. } => *transport,
        }
    }
}

/// Where a trunk's messages are sent, and its domain.
pub(super) fn trunk_target(trunk: &super::super::Trunk) -> Option<(Target, String)> {
    let split = super::super::message::split_port;
    let (host, port) = split(trunk.proxy.as_deref().unwrap_or(&trunk.host))?;
    let (domain, _) = split(&trunk.host)?;
    let target = Target::Host { transport: trunk.transport, host: host.to_owned(), port };
    Some((target, domain.to_owned()))
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// The description in a response.
pub(super) fn sdp_of(response: &Response) -> Option<String> {
    let is_sdp = response.headers.content_type().as_deref() == Some("application/sdp");
    let body = std::str::from_utf8(&response.body).ok()?;
    (is_sdp && !body.is_empty()).then(|| body.to_owned())
}

fn is_header(name: &str, value: &str) -> bool {
    const OURS: [&str; 9] =
        ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Length", "Content-Type", "Max-Forwards"];
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c))
        && !value.contains(['\r', '\n', '\0'])
        && !OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}
