//! What a request carries: its session description, and whether one of ours can be carried back.

use super::super::message::{Headers, Request, parameter};

/// Whether whoever sent this reads session descriptions (RFC 3261, section 20.1): who says nothing of it does, and who accepts
/// nothing doesn't.
pub(super) fn takes_descriptions(headers: &Headers) -> bool {
    let kind = |range: &str| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    headers.get("Accept").is_none()
        || headers
            .list("Accept")
            .any(|range| ["application/sdp", "application/*", "*/*"].contains(&&*kind(range)))
}

/// The session description of a request, if it has one. It may be one part of several (RFC 5621, section 3.1): trunks like
/// to put something of ISUP beside it.
///
/// # Errors
/// 415: something else, or in a form that we can't read.
pub(super) fn offer_in(request: &Request) -> Result<Option<String>, u16> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let encoding = request.headers.get("Content-Encoding").unwrap_or("identity");
    let body = std::str::from_utf8(&request.body).map_err(|_| 415_u16)?;
    match request.headers.content_type().as_deref() {
        _ if !encoding.eq_ignore_ascii_case("identity") => Err(415),
        Some("application/sdp") => Ok(Some(body.to_owned())),
        Some(kind) if kind.starts_with("multipart/") => part_in(request, body).map(Some).ok_or(415),
        // "If a body is not understood and is optional, ignore it" (section 8.2.3).
        _ if request
            .headers
            .get("Content-Disposition")
            .is_some_and(|how| how.contains("handling=optional")) =>
        {
            Ok(None)
        }
        _ => Err(415),
    }
}

fn part_in(request: &Request, body: &str) -> Option<String> {
    let content_type = request.headers.get("Content-Type")?;
    let (_, parameters) = content_type.split_at(content_type.find(';')?);
    let boundary = format!("--{}", parameter(parameters, "boundary")?);
    body.split(boundary.as_str()).find_map(|part| {
        let (head, body) = part.trim_start_matches("\r\n").split_once("\r\n\r\n")?;
        let is_sdp = head.lines().any(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let kind = value.split(';').next().unwrap_or_default().trim();
            name.trim().eq_ignore_ascii_case("Content-Type") && kind.eq_ignore_ascii_case("application/sdp")
        });
        is_sdp.then(|| body.trim_end_matches("\r\n").to_owned() + "\r\n")
    })
}
