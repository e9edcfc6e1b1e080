//! Messages of SIP (RFC 3261, section 7): bytes in, requests and responses by their parts out, and back.
//!
//! Header names are kept in their long form, values as they came: [`Headers::get`] for those that are there once,
//! [`Headers::list`] for those that are lists.

mod address;
mod parse;
mod uri;

use std::fmt;

pub(crate) use address::{Address, parameter, pieces, split_list};
pub(crate) use parse::{Fault, Framing, find, parse};
pub(crate) use uri::{Scheme, Uri, escape_user, split_port, unescape};

/// What a request asks for. Names are in upper case, and in no other (RFC 3261, section 7.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
    Other(String),
}

/// All names.
const METHODS: [(&str, Method); 14] = [
    ("ACK", Method::Ack),
    ("BYE", Method::Bye),
    ("CANCEL", Method::Cancel),
    ("INFO", Method::Info),
    ("INVITE", Method::Invite),
    ("MESSAGE", Method::Message),
    ("NOTIFY", Method::Notify),
    ("OPTIONS", Method::Options),
    ("PRACK", Method::Prack),
    ("PUBLISH", Method::Publish),
    ("REFER", Method::Refer),
    ("REGISTER", Method::Register),
    ("SUBSCRIBE", Method::Subscribe),
    ("UPDATE", Method::Update),
];

impl Method {
    pub(crate) fn named(name: &str) -> Method {
        let known = METHODS.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Method::Other(name.to_owned()), |(_, method)| method)
    }

    pub(crate) fn name(&self) -> &str {
        if let Method::Other(name) = self {
            return name;
        }
        METHODS.iter().find(|(_, method)| method == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Header fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All of that name, in their order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of that name, whether they stand in one field or in several (RFC 3261, section 7.3.1).
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.all(name).flat_map(split_list).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Whether a list of tokens has this one.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|value| value.eq_ignore_ascii_case(token))
    }

    pub(crate) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Replaces all of that name, in the place of the first.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let at = self.0.iter().position(|(of, _)| of.eq_ignore_ascii_case(name));
        self.0.retain(|(of, _)| !of.eq_ignore_ascii_case(name));
        self.0.insert(at.unwrap_or(self.0.len()), (name.to_owned(), value.into()));
    }

    /// Replaces the first of that name.
    pub(crate) fn set_first(&mut self, name: &str, value: impl Into<String>) {
        if let Some((_, first)) = self.0.iter_mut().find(|(of, _)| of.eq_ignore_ascii_case(name)) {
            *first = value.into();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number and method of `CSeq`.
    pub(crate) fn cseq(&self) -> Option<(u32, Method)> {
        let (number, method) = self.get("CSeq")?.split_once(|c: char| c.is_ascii_whitespace())?;
        Some((number.parse().ok()?, Method::named(method.trim())))
    }

    /// A parameter of `From` or `To`, of which only the tag is of use.
    pub(crate) fn tag_of(&self, name: &str) -> Option<String> {
        Address::parse(self.get(name)?)?.parameter("tag").map(str::to_owned)
    }

    /// What kind of body it is, in lower case and without parameters.
    pub(crate) fn content_type(&self) -> Option<String> {
        Some(self.get("Content-Type")?.split(';').next()?.trim().to_ascii_lowercase())
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// What somebody says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// Either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request(Request),
    Response(Response),
}

impl Request {
    pub(crate) fn new(method: Method, uri: impl Into<String>) -> Request {
        Request { method, uri: uri.into(), headers: Headers::default(), body: Vec::new() }
    }

    pub(crate) fn set_body(&mut self, content_type: &str, body: impl Into<Vec<u8>>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&format!("{} {} SIP/2.0", self.method, self.uri), &self.headers, &self.body)
    }
}

impl Response {
    /// What every response to `request` has (RFC 3261, section 8.2.6.2). A `To` without a tag gets this one, unless the
    /// response is 100.
    pub(crate) fn to(request: &Request, status: u16, tag: &str) -> Response {
        let mut headers = Headers::default();
        for (name, value) in request.headers.iter() {
            let is_copied = ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name)
                || (name == "Timestamp" && status == 100)
                || (name == "Record-Route" && (101..300).contains(&status));
            if !is_copied {
                continue;
            }
            let needs_tag = name == "To"
                && status > 100
                && Address::parse(value).is_none_or(|to| to.parameter("tag").is_none());
            headers.push(name, if needs_tag { format!("{value};tag={tag}") } else { value.to_owned() });
        }
        Response { status, reason: reason_of(status).to_owned(), headers, body: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Response {
        self.headers.push(name, value);
        self
    }

    pub(crate) fn set_body(&mut self, content_type: &str, body: impl Into<Vec<u8>>) {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
    }

    pub(crate) fn is_final(&self) -> bool {
        self.status >= 200
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        to_bytes(&format!("SIP/2.0 {} {}", self.status, self.reason), &self.headers, &self.body)
    }
}

impl Message {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

fn to_bytes(start: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{start}\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length")) {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The phrases of RFC 3261, section 21, and of the RFCs that added to them.
pub(crate) fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
