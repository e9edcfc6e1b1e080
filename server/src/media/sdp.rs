//! str0m's answer in; the answer that clients get out.

/// str0m's answer, as clients want it.
///
/// The payload types of each m-line stand in the order of the offer. str0m puts redundant audio first, and
/// the first one is what a browser sends; whether to double its bitrate is the client's choice
/// (RFC 3264, section 6.1: the order is the preference).
///
/// Every m-line names all candidates and that there are no more (RFC 8840, section 4.2). str0m
/// names them on the first line of the bundle, which is all that RFC 8843 asks for; aiortc looks on the last.
pub(super) fn polished(offer: &str, answer: &str) -> String {
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    let mut offered = offer.lines().filter(|line| line.starts_with("m="));
    let mut polished = String::with_capacity(answer.len() * 2);
    let mut push = |line: &str| {
        polished.push_str(line);
        polished.push_str("\r\n");
    };
    for line in answer.lines() {
        let preference = line.starts_with("m=").then(|| offered.next()).flatten();
        match preference.filter(|_| line.starts_with("m=audio ")) {
            Some(preference) => push(&media_line_ordered_by(preference, line)),
            None if line.starts_with("a=candidate:") => {}
            None => push(line),
        }
        // The connection line is the first of each m-line's own.
        if line.starts_with("c=") {
            candidates.iter().for_each(|candidate| push(candidate));
            push("a=end-of-candidates");
        }
    }
    polished
}

/// `m=audio PORT PROTOCOL PT PT ...` (RFC 8866, section 5.14), payload types ordered as in another one.
fn media_line_ordered_by(preference: &str, line: &str) -> String {
    const FIXED_FIELDS: usize = 3;
    let preferred: Vec<&str> = preference.split_whitespace().skip(FIXED_FIELDS).collect();
    let rank = |pt: &&str| preferred.iter().position(|other| other == pt).unwrap_or(usize::MAX);
    let mut fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() > FIXED_FIELDS {
        fields[FIXED_FIELDS..].sort_by_key(rank);
    }
    fields.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\nc=IN IP4 0.0.0.0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
    const ANSWER: &str = "v=0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=mid:0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n";

    #[test]
    fn the_clients_order_of_payload_types_is_kept() {
        assert!(polished(OFFER, ANSWER).contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"));
        let red_first = OFFER.replace("111 63 9", "63 111 9");
        assert!(polished(&red_first, ANSWER).contains("m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"));
    }

    #[test]
    fn every_media_line_names_all_candidates_once() {
        let polished = polished(OFFER, ANSWER);
        for section in polished.split("m=").skip(1) {
            assert_eq!(section.matches("a=candidate:1 1 udp").count(), 1, "{section}");
            assert_eq!(section.matches("a=end-of-candidates").count(), 1, "{section}");
        }
        assert!(polished.contains("webrtc-datachannel\r\n") && polished.ends_with("a=mid:1\r\n"));
    }
}
