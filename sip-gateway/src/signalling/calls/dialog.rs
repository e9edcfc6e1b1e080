//! A dialog (RFC 3261, section 12): what both sides number and address their requests with.

use std::net::{IpAddr, SocketAddr};

use super::super::Transport;
use super::super::message::{Address, Headers, Method, Request, Response, Scheme, Uri};
use super::Target;

/// What a peer says that it can do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    /// `Allow: UPDATE` (RFC 3311).
    pub(super) update: bool,
    /// `Supported: timer` (RFC 4028).
    pub(super) timer: bool,
    /// `Supported: 100rel` (RFC 3262).
    pub(super) reliable: bool,
}

impl Abilities {
    pub(super) fn of(headers: &Headers) -> Abilities {
        let supports =
            |option| headers.has_token("Supported", option) || headers.has_token("Require", option);
        Abilities {
            update: headers.has_token("Allow", "UPDATE"),
            timer: supports("timer"),
            reliable: supports("100rel"),
        }
    }
}

/// One peer's side and ours.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// `From` of our requests, with our tag.
    local: String,
    pub(super) local_tag: String,
    /// `To` of our requests, with the peer's tag once there is one.
    remote: String,
    pub(super) remote_tag: Option<String>,
    /// The number of our last request.
    pub(super) cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    routes: Vec<String>,
    /// Where the peer's end is: its `Contact`.
    target: String,
    pub(super) transport: Transport,
    /// Where its messages come from.
    pub(super) source: Option<SocketAddr>,
    /// Its `Contact` and routes are followed wherever they lead: it is a trunk's, or a call out to an address.
    is_followed: bool,
    /// The `Contact` of our messages.
    pub(super) contact: String,
}

impl Dialog {
    /// The dialog that a request opens, with us at its receiving end (section 12.1.1). `None` if it has no `Contact`.
    pub(super) fn of_request(
        request: &Request,
        local_tag: String,
        transport: Transport,
        source: SocketAddr,
        contact: String,
        is_followed: bool,
    ) -> Option<Dialog> {
        let headers = &request.headers;
        let remote_target = Address::parse(headers.list("Contact").next()?)?;
        Some(Dialog {
            call_id: headers.get("Call-ID")?.to_owned(),
            local: format!("{};tag={local_tag}", headers.get("To")?),
            local_tag,
            remote: headers.get("From")?.to_owned(),
            remote_tag: headers.tag_of("From"),
            cseq: 0,
            remote_cseq: headers.cseq().map(|(number, _)| number),
            routes: headers.list("Record-Route").map(str::to_owned).collect(),
            target: remote_target.uri,
            transport,
            source: Some(source),
            is_followed,
            contact,
        })
    }

    /// One that a request of ours is to open, which is sent to `target`.
    pub(super) fn to_open(
        call_id: String,
        local: Address,
        local_tag: String,
        uri: &str,
        target: &Target,
        contact: String,
    ) -> Dialog {
        let source = match target {
            Target::Flow { address, .. } => Some(*address),
            Target::Host { .. } => None,
        };
        Dialog {
            call_id,
            local: format!("{local};tag={local_tag}"),
            local_tag,
            remote: format!("<{uri}>"),
            remote_tag: None,
            cseq: 0,
            remote_cseq: None,
            routes: Vec::new(),
            target: uri.to_owned(),
            transport: target.transport(),
            source,
            is_followed: source.is_none(),
            contact,
        }
    }

    /// What a response to the opening request makes of it (section 12.1.2).
    pub(super) fn open(&mut self, response: &Response) {
        let headers = &response.headers;
        if let Some(to) = headers.get("To") {
            self.remote = to.to_owned();
        }
        self.remote_tag = headers.tag_of("To");
        self.routes = headers.list("Record-Route").map(str::to_owned).collect();
        self.routes.reverse();
        self.retarget(headers);
    }

