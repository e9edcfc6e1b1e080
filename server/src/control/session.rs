//! One attachment of a participant, and the socket through which its client is reached.

use std::sync::Arc;
use std::time::Instant;

use selector::SourceId;
use subtle::ConstantTimeEq;
use tercet_core::{EndpointId, NodeId, ParticipantId, RoomId, SessionId, SourceLayers};
use tercet_protocol::{ErrorCode, ProtocolError, Role, ServerMessage, SlotMid, Transport};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Attached;
use super::listening::Wishes;
use crate::media::WorkerId;

/// What goes out to a client's WebSocket.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    /// A message, serialized once for all who get it.
    Text(Utf8Bytes),
    /// Close the WebSocket with this code (RFC 6455, section 7.4).
    Close(u16),
    /// Media flows, or has stopped: told only to those who serve a client over HTTP, and end its session by that.
    Media(bool),
    /// What there is of those whom its video slots show, slot by slot: told only to those who serve a client over HTTP, and follow it.
    Layers(Vec<Option<SourceLayers>>),
}

/// The sending side of a client's WebSocket: bounded. A client that doesn't read loses its
/// socket, not its session. A place in the queue is kept for each of 32 messages, so it is no larger than a pointer.
pub(crate) type Socket = mpsc::Sender<Arc<Outgoing>>;

/// A message as it goes over the wire.
pub(crate) fn text(message: &ServerMessage) -> Utf8Bytes {
    let json = serde_json::to_string(message).expect("protocol messages have string keys only");
    Utf8Bytes::from(json)
}

/// A refusal, counted by its code.
pub(crate) fn protocol_error(
    re: Option<u32>,
    code: ErrorCode,
    message: impl Into<String>,
    fatal: bool,
) -> ProtocolError {
    metrics::counter!("tercet_refusals_total", "code" => code.as_str()).increment(1);
    ProtocolError { re, code, message: message.into(), fatal, retry_after_ms: None }
}

/// One attachment of a participant; survives a reconnect.
pub(super) struct Session {
    pub(super) id: SessionId,
    secret: String,
    /// The secret that the client has shown, until it has shown that it got the new one.
    former_secret: Option<String>,
    pub(super) participant: ParticipantId,
    pub(super) room: RoomId,
    pub(super) transport: Transport,
    /// Its voice.
    pub(super) source: SourceId,
    pub(super) endpoint: EndpointId,
    pub(super) worker: WorkerId,
    pub(super) may_send_data: bool,
    pub(super) joined_at: Instant,
    /// What the participant may do, as their token says.
    pub(super) token_role: Role,
    /// Whether its client was told that it may have somebody called.
    pub(super) may_dial: bool,
    /// They are what they were on a node that is gone.
    pub(super) was_restored: bool,
    /// The participant is on another node by now; this session ends then, or when its client leaves it.
    pub(super) ends_at: Option<Instant>,
    /// The m-lines of its slots, once an offer was answered.
    pub(super) slot_mids: Vec<String>,
    /// Who its client was last told to be in its slots.
    pub(super) slots_told: Vec<Option<SourceId>>,
    /// Its video slots, and their m-lines.
    pub(super) video_mids: Vec<SlotMid>,
    /// What these show, one by one, as its client was told.
    pub(super) video_told: Vec<Option<SourceId>>,
    /// Whom its client wants to watch, those in the first slots first.
    pub(super) watches: Vec<ParticipantId>,
    /// Whom its client wants to hear, if it chose.
    pub(super) wishes: Option<Wishes>,
    /// Who is in its slots then.
    pub(super) view: Option<Vec<Option<SourceId>>>,
    /// Whether its media arrives, as far as the media plane has said.
    pub(super) media_flows: bool,
    attachment: u64,
    socket: Option<Socket>,
    detached_at: Option<Instant>,
}

/// What a session is made of.
pub(super) struct NewSession {
    pub(super) participant: ParticipantId,
    pub(super) room: RoomId,
    pub(super) transport: Transport,
    pub(super) source: SourceId,
    pub(super) endpoint: EndpointId,
    pub(super) worker: WorkerId,
    pub(super) may_send_data: bool,
    pub(super) joined_at: Instant,
    pub(super) token_role: Role,
    /// The node that it is on, in a cluster.
    pub(super) node: Option<NodeId>,
    pub(super) socket: Socket,
}

