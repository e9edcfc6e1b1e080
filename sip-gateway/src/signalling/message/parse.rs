//! The strict parser: bytes of one message in, the message out, or what to do about it instead.
//!
//! It stands before everything else, so that whatever is behind it sees sound messages only. Every header that routing,
//! matching or dialogs hang on is looked at; of others only the form. RFC 4475 is its test (`tests/torture.rs`).

use super::address::{are_parameters, is_token_char};
use super::uri::{UriError, split_port};
use super::{Address, Headers, Message, Method, Request, Response, Uri, split_list};

/// More headers than any sane message has.
const HEADERS_MAX: usize = 256;

/// Sequence numbers are less than 2^31 (RFC 3261, section 8.1.1.5).
const CSEQ_MAX: u32 = i32::MAX as u32;

/// Where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// With its datagram; what comes after its body is none of it (RFC 3261, section 18.3).
    Datagram,
    /// Where `Content-Length` says.
    Stream,
}

/// What to do about bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: there is nobody to answer, or it is a response or an ACK, which aren't answered.
    Silent,
    /// Send this back to where it came from.
    Answer(Box<Response>),
}

/// Reads one message.
pub(crate) fn parse(bytes: &[u8], framing: Framing) -> Result<Message, Fault> {
    let head_end = find(bytes, b"\r\n\r\n").ok_or(Fault::Silent)?;
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| Fault::Silent)?;
    let body = &bytes[head_end + 4..];
    let mut lines = unfold(head);
    let start = if lines.is_empty() { return Err(Fault::Silent) } else { lines.remove(0) };
    let (mut headers, broken_line) = read_headers(&lines);
    tidy(&mut headers);
    if let Some(rest) = start.strip_prefix("SIP/2.0 ") {
        return read_response(rest, headers, body, broken_line, framing).ok_or(Fault::Silent);
    }
    let mut request = read_request_line(&start, headers)?;
    let checked = if broken_line { Err(Reject::bad("header")) } else { check_request(&request) };
    let length = checked.and_then(|()| body_length(&request.headers, body, framing));
    match length {
        Ok(length) => {
            request.body = body[..length].to_vec();
            Ok(Message::Request(request))
        }
        Err(reject) => Err(fault(&request, &reject)),
    }
}

/// Why a request isn't let in.
struct Reject {
    status: u16,
    /// What is wrong with it, for the peer's log.
    what: &'static str,
}

impl Reject {
    fn bad(what: &'static str) -> Reject {
        Reject { status: 400, what }
    }
}

fn fault(request: &Request, reject: &Reject) -> Fault {
    // Nobody waits for a response to an ACK (RFC 3261, section 17.1.1.3), and without Via there is no way back.
    if request.method == Method::Ack || request.headers.get("Via").is_none() {
        return Fault::Silent;
    }
    let mut response = Response::to(request, reject.status, "0");
    response.reason = format!("{}: {}", response.reason, reject.what);
    Fault::Answer(Box::new(response))
}

