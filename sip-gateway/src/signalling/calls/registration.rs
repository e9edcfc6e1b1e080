//! Our registrations with trunks (RFC 3261, section 10.2): made, renewed, and tried again when they fail.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::message::{Address, Method, Request, Response};
use super::super::{Event, RegistrationState};
use super::Core;
use super::outgoing::{Purpose, trunk_target};
use super::timers::Timer;

/// The first wait after a failure; it doubles, up to the last.
const RETRY_S_MIN: u32 = 30;
const RETRY_S_MAX: u32 = 600;

/// One trunk's registration, or what stands in its place where there is none.
#[derive(Debug)]
pub(super) struct Registering {
    call_id: String,
    tag: String,
    cseq: u32,
    /// What we ask for; a trunk may want more (423).
    expires_s: u32,
    failures: u32,
    is_registered: bool,
    /// The trunk's last nonce, and how often it was used.
    pub(super) nonce_used: (String, u32),
}

impl Core {
    pub(super) fn start_registering(&mut self, now: Instant) {
        for index in 0..self.config.trunks.len() {
            let expires_s = self.config.trunks[index].registration.as_ref().map_or(0, |one| one.expires_s);
            let registering = Registering {
                call_id: self.token(),
                tag: self.token(),
                cseq: 0,
                expires_s,
                failures: 0,
                is_registered: false,
                nonce_used: (String::new(), 0),
            };
            self.registering.push(registering);
            if self.config.trunks[index].registration.is_some() {
                self.timers.set(now, Timer::Register(index));
            }
        }
    }

    pub(super) fn register(&mut self, _now: Instant, index: usize) {
        if !self.is_stopping {
            self.send_register(index, self.registering[index].expires_s);
        }
    }

    fn send_register(&mut self, index: usize, expires_s: u32) {
        let trunk = &self.config.trunks[index];
        let Some(registration) = &trunk.registration else { return };
        let Some((target, domain)) = trunk_target(trunk) else { return };
        let registering = &mut self.registering[index];
        registering.cseq += 1;
        let user = super::super::message::escape_user(&registration.user);
        let us = format!("<sip:{user}@{domain}>");
        let mut request = Request::new(Method::Register, format!("sip:{}", trunk.host));
        let headers = &mut request.headers;
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("{us};tag={}", registering.tag));
        headers.push("To", us);
        headers.push("Call-ID", registering.call_id.clone());
        headers.push("CSeq", format!("{} REGISTER", registering.cseq));
        headers.push("Contact", self.local.contact(&user, trunk.transport, None));
        headers.push("Expires", expires_s.to_string());
        self.send(Purpose::Register(index), request, target, Some(index));
    }

    pub(super) fn on_registered(
        &mut self,
        now: Instant,
        index: usize,
        request: Request,
        response: &Response,
        sent_to: Option<SocketAddr>,
    ) {
        let registering = &mut self.registering[index];
        if let Some((cseq, _)) = request.headers.cseq() {
            registering.cseq = cseq;
        }
        if request.headers.get("Expires") == Some("0") {
            return self.set_registration(index, false, RegistrationState::Unregistered);
        }
        match response.status {
            200..300 => {
                registering.failures = 0;
                let expires_s = granted_s(&request, response).unwrap_or(registering.expires_s).max(1);
                self.admission.set_registered_at(index, sent_to.map(|at| at.ip()));
                // Well before it runs out: a minute, or a quarter of a short one.
                let early_s = (expires_s / 4).min(60);
                let again = now + Duration::from_secs(u64::from(expires_s - early_s).max(1));
                self.timers.set(again, Timer::Register(index));
                self.set_registration(index, true, RegistrationState::Registered { expires_s });
            }
            423 if registering.failures == 0 => {
                let min_s = response.headers.get("Min-Expires").and_then(|min| min.parse::<u32>().ok());
                registering.expires_s = min_s.unwrap_or(3600).clamp(registering.expires_s, 24 * 3600);
                registering.failures = 1;
                self.register(now, index);
            }
            status => {
                let doubled = RETRY_S_MIN.saturating_mul(1 << registering.failures.min(10));
                registering.failures += 1;
                let asked_s = response
                    .headers
                    .get("Retry-After")
                    .and_then(|value| value.split([';', ' ', '(']).next()?.parse::<u32>().ok());
                let retry_s = asked_s.unwrap_or(doubled).clamp(1, RETRY_S_MAX);
                self.admission.set_registered_at(index, None);
                self.timers.set(now + Duration::from_secs(u64::from(retry_s)), Timer::Register(index));
                self.set_registration(index, false, RegistrationState::Failed { status, retry_s });
            }
        }
    }

    pub(super) fn unregister_all(&mut self) {
        for index in 0..self.registering.len() {
            if self.registering[index].is_registered {
                self.send_register(index, 0);
            }
        }
    }

    fn set_registration(&mut self, index: usize, is_registered: bool, state: RegistrationState) {
        self.registering[index].is_registered = is_registered;
        let registered = self.registering.iter().filter(|one| one.is_registered).count();
        self.tally.trunks_registered_now.set(registered);
        let trunk = self.config.trunks[index].name.clone();
        if matches!(state, RegistrationState::Failed { .. }) {
            tracing::warn!(trunk, ?state, "not registered with a trunk");
        }
        self.tell(Event::Registration { trunk, state });
    }
}

/// How long the trunk takes us: of our contact, or of all (section 10.2.4).
fn granted_s(request: &Request, response: &Response) -> Option<u32> {
    let ours = Address::parse(request.headers.get("Contact")?)?.uri();
    let contacts: Vec<Address> = response.headers.list("Contact").filter_map(Address::parse).collect();
    let same = |contact: &&Address| {
        contact.uri().zip(ours.as_ref()).is_some_and(|(theirs, ours)| {
            (&theirs.user, &theirs.host, theirs.port) == (&ours.user, &ours.host, ours.port)
        })
    };
    let of_ours = contacts.iter().find(same).or(contacts.first().filter(|_| contacts.len() == 1));
    let own = of_ours.and_then(|contact| contact.parameter("expires")?.parse().ok());
    own.or_else(|| response.headers.get("Expires")?.parse().ok())
}