impl Session {
    pub(super) fn new(new: NewSession) -> Session {
        Session {
            id: new
                .node
                .map_or_else(|| SessionId(rand::random()), |node| SessionId::on_node(node, rand::random())),
            secret: new_secret(),
            former_secret: None,
            participant: new.participant,
            room: new.room,
            transport: new.transport,
            source: new.source,
            endpoint: new.endpoint,
            worker: new.worker,
            may_send_data: new.may_send_data,
            joined_at: new.joined_at,
            token_role: new.token_role,
            may_dial: false,
            was_restored: false,
            ends_at: None,
            slot_mids: Vec::new(),
            slots_told: Vec::new(),
            video_mids: Vec::new(),
            video_told: Vec::new(),
            watches: Vec::new(),
            wishes: None,
            view: None,
            media_flows: false,
            attachment: 0,
            socket: Some(new.socket),
            detached_at: None,
        }
    }

    /// The session with the socket that it has now.
    pub(super) fn attached(&self) -> Attached {
        Attached { endpoint: self.endpoint, session: self.id, attachment: self.attachment }
    }

    /// What the client has to show to come back.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Compares in a time that tells nothing about the secret.
    pub(super) fn secret_is(&self, shown: &str) -> bool {
        let is = |secret: &String| bool::from(secret.as_bytes().ct_eq(shown.as_bytes()));
        is(&self.secret) | self.former_secret.as_ref().is_some_and(is)
    }

    /// Another socket takes over; returns the former one. The secret that was shown has served, but
    /// holds until the client is heard: the reply that brings the new one may be lost.
    pub(super) fn attach(&mut self, socket: Socket, shown: &str) -> Option<Socket> {
        self.attachment += 1;
        self.secret = new_secret();
        self.former_secret = Some(shown.to_owned());
        self.detached_at = None;
        self.socket.replace(socket)
    }

    /// The client was heard on its socket, so it has the secret that came over it.
    pub(super) fn heard(&mut self) {
        self.former_secret = None;
    }

    /// The socket is gone, or given up: it speaks for the session no more.
    pub(super) fn detach(&mut self, now: Instant) {
        self.attachment += 1;
        self.socket = None;
        self.detached_at = Some(now);
    }

    /// Since when there is no socket.
    pub(super) fn detached_at(&self) -> Option<Instant> {
        self.detached_at
    }

    /// Sends to the client. A client that doesn't read loses its socket.
    pub(super) fn send(&mut self, now: Instant, outgoing: impl Into<Arc<Outgoing>>) {
        let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.try_send(outgoing.into())) else {
            return;
        };
        if matches!(error, TrySendError::Full(_)) {
            metrics::counter!("tercet_slow_sockets_total").increment(1);
        }
        self.detach(now);
    }
}

fn new_secret() -> String {
    let words: [u128; 2] = rand::random();
    format!("{:032x}{:032x}", words[0], words[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(socket: Socket) -> Session {
        Session::new(NewSession {
            participant: "ada".into(),
            room: "r".into(),
            transport: Transport::Webrtc,
            source: SourceId(1),
            endpoint: EndpointId(1),
            worker: WorkerId(0),
            may_send_data: true,
            joined_at: Instant::now(),
            token_role: Role::Speaker,
            node: None,
            socket,
        })
    }

    #[test]
    fn a_secret_serves_until_the_client_has_the_next() {
        let (socket, _outbox) = mpsc::channel(1);
        let mut session = session(socket.clone());
        let secret = session.secret().to_owned();
        let before = session.attached();
        assert!(session.secret_is(&secret) && !session.secret_is("") && !session.secret_is(&secret[1..]));
        for _ in 0..3 {
            session.attach(socket.clone(), &secret);
            assert!(session.secret_is(&secret), "the reply may have been lost");
        }
        session.heard();
        assert!(!session.secret_is(&secret) && session.secret_is(session.secret()));
        assert_ne!(session.attached(), before);
    }

    #[test]
    fn a_client_that_does_not_read_loses_its_socket() {
        let (socket, _outbox) = mpsc::channel(2);
        let mut session = session(socket);
        let now = Instant::now();
        for _ in 0..2 {
            session.send(now, Outgoing::Close(1000));
            assert_eq!(session.detached_at(), None);
        }
        session.send(now, Outgoing::Close(1000));
        assert_eq!(session.detached_at(), Some(now));
    }
}