fn unfold(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match lines.last_mut() {
            // "A line fold … is equivalent to a single SP" (RFC 3261, section 7.3.1).
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// All that can be read, and whether there was one that can't.
fn read_headers(lines: &[String]) -> (Headers, bool) {
    let mut headers = Headers::default();
    let mut is_broken = lines.len() > HEADERS_MAX;
    for line in lines.iter().take(HEADERS_MAX) {
        let Some((name, value)) = line.split_once(':') else {
            is_broken = true;
            continue;
        };
        let name = name.trim_end_matches([' ', '\t']);
        if name.is_empty() || !name.chars().all(is_token_char) || value.contains(['\r', '\n', '\0']) {
            is_broken = true;
            continue;
        }
        headers.push(long_name(name), value.trim());
    }
    (headers, is_broken)
}

/// Takes the white space out of what transactions and dialogs are told by: `Via`, a value a field, and the tags.
fn tidy(headers: &mut Headers) {
    let mut tidied = Headers::default();
    for (name, value) in headers.iter() {
        match name {
            "Via" => split_list(value).for_each(|via| tidied.push(name, tidy_via(via))),
            "From" | "To" if value.contains([' ', '\t']) => match Address::parse(value) {
                Some(address) => {
                    let head = &value[..value.len() - address.parameters.len()];
                    tidied.push(name, format!("{}{}", head.trim_end(), squeeze(&address.parameters)));
                }
                None => tidied.push(name, value),
            },
            _ => tidied.push(name, value),
        }
    }
    *headers = tidied;
}

fn tidy_via(via: &str) -> String {
    let via = via.trim();
    let (sent, parameters) = via.find(';').map_or((via, ""), |at| via.split_at(at));
    let mut parts: Vec<&str> = sent.splitn(3, '/').map(str::trim).collect();
    let Some(last) = parts.pop() else { return via.to_owned() };
    // The transport, and after white space the host; there may be some around its colon too.
    let (transport, host) = last.split_once([' ', '\t']).unwrap_or((last, ""));
    let host: String = host.split_ascii_whitespace().collect();
    parts.push(transport);
    format!("{} {host}{}", parts.join("/"), squeeze(parameters))
}

/// `; name = value` without its white space.
fn squeeze(parameters: &str) -> String {
    let mut squeezed = String::with_capacity(parameters.len());
    let mut is_quoted = false;
    for c in parameters.chars() {
        is_quoted ^= c == '"';
        if is_quoted || !matches!(c, ' ' | '\t') {
            squeezed.push(c);
        }
    }
    squeezed
}

/// The long form of a compact name (RFC 3261, section 7.3.3), and the common spelling of a long one that is looked for by it.
fn long_name(name: &str) -> &str {
    const NAMES: [(&str, &str); 34] = [
        ("v", "Via"),
        ("f", "From"),
        ("t", "To"),
        ("i", "Call-ID"),
        ("m", "Contact"),
        ("l", "Content-Length"),
        ("c", "Content-Type"),
        ("e", "Content-Encoding"),
        ("k", "Supported"),
        ("s", "Subject"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("b", "Referred-By"),
        ("u", "Allow-Events"),
        ("x", "Session-Expires"),
        ("d", "Request-Disposition"),
        ("a", "Accept-Contact"),
        ("j", "Reject-Contact"),
        ("n", "Identity-Info"),
        ("y", "Identity"),
        ("via", "Via"),
        ("from", "From"),
        ("to", "To"),
        ("call-id", "Call-ID"),
        ("cseq", "CSeq"),
        ("contact", "Contact"),
        ("content-length", "Content-Length"),
        ("content-type", "Content-Type"),
        ("max-forwards", "Max-Forwards"),
        ("record-route", "Record-Route"),
        ("route", "Route"),
        ("timestamp", "Timestamp"),
        ("expires", "Expires"),
        ("require", "Require"),
    ];
    NAMES.into_iter().find(|(short, _)| short.eq_ignore_ascii_case(name)).map_or(name, |(_, long)| long)
}

fn read_response(
    rest: &str,
    headers: Headers,
    body: &[u8],
    broken_line: bool,
    framing: Framing,
) -> Option<Message> {
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let status: u16 = status.parse().ok().filter(|status| is_status && (100..700).contains(status))?;
    let is_sound = !broken_line && check_common(&headers).is_ok() && headers.cseq().is_some();
    let length = body_length(&headers, body, framing).ok().filter(|_| is_sound)?;
    let body = body[..length].to_vec();
    Some(Message::Response(Response { status, reason: reason.to_owned(), headers, body }))
}

/// `METHOD SP Request-URI SP SIP/2.0`, with single spaces (RFC 3261, section 7.1).
fn read_request_line(start: &str, headers: Headers) -> Result<Request, Fault> {
    let method = start.split([' ', '\t']).next().unwrap_or_default();
    if method.is_empty() || !method.chars().all(is_token_char) {
        return Err(Fault::Silent);
    }
    let mut request =
        Request { method: Method::named(method), uri: String::new(), headers, body: Vec::new() };
    let parts: Vec<&str> = start.split(' ').collect();
    let version = parts.last().copied().unwrap_or_default();
    if !start.contains("SIP/") {
        return Err(Fault::Silent);
    }
    let [_, uri, _] = parts[..] else { return Err(fault(&request, &Reject::bad("request line"))) };
    if version != "SIP/2.0" {
        let is_version = version.strip_prefix("SIP/").is_some_and(|number| {
            number.split_once('.').is_some_and(|(major, minor)| {
                [major, minor].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
            })
        });
        let reject = if is_version {
            Reject { status: 505, what: "2.0 is spoken here" }
        } else {
            Reject::bad("request line")
        };
        return Err(fault(&request, &reject));
    }
    request.uri = uri.to_owned();
    Ok(request)
}

fn check_request(request: &Request) -> Result<(), Reject> {
    match Uri::parse(&request.uri) {
        // Headers have no place there (RFC 3261, section 19.1.1).
        Ok(uri) if uri.headers.is_some() => return Err(Reject::bad("request URI")),
        // Somebody else knows what an unknown scheme stands for; we say 416 to it.
        Ok(_) | Err(UriError::Scheme) => {}
        Err(UriError::Malformed) => return Err(Reject::bad("request URI")),
    }
    let headers = &request.headers;
    check_common(headers)?;
    if headers.cseq().is_none_or(|(_, method)| method != request.method) {
        return Err(Reject::bad("CSeq"));
    }
    for name in ["Contact", "Route", "Record-Route"] {
        let is_star = name == "Contact" && headers.get(name) == Some("*");
        if !is_star && !headers.all(name).flat_map(split_list).all(|value| Address::parse(value).is_some()) {
            return Err(Reject::bad("Contact or route"));
        }
    }
    if headers.get("Max-Forwards").is_some_and(|hops| hops.parse::<u8>().is_err()) {
        return Err(Reject::bad("Max-Forwards"));
    }
    if headers.get("Expires").is_some_and(|expires| expires.parse::<u32>().is_err()) {
        return Err(Reject::bad("Expires"));
    }
    Ok(())
}

/// What requests and responses both need (RFC 3261, section 8.1.1).
fn check_common(headers: &Headers) -> Result<(), Reject> {
    for name in ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Expires", "Content-Length"]
    {
        if headers.all(name).count() > 1 {
            return Err(Reject::bad("a header that may be there once"));
        }
    }
    let mut vias = headers.all("Via").flat_map(split_list).peekable();
    if vias.peek().is_none() || !vias.all(is_via) {
        return Err(Reject::bad("Via"));
    }
    let from = headers.get("From").and_then(Address::parse).filter(is_party);
    // Without a tag it would be a client of RFC 2543, of which none has been seen for long.
    if from.is_none_or(|from| from.parameter("tag").is_none_or(str::is_empty)) {
        return Err(Reject::bad("From"));
    }
    if headers.get("To").and_then(Address::parse).filter(is_party).is_none() {
        return Err(Reject::bad("To"));
    }
    if headers.get("Call-ID").is_none_or(|id| id.is_empty() || id.contains([' ', '\t'])) {
        return Err(Reject::bad("Call-ID"));
    }
    match headers.cseq() {
        Some((number, _)) if number <= CSEQ_MAX => Ok(()),
        _ => Err(Reject::bad("CSeq")),
    }
}

/// An address of a scheme that we don't know may be anything.
fn is_party(address: &Address) -> bool {
    Uri::parse(&address.uri) != Err(UriError::Malformed)
}

/// `SIP/2.0/UDP host[:port];parameters` (RFC 3261, section 20.42).
fn is_via(value: &str) -> bool {
    let value = value.trim();
    let (sent, parameters) = value.find(';').map_or((value, ""), |at| value.split_at(at));
    // White space may stand around the slashes.
    let Some((protocol, rest)) = sent.split_once('/') else { return false };
    let Some((version, rest)) = rest.split_once('/') else { return false };
    let rest = rest.trim_start();
    let Some((transport, host)) = rest.split_once([' ', '\t']) else { return false };
    let host: String = host.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
    let is_branch = super::parameter(parameters, "branch").is_none_or(|branch| {
        // The cookie alone tells no transaction from another (RFC 4475, section 3.2.1).
        !branch.is_empty() && branch != "z9hG4bK"
    });
    protocol.trim() == "SIP"
        && version.trim() == "2.0"
        && !transport.is_empty()
        && transport.chars().all(is_token_char)
        && split_port(&host).is_some()
        && are_parameters(parameters.trim())
        && is_branch
}

/// How long the body is (RFC 3261, section 18.3).
fn body_length(headers: &Headers, body: &[u8], framing: Framing) -> Result<usize, Reject> {
    let Some(length) = headers.get("Content-Length") else {
        return match framing {
            Framing::Datagram => Ok(body.len()),
            Framing::Stream => Err(Reject::bad("Content-Length")),
        };
    };
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse::<usize>() {
        Ok(length) if is_number && length <= body.len() => Ok(length),
        _ => Err(Reject::bad("Content-Length")),
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
