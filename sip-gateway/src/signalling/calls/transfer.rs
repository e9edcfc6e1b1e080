//! Transfers (RFC 3515): the peer's wish that we call somebody else, and ours that it does.

use std::time::Instant;

use super::super::message::{Address, Method, Request, Response, Uri, escape_user, reason_of, unescape};
use super::super::{CallId, EndReason, Event};
use super::call::{Pending, Reports, State};
use super::outgoing::Purpose;
use super::{Arrived, Core, ServerTx};

impl Core {
    pub(super) fn transfer(&mut self, id: CallId, target: &str) {
        let Some(call) = self.in_state(id, State::Standing) else { return };
        let mut refer = call.dialog.request(Method::Refer);
        let trunk = call.trunk;
        let uri = Uri::parse(target).ok().or_else(|| self.beside_us(trunk, &refer, target));
        let Some(call) = self.in_state(id, State::Standing) else { return };
        let Some(target) = uri.filter(|_| !call.is_transferring) else {
            return self.tell(Event::TransferProgress { call: id, status: 400, is_final: true });
        };
        refer.headers.push("Refer-To", format!("<{target}>"));
        let us = Address::parse(refer.headers.get("From").unwrap_or_default())
            .map(|from| format!("<{}>", from.uri));
        refer.headers.push("Referred-By", us.unwrap_or_default());
        call.is_transferring = true;
        let (hop, trunk) = (call.dialog.next_hop(), call.trunk);
        self.send(Purpose::Refer(id), refer, hop, trunk);
    }

    /// A number or name at the trunk that the call is through, or where the peer reaches us.
    fn beside_us(&self, trunk: Option<usize>, refer: &Request, user: &str) -> Option<Uri> {
        let user = escape_user(user);
        if let Some(trunk) = trunk {
            return Uri::parse(&format!("sip:{user}@{}", self.config.trunks[trunk].host)).ok();
        }
        let us = Uri::parse(&Address::parse(refer.headers.get("Contact")?)?.uri).ok()?;
        Some(Uri { user: Some(user), ..us })
    }

    pub(super) fn on_refer_response(&mut self, id: CallId, response: &Response) {
        let Some(call) = self.live(id) else { return };
        if response.status >= 300 {
            call.is_transferring = false;
            self.tell(Event::TransferProgress { call: id, status: response.status, is_final: true });
        }
    }

    /// How the peer's call goes: the first line of a response, as a body (RFC 3515, section 2.4.5).
    pub(super) fn on_notify(&mut self, now: Instant, id: CallId, arrived: &Arrived) {
        let headers = &arrived.request.headers;
        let is_refer = headers.get("Event").is_some_and(|event| {
            event.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("refer")
        });
        let is_asked = self.calls.get(&id).is_some_and(|call| call.is_transferring);
        if !is_refer || !is_asked {
            return self.reply_within(id, arrived, if is_refer { 481 } else { 489 });
        }
        let Some(status) = sipfrag_status(&arrived.request) else {
            return self.reply_within(id, arrived, 400);
        };
        let state = headers.get("Subscription-State").unwrap_or_default();
        let is_final = status >= 200 || state.trim_start().to_ascii_lowercase().starts_with("terminated");
        self.reply_within(id, arrived, 200);
        self.tell(Event::TransferProgress { call: id, status, is_final });
        if is_final && status >= 300 {
            if let Some(call) = self.calls.get_mut(&id) {
                call.is_transferring = false;
            }
        } else if is_final {
            // They have each other: our part is over.
            self.say_goodbye(now, id, EndReason::Transferred, None);
        }
    }

