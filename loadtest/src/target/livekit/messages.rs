//! LiveKit's signalling messages, as far as a load tester needs them: Protocol Buffers in and out.
//!
//! Names and numbers are those of `livekit_rtc.proto` and `livekit_models.proto` (github.com/livekit/protocol).
//! Kept by hand: these are a dozen of some three hundred messages, and a decoder skips the fields that it doesn't
//! know. The published crate has 100,000 generated lines, which every build of the tester would compile.

/// What a client sends.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SignalRequest {
    #[prost(oneof = "Request", tags = "1, 2, 3, 4, 8, 16")]
    pub(super) message: Option<Request>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// Of the publishing connection.
    #[prost(message, tag = "1")]
    Offer(SessionDescription),
    /// To the server's offer of the subscribing connection.
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    #[prost(message, tag = "3")]
    Trickle(Trickle),
    #[prost(message, tag = "4")]
    AddTrack(AddTrack),
    #[prost(message, tag = "8")]
    Leave(Leave),
    #[prost(message, tag = "16")]
    Ping(Ping),
}

/// What the server sends.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SignalResponse {
    /// `None` for a message that a tester has no use for.
    #[prost(oneof = "Response", tags = "1, 2, 3, 4, 6, 8")]
    pub(super) message: Option<Response>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Response {
    #[prost(message, tag = "1")]
    Join(Join),
    /// To the offer of the publishing connection.
    #[prost(message, tag = "2")]
    Answer(SessionDescription),
    /// Of the subscribing connection.
    #[prost(message, tag = "3")]
    Offer(SessionDescription),
    #[prost(message, tag = "4")]
    Trickle(Trickle),
    #[prost(message, tag = "6")]
    TrackPublished(TrackPublished),
    #[prost(message, tag = "8")]
    Leave(Leave),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionDescription {
    /// `offer` or `answer`.
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) sdp: String,
    /// An answer repeats its offer's.
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
}

impl SessionDescription {
    pub(super) fn offer(sdp: String) -> Self {
        SessionDescription { kind: "offer".to_owned(), sdp, id: 1 }
    }

    /// To the offer with that id.
    pub(super) fn answer(id: u32, sdp: String) -> Self {
        SessionDescription { kind: "answer".to_owned(), sdp, id }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Trickle {
    /// JSON, an `RTCIceCandidateInit`.
    #[prost(string, tag = "1")]
    pub(super) candidate_init: String,
    #[prost(enumeration = "SignalTarget", tag = "2")]
    pub(super) target: i32,
}

/// Which of a participant's two connections is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum SignalTarget {
    Publisher = 0,
    Subscriber = 1,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AddTrack {
    /// The track's id in the publisher's SDP.
    #[prost(string, tag = "1")]
    pub(super) cid: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    /// 0 is audio.
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    /// 2 is a microphone.
    #[prost(int32, tag = "8")]
    pub(super) source: i32,
    #[prost(bool, tag = "13")]
    pub(super) disable_red: bool,
}

impl AddTrack {
    /// An audio track of a microphone, without RED.
    pub(super) fn microphone(cid: &str) -> Self {
        AddTrack { cid: cid.to_owned(), name: cid.to_owned(), kind: 0, source: 2, disable_red: true }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TrackPublished {
    #[prost(string, tag = "1")]
    pub(super) cid: String,
}

/// The server ends the session, or the client does.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Leave {
    /// A `DisconnectReason`.
    #[prost(int32, tag = "2")]
    pub(super) reason: i32,
}

impl Leave {
    /// `CLIENT_INITIATED`.
    pub(super) fn by_client() -> Self {
        Leave { reason: 1 }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Ping {
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub(super) timestamp: i64,
    #[prost(int64, tag = "2")]
    pub(super) rtt: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Join {
    /// Whether the server offers the subscribing connection at once.
    #[prost(bool, tag = "6")]
    pub(super) subscriber_primary: bool,
    /// Seconds between pings.
    #[prost(int32, tag = "11")]
    pub(super) ping_interval: i32,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_request_has_the_numbers_of_the_protocol() {
        let answer = Request::Answer(SessionDescription::answer(7, "v=0".to_owned()));
        let bytes = SignalRequest { message: Some(answer) }.encode_to_vec();
        // Field 2 with 15 octets; in it fields 1 and 2, texts, and field 3, a number.
        let mut expected = vec![2 << 3 | 2, 15, 1 << 3 | 2, 6];
        expected.extend_from_slice(b"answer");
        expected.extend_from_slice(&[2 << 3 | 2, 3]);
        expected.extend_from_slice(b"v=0");
        expected.extend_from_slice(&[3 << 3, 7]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_response_is_read_and_what_is_unknown_in_it_skipped() {
        // `join` (1) with an unknown message (1), subscriber_primary (6) and ping_interval (11).
        let join = [1 << 3 | 2, 2, 0xaa, 0xbb, 6 << 3, 1, 11 << 3, 5];
        let mut bytes = vec![1 << 3 | 2, join.len() as u8];
        bytes.extend_from_slice(&join);
        let expected = Join { subscriber_primary: true, ping_interval: 5 };
        let response = SignalResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(response.message, Some(Response::Join(expected)));

        // `speakers_changed` (10) is nothing that a tester looks at.
        let other = SignalResponse::decode([10 << 3 | 2, 0].as_slice()).unwrap();
        assert_eq!(other.message, None);
    }

    #[test]
    fn a_cut_response_is_an_error() {
        assert!(SignalResponse::decode([1 << 3 | 2, 9, 1].as_slice()).is_err());
    }
}
