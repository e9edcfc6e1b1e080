//! STUN messages that no client sends.

/// A STUN message (RFC 8489, section 5) with these attributes.
pub(crate) fn stun(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (attribute, value) in attributes {
        body.extend(attribute.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    stun_of(kind, body.len() as u16, &body)
}

pub(crate) fn stun_of(kind: u16, length: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(kind.to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([7; 12]);
    message.extend_from_slice(body);
    message
}

/// A binding request as ICE has it (RFC 8445, section 7.2.2), with an integrity that proves nothing.
pub(crate) fn unproven_request(local_ufrag: &str, remote_ufrag: &str) -> Vec<u8> {
    const USERNAME: u16 = 0x0006;
    const MESSAGE_INTEGRITY: u16 = 0x0008;
    const PRIORITY: u16 = 0x0024;
    const USE_CANDIDATE: u16 = 0x0025;
    const ICE_CONTROLLING: u16 = 0x802a;
    let username = format!("{local_ufrag}:{remote_ufrag}");
    stun(
        0x0001,
        &[
            (USERNAME, username.as_bytes()),
            (PRIORITY, &[0x6e, 0, 0x1e, 0xff]),
            (USE_CANDIDATE, &[]),
            (ICE_CONTROLLING, &[1; 8]),
            (MESSAGE_INTEGRITY, &[0xab; 20]),
        ],
    )
}
