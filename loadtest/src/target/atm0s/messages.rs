//! atm0s-media-server's request to connect and its answer: Protocol Buffers.
//!
//! Names and numbers are those of `sdk/gateway.proto`, `sdk/session.proto`, `sdk/features.mixer.proto` and
//! `shared.proto` (github.com/8xFF/atm0s-media-server). Kept by hand: the published crate is of an older version, and
//! has the server's dependencies.

use crate::target::JoinRequest;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConnectRequest {
    /// Of the client.
    #[prost(string, tag = "2")]
    version: String,
    #[prost(message, optional, tag = "3")]
    join: Option<RoomJoin>,
    #[prost(message, optional, tag = "4")]
    tracks: Option<Tracks>,
    #[prost(string, tag = "5")]
    sdp: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConnectResponse {
    #[prost(string, tag = "2")]
    pub(super) sdp: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoomJoin {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(string, tag = "2")]
    peer: String,
    #[prost(message, optional, tag = "3")]
    publish: Option<Publish>,
    #[prost(message, optional, tag = "4")]
    subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "5")]
    features: Option<Features>,
}

/// What the others may learn.
#[derive(Clone, PartialEq, prost::Message)]
struct Publish {
    #[prost(bool, tag = "1")]
    peer: bool,
    #[prost(bool, tag = "2")]
    tracks: bool,
}

/// What is told of the others; nothing, and the mixer works all the same.
#[derive(Clone, PartialEq, prost::Message)]
struct Subscribe {}

#[derive(Clone, PartialEq, prost::Message)]
struct Features {
    #[prost(message, optional, tag = "1")]
    mixer: Option<Mixer>,
}

/// The mode, which stands at 0, is `AUTO`: whoever publishes audio is a candidate.
#[derive(Clone, PartialEq, prost::Message)]
struct Mixer {
    /// Names of receivers.
    #[prost(string, repeated, tag = "2")]
    outputs: Vec<String>,
}

/// In the order of the offer's m-lines.
#[derive(Clone, PartialEq, prost::Message)]
struct Tracks {
    #[prost(message, repeated, tag = "1")]
    receivers: Vec<Receiver>,
    #[prost(message, repeated, tag = "2")]
    senders: Vec<Sender>,
}

/// The kind, which stands at 0, is audio.
#[derive(Clone, PartialEq, prost::Message)]
struct Receiver {
    #[prost(string, tag = "2")]
    name: String,
}

/// The kind, which stands at 0, is audio.
#[derive(Clone, PartialEq, prost::Message)]
struct Sender {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, optional, tag = "3")]
    state: Option<SenderState>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SenderState {
    #[prost(message, optional, tag = "1")]
    config: Option<SenderConfig>,
    /// Without one, nothing is published yet.
    #[prost(message, optional, tag = "2")]
    source: Option<SenderSource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SenderConfig {
    #[prost(uint32, tag = "1")]
    priority: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SenderSource {
    #[prost(string, tag = "1")]
    id: String,
}

impl ConnectRequest {
    /// For an offer of one m-line to send on and `outputs` to hear the mixer's picks on.
    pub(super) fn new(request: &JoinRequest, sdp: String, outputs: u8) -> Self {
        let outputs: Vec<_> = (0..outputs).map(|number| format!("voice_{number}")).collect();
        let receivers = outputs.iter().map(|name| Receiver { name: name.clone() }).collect();
        let source = request.speaks.then(|| SenderSource { id: "microphone".to_owned() });
        let state = SenderState { config: Some(SenderConfig { priority: 1 }), source };
        let sender = Sender { name: "microphone".to_owned(), state: Some(state) };
        let join = RoomJoin {
            room: request.room.clone(),
            peer: request.name.clone(),
            publish: Some(Publish { peer: true, tracks: true }),
            subscribe: Some(Subscribe {}),
            features: Some(Features { mixer: Some(Mixer { outputs }) }),
        };
        ConnectRequest {
            version: concat!("tercet-loadtest@", env!("CARGO_PKG_VERSION")).to_owned(),
            join: Some(join),
            tracks: Some(Tracks { receivers, senders: vec![sender] }),
            sdp,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn request(speaks: bool) -> ConnectRequest {
        let server = "http://127.0.0.1:3000".parse().unwrap();
        let (room, name) = ("lounge".to_owned(), "ada".to_owned());
        let request =
            JoinRequest { server, secret: None, room, name, speaks, video: None, is_standard: false };
        ConnectRequest::new(&request, "v=0".to_owned(), 3)
    }

    #[test]
    fn each_output_of_the_mixer_is_a_receiver() {
        let read = ConnectRequest::decode(request(true).encode_to_vec().as_slice()).unwrap();
        let mixer = read.join.unwrap().features.unwrap().mixer.unwrap();
        let receivers = read.tracks.unwrap().receivers;
        assert_eq!(mixer.outputs.len(), 3);
        assert!(receivers.iter().map(|receiver| &receiver.name).eq(&mixer.outputs));
    }

    #[test]
    fn a_listener_announces_no_source() {
        let source = |speaks| {
            let sender = request(speaks).tracks.unwrap().senders.remove(0);
            sender.state.unwrap().source
        };
        assert!(source(true).is_some());
        assert_eq!(source(false), None);
    }

    #[test]
    fn an_answer_is_read_with_the_numbers_of_the_protocol() {
        // conn_id (1), sdp (2), ice_lite (3).
        let bytes = [1 << 3 | 2, 1, b'c', 2 << 3 | 2, 3, b'v', b'=', b'0', 3 << 3, 1];
        assert_eq!(ConnectResponse::decode(bytes.as_slice()).unwrap().sdp, "v=0");
    }
}