    /// A later `Contact` moves the peer's end; the routes stay (section 12.2).
    pub(super) fn retarget(&mut self, headers: &Headers) {
        if let Some(contact) = headers.list("Contact").next().and_then(Address::parse) {
            self.target = contact.uri;
        }
    }

    /// A request within it (section 12.2.1.1), without `Via`, which the stack adds.
    pub(super) fn request(&mut self, method: Method) -> Request {
        self.cseq = self.cseq.wrapping_add(1);
        self.request_numbered(method, self.cseq)
    }

    /// ACK has the number of its INVITE (section 13.2.2.4).
    pub(super) fn request_numbered(&self, method: Method, cseq: u32) -> Request {
        let (uri, routes) = self.path();
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        for route in routes {
            headers.push("Route", route);
        }
        headers.push("Max-Forwards", "70");
        headers.push("From", self.local.clone());
        headers.push("To", self.remote.clone());
        headers.push("Call-ID", self.call_id.clone());
        headers.push("CSeq", format!("{cseq} {}", request.method));
        if !matches!(request.method, Method::Bye | Method::Cancel | Method::Prack) {
            headers.push("Contact", self.contact.clone());
        }
        request
    }

    /// The request URI and the routes: a strict router of RFC 2543 is put into the request URI.
    fn path(&self) -> (String, Vec<String>) {
        let first = self.routes.first().and_then(|route| Address::parse(route));
        match first {
            Some(first) if first.uri().is_some_and(|uri| uri.parameter("lr").is_none()) => {
                let target = format!("<{}>", self.target);
                (first.uri, self.routes.iter().skip(1).cloned().chain([target]).collect())
            }
            _ => (self.target.clone(), self.routes.clone()),
        }
    }

    /// Where its next request is sent (section 8.1.2): to the first route, or else to the peer's end. A stream is used again
    /// (RFC 5923); and a phone behind NAT, whose `Contact` leads nowhere, is reached where its messages come from. So is
    /// everybody who isn't to be followed, with a new stream to nowhere but the same address: they could have us connect to
    /// whomever they name.
    pub(super) fn next_hop(&self) -> Target {
        let hop = match self.routes.first() {
            Some(route) => Address::parse(route).and_then(|address| address.uri()),
            None => Uri::parse(&self.target).ok(),
        };
        if let Some(source) = self.source {
            let is_behind_nat = self.routes.is_empty()
                && hop.as_ref().and_then(Uri::ip).is_some_and(|ip| is_private(ip) && ip != source.ip());
            if self.transport != Transport::Udp || is_behind_nat || !self.is_followed {
                let spare = hop
                    .as_ref()
                    .filter(|hop| self.is_followed || hop.ip() == Some(source.ip()))
                    .map(|hop| Target::of_uri(hop, self.transport))
                    .filter(|spare| self.is_followed || spare.transport() == self.transport)
                    .map(Box::new);
                return Target::Flow { transport: self.transport, address: source, spare };
            }
        }
        match hop {
            Some(hop) => Target::of_uri(&hop, self.transport),
            None => match self.source {
                Some(address) => Target::Flow { transport: self.transport, address, spare: None },
                None => Target::Host { transport: self.transport, host: String::new(), port: None },
            },
        }
    }
}

impl Target {
    /// Where an address leads (RFC 3263, section 4.1): its `transport`, or TLS for `sips:`, or what is used anyway.
    pub(super) fn of_uri(uri: &Uri, fallback: Transport) -> Target {
        let transport = match uri.parameter("transport").map(str::to_ascii_lowercase).as_deref() {
            _ if uri.scheme == Scheme::Sips => Transport::Tls,
            Some("tcp") => Transport::Tcp,
            Some("tls") => Transport::Tls,
            Some("udp") => Transport::Udp,
            _ => fallback,
        };
        let host = uri.parameter("maddr").unwrap_or(&uri.host);
        Target::Host { transport, host: host.to_owned(), port: uri.port }
    }
}

/// Addresses that mean something else elsewhere (RFC 1918, RFC 6598, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            ip.segments()[0] & 0xfe00 == 0xfc00 || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}