    pub(super) fn on_refer(&mut self, id: CallId, arrived: Arrived) {
        let headers = &arrived.request.headers;
        let refer_to = headers.get("Refer-To").filter(|_| headers.all("Refer-To").count() == 1);
        let target = refer_to.and_then(Address::parse).and_then(|to| Uri::parse(&to.uri).ok());
        let Some(mut target) = target else { return self.reply_within(id, &arrived, 400) };
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.state == State::Answered && call.overtaking.is_none() {
            // As an offer: the ACK before it is on another way through the stack.
            call.overtaking = Some(arrived);
            return;
        }
        let is_busy = self.calls.get(&id).is_none_or(|call| {
            call.asked_transfer.is_some() || call.reports.is_some() || call.state != State::Standing
        });
        if is_busy {
            return self.reply_within(id, &arrived, 491);
        }
        let replaces = target.headers.take().and_then(|headers| {
            headers.split('&').find_map(|header| {
                let (name, value) = header.split_once('=')?;
                name.eq_ignore_ascii_case("Replaces").then(|| unescape(value))
            })
        });
        let referred_by = headers.get("Referred-By").and_then(Address::parse).map(|by| by.uri);
        let event = Event::TransferAsked { call: id, target: target.to_string(), referred_by, replaces };
        if let Some(call) = self.calls.get_mut(&id) {
            call.asked_transfer = Some(Pending { tx: arrived.tx, request: arrived.request });
        }
        self.tell(event);
    }

    pub(super) fn answer_transfer(&mut self, id: CallId, is_accepted: bool) {
        let Some(call) = self.live(id) else { return };
        let Some(Pending { tx, request }) = call.asked_transfer.take() else { return };
        let wants_reports = request.headers.get("Refer-Sub").is_none_or(|value| value.trim() != "false");
        let status = if is_accepted { 202 } else { 603 };
        let call = &self.calls[&id];
        let mut response = self.response_within(call, &request, status);
        if is_accepted {
            response = response.with("Contact", call.dialog.contact.clone());
            if !wants_reports {
                // RFC 4488, section 4.
                response = response.with("Refer-Sub", "false");
            }
        }
        self.respond(tx, response);
        if !is_accepted || !wants_reports {
            return;
        }
        let number = request.headers.cseq().map_or(0, |(number, _)| number);
        if let Some(call) = self.calls.get_mut(&id) {
            call.reports = Some(Reports {
                event: format!("refer;id={number}"),
                after: Some(tx),
                is_busy: false,
                // At once, whatever there is to say (RFC 3515, section 2.4.4).
                waiting: vec![100],
            });
        }
    }

    pub(super) fn report_transfer(&mut self, id: CallId, status: u16) {
        let Some(call) = self.live(id).filter(|_| (100..700).contains(&status)) else { return };
        let Some(reports) = &mut call.reports else { return };
        // What hasn't been told yet is out of date, but for the first.
        reports.waiting.truncate(1);
        reports.waiting.push(status);
        self.report_next(id);
    }

    /// Our 202 has left.
    pub(super) fn on_transfer_taken(&mut self, id: CallId, tx: ServerTx) {
        let reports = self.calls.get_mut(&id).and_then(|call| call.reports.as_mut());
        if reports.is_some_and(|reports| reports.after.take_if(|after| *after == tx).is_some()) {
            self.report_next(id);
        }
    }

    pub(super) fn on_reported(&mut self, id: CallId, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if response.status >= 300 {
            // A peer that doesn't want to know (RFC 6665, section 4.2.2).
            call.reports = None;
        } else if let Some(reports) = &mut call.reports {
            reports.is_busy = false;
            self.report_next(id);
        }
    }

    fn report_next(&mut self, id: CallId) {
        let Some(call) = self.live(id) else { return };
        let Some(reports) =
            call.reports.as_mut().filter(|reports| reports.after.is_none() && !reports.is_busy)
        else {
            return;
        };
        if reports.waiting.is_empty() {
            return;
        }
        let status = reports.waiting.remove(0);
        reports.is_busy = true;
        let event = reports.event.clone();
        let mut notify = call.dialog.request(Method::Notify);
        notify.headers.push("Event", event);
        let state = if status >= 200 { "terminated;reason=noresource" } else { "active;expires=60" };
        notify.headers.push("Subscription-State", state);
        notify.set_body("message/sipfrag;version=2.0", format!("SIP/2.0 {status} {}\r\n", reason_of(status)));
        if status >= 200 {
            call.reports = None;
        }
        let (hop, trunk) = (call.dialog.next_hop(), call.trunk);
        self.send(Purpose::Notify(id), notify, hop, trunk);
    }
}

fn sipfrag_status(request: &Request) -> Option<u16> {
    if request.headers.content_type().as_deref() != Some("message/sipfrag") {
        return None;
    }
    let body = std::str::from_utf8(&request.body).ok()?;
    let status = body.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    (100..700).contains(&status).then_some(status)
}
