//! The small registrar (RFC 3261, section 10.3): where users' softphones are, in memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::message::{Address, Request, Uri};
use super::super::{Event, Registrar, Transport};
use super::credentials::Proof;
use super::timers::Timer;
use super::{Arrived, Core, Target};

/// One phone of a user.
#[derive(Clone, Debug)]
struct Binding {
    uri: Uri,
    source: SocketAddr,
    transport: Transport,
    expires: Instant,
    /// Of the registration that made it: a later one of the same `Call-ID` has a higher number.
    call_id: String,
    cseq: u32,
}

/// Phones by user, the newest last.
#[derive(Debug, Default)]
pub(super) struct Bindings(HashMap<String, Vec<Binding>>);

impl Bindings {
    /// Where a user was heard of last.
    pub(super) fn newest(&self, user: &str) -> Option<(Uri, Target)> {
        let binding = self.0.get(user)?.last()?;
        let flow = Target::Flow { transport: binding.transport, address: binding.source, spare: None };
        Some((binding.uri.clone(), flow))
    }

    fn next_end(&self) -> Option<Instant> {
        self.0.values().flatten().map(|binding| binding.expires).min()
    }

    fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// What a REGISTER wants of one contact.
struct Wish {
    uri: Uri,
    expires_s: u32,
}

impl Core {
    pub(super) fn on_register(&mut self, now: Instant, arrived: Arrived) {
        let Some(registrar) = self.config.registrar else {
            let response = self.response(&arrived.request, 405).with("Allow", super::ALLOW);
            return self.reply(arrived.tx, response);
        };
        if let Some(response) = self.bad_extension(&arrived.request) {
            return self.reply(arrived.tx, response);
        }
        let proof = self.prove(now, &arrived, |config, name| {
            config.users.iter().find(|user| user.username == name).map(|user| user.password.clone())
        });
        let user = match proof {
            Proof::Of(user) => user,
            Proof::Asked(response) => return self.reply(arrived.tx, *response),
        };
        // Whom it registers is who it is (section 10.3, step 4).
        let to = arrived.request.headers.get("To").and_then(Address::parse).and_then(|to| to.uri());
        if to.map(|to| to.user_plain()) != Some(user.clone()) {
            return self.refuse(&arrived, 403);
        }
        match self.bind(now, registrar, &user, &arrived) {
            Ok(()) => self.reply_registered(now, &user, &arrived),
            Err(423) => {
                let min_s = registrar.expires_min_s.to_string();
                let response = self.response(&arrived.request, 423).with("Min-Expires", min_s);
                self.reply(arrived.tx, response);
            }
            Err(status) => self.refuse(&arrived, status),
        }
    }

    /// All of a request's contacts, or none (section 10.3, step 7).
    fn bind(&mut self, now: Instant, registrar: Registrar, user: &str, arrived: &Arrived) -> Result<(), u16> {
        let headers = &arrived.request.headers;
        let call_id = headers.get("Call-ID").unwrap_or_default().to_owned();
        let cseq = headers.cseq().map_or(0, |(number, _)| number);
        let bindings = self.bindings.0.entry(user.to_owned()).or_default();
        bindings.retain(|binding| binding.expires > now);
        let is_old = |binding: &Binding| binding.call_id == call_id && cseq <= binding.cseq;
        if headers.get("Contact") == Some("*") {
            if headers.get("Expires") != Some("0") || headers.all("Contact").count() != 1 {
                return Err(400);
            }
            if bindings.iter().any(is_old) {
                return Err(500);
            }
            bindings.clear();
            return Ok(());
        }
        let wishes = wishes(&arrived.request, registrar)?;
        for wish in &wishes {
            if bindings.iter().any(|binding| binding.uri == wish.uri && is_old(binding)) {
                return Err(500);
            }
        }
        for Wish { uri, expires_s } in wishes {
            bindings.retain(|binding| binding.uri != uri);
            if expires_s == 0 {
                continue;
            }
            let expires = now + Duration::from_secs(u64::from(expires_s));
            let (source, transport) = (arrived.source, arrived.transport);
            bindings.push(Binding { uri, source, transport, expires, call_id: call_id.clone(), cseq });
        }
        let excess = bindings.len().saturating_sub(registrar.contacts_max.max(1));
        bindings.drain(..excess);
        self.arm_contacts();
        Ok(())
    }

    /// Looks at contacts again when the next of them runs out.
    fn arm_contacts(&mut self) {
        if let Some(expires) = self.bindings.next_end() {
            self.timers.set(expires, Timer::Contacts);
        }
    }

    fn reply_registered(&mut self, now: Instant, user: &str, arrived: &Arrived) {
        let bindings = self.bindings.0.get(user).cloned().unwrap_or_default();
        let mut response = self.response(&arrived.request, 200);
        for binding in &bindings {
            let left_s = binding.expires.saturating_duration_since(now).as_secs();
            response = response.with("Contact", format!("<{}>;expires={left_s}", binding.uri));
        }
        self.respond(arrived.tx, response);
        if arrived.request.headers.get("Contact").is_some() {
            self.tally.registrations.add(1);
            self.tally.contacts_now.set(self.bindings.count());
            self.tell(Event::UserRegistered { user: user.to_owned(), contacts: bindings.len() });
        }
    }

    pub(super) fn drop_contacts(&mut self, now: Instant) {
        let mut left = Vec::new();
        self.bindings.0.retain(|user, bindings| {
            let before = bindings.len();
            bindings.retain(|binding| binding.expires > now);
            if bindings.len() != before {
                left.push(Event::UserRegistered { user: user.clone(), contacts: bindings.len() });
            }
            !bindings.is_empty()
        });
        self.arm_contacts();
        self.tally.contacts_now.set(self.bindings.count());
        self.outputs.extend(left.into_iter().map(super::Output::Event));
    }
}

/// The contacts of a request, each with how long it is to hold (section 10.2.1.1).
fn wishes(request: &Request, registrar: Registrar) -> Result<Vec<Wish>, u16> {
    let headers = &request.headers;
    let of_all = headers.get("Expires").and_then(|expires| expires.parse::<u32>().ok());
    let contacts = headers.list("Contact").map(|contact| {
        let contact = Address::parse(contact).ok_or(400_u16)?;
        let uri = contact.uri().ok_or(400_u16)?;
        let own = contact.parameter("expires").map(|expires| expires.parse::<u32>().unwrap_or(3600));
        let expires_s = own.or(of_all).unwrap_or(registrar.expires_max_s).min(registrar.expires_max_s);
        match expires_s {
            0 => Ok(Wish { uri, expires_s }),
            _ if expires_s < registrar.expires_min_s => Err(423),
            _ => Ok(Wish { uri, expires_s }),
        }
    });
    contacts.collect()
}
