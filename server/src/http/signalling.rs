//! The WebSocket of a client: text frames in, [`ControlInput`]s out, and messages back.
//!
//! This file parses, limits and keeps time; what a request means is the control plane's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::SinkExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tercet_core::{Allowance, NodeId};
use tercet_protocol::{
    ClientMessage, ErrorCode, MESSAGE_BYTES_MAX, ProtocolError, Request, ServerMessage, Transport, VERSION,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use tokio_tungstenite::tungstenite::error::ProtocolError as WsProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tracing::debug;

use super::demo::refuse;
use super::listener::Sender;
use super::routing::{self, Caller, FarSocket, Unreached};
use super::websocket::{self, WebSocket};
use super::{Node, Stop};
use crate::access::{AccessError, Claims, display_name};
use crate::cluster::Placement;
use crate::control::{
    Attached, CLOSE_GOING_AWAY, CLOSE_NORMAL, ControlInput, Outgoing, RETRY_AFTER, Socket, protocol_error,
    text,
};

/// Messages that wait for a client to read; one that lets more pile up loses its socket.
const OUTBOX_MAX: usize = 512;

/// Requests a client may send.
const REQUESTS_RATE_PER_S: u32 = 50;
const REQUESTS_BURST: u32 = 100;

/// Requests over the limit that are answered; whoever goes on after them, without a pause in which the
/// allowance fills up, is cut off.
const RATE_LIMITED_MAX: u32 = 1000;

/// How long a client may take to accept what is sent to it.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Nodes that a client is passed on to in turn, until one is reached.
const TRIED_MAX: usize = 2;

/// RFC 6455, section 7.4.1.
const CLOSE_POLICY: u16 = 1008;

/// WebSockets that have not joined yet: whoever has no token can't have more than these.
pub(super) const AT_THE_DOOR_MAX: usize = 1024;

/// What a client is reached through.
type ClientSocket = WebSocket<TokioIo<Upgraded>>;

pub(super) async fn upgrade(State(node): State<Node>, mut request: HttpRequest) -> Response {
    let (response, upgrade) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadMessage, &error.to_string()),
    };
    let caller = Caller::of(request.headers(), request.extensions().get::<Sender>());
    let Ok(place) = node.door.clone().try_acquire_owned() else {
        let message = "too many connections are waiting to join";
        let refusal = refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Overloaded, message);
        return ([(header::RETRY_AFTER, "1")], refusal).into_response();
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(&node, &mut WebSocket::new(TokioIo::new(upgraded)), caller, place).await,
            Err(error) => debug!(%error, "becoming a WebSocket"),
        }
    });
    response
}

/// From the first message to the last.
async fn serve(node: &Node, socket: &mut ClientSocket, caller: Caller, place: OwnedSemaphorePermit) {
    let (outbox, outgoing) = mpsc::channel(OUTBOX_MAX);
    // What is needed for a moment only is boxed: a task is as large as the largest that it awaits in itself.
    let entered = Box::pin(enter(node, socket, caller, outbox)).await;
    drop(place);
    let end = match entered {
        Ok(Entered::Elsewhere(far)) => Box::pin(converse_with(node, far, socket)).await,
        Ok(Entered::Here(attached)) => {
            let end = converse(node, socket, outgoing, attached).await;
            node.control.send(ControlInput::SocketClosed { from: attached }).await;
            end
        }
        Err(end) => end,
    };
    Box::pin(finish(socket, end)).await;
}

/// Where somebody has entered.
enum Entered {
    Here(Attached),
    /// On another node, through this one.
    Elsewhere(Box<FarSocket>),
}

/// Why a conversation ended.
enum End {
    /// The client closed, or can't be reached.
    Gone,
    /// The control plane, or this file, closes with a code and perhaps a last word.
    Close { code: u16, error: Option<ProtocolError> },
    /// Another node serves this, at a URL.
    Redirect { re: Option<u32>, url: String },
}

impl End {
    fn error(error: ProtocolError) -> End {
        let code = if error.code == ErrorCode::ShuttingDown { CLOSE_GOING_AWAY } else { CLOSE_POLICY };
        End::Close { code, error: Some(error) }
    }
}

/// Reads the first message, which has to be `join` or `resume`.
async fn enter(
    node: &Node,
    socket: &mut ClientSocket,
    caller: Caller,
    outbox: Socket,
) -> Result<Entered, End> {
    let deadline = Deadline::now() + Duration::from_millis(node.config.session.join_ms);
    let fatal = |re, code, message: &str| End::error(protocol_error(re, code, message, true));
    let first = loop {
        match timeout_at(deadline, next_frame(socket)).await {
            Ok(frame) => {
                if let Some(first) = frame? {
                    break first;
                }
            }
            Err(_) => {
                return Err(fatal(None, ErrorCode::IdleTimeout, "the first message did not come in time"));
            }
        }
    };
    let message = parse(&first).map_err(|error| End::error(ProtocolError { fatal: true, ..error }))?;
    let re = message.id;
    let version = match message.request {
        Request::Join { version, .. } | Request::Resume { version, .. } => version,
        _ => return Err(fatal(re, ErrorCode::NotJoined, "the first message has to be `join` or `resume`")),
    };
    if version != VERSION {
        let message = format!("this server speaks version {VERSION} of the protocol");
        return Err(fatal(re, ErrorCode::UnsupportedVersion, &message));
    }
    let entered = match message.request {
        Request::Join { token, name, may_redirect, .. } => {
            let claims = node.access.verify(&token).map_err(|error| {
                let code = match error {
                    AccessError::Expired => ErrorCode::TokenExpired,
                    AccessError::Invalid(_) => ErrorCode::Unauthorized,
                };
                fatal(re, code, &error.to_string())
            })?;
            let mut tried = Vec::new();
            loop {
                let placement = routing::of_room(node, &claims.room, caller, may_redirect, &tried).await;
                match send_on(node, placement, caller, re, may_redirect, &first).await {
                    SentOn::Here => break,
                    SentOn::There(outcome) => return outcome,
                    // Another serves it then, perhaps this one.
                    SentOn::Unreached(other, _) if tried.len() < TRIED_MAX => tried.push(other),
                    SentOn::Unreached(other, _) => return Err(unreached(re, other)),
                }
            }
            // Whoever is first on this node may not be the first in the room.
            let first_moderates = claims.first_moderates && !routing::is_elsewhere(node, &claims.room).await;
            let claims = Claims { first_moderates, ..claims };
            let name = name.as_deref().and_then(display_name);
            let join = |reply| ControlInput::Join {
                claims,
                transport: Transport::Webrtc,
                name,
                request: re,
                socket: outbox,
                reply,
            };
            node.control.ask(join).await
        }
        Request::Resume { session, secret, may_redirect, .. } => {
            let placement = routing::of_session(node, &session, caller);
            let is_doubted = matches!(&placement, Placement::There { node: other, .. } if routing::is_doubted(node, *other));
            match send_on(node, placement, caller, re, may_redirect && !is_doubted, &first).await {
                // A session is gone with its node: there is none of that id here.
                SentOn::Here | SentOn::Unreached(_, Unreached::Gone) => {}
                SentOn::There(outcome) => return outcome,
                SentOn::Unreached(other, Unreached::Closed) if !is_doubted => {
                    return Err(unreached(re, other));
                }
                SentOn::Unreached(_, Unreached::Closed) => {}
            }
            let resume = |reply| ControlInput::Resume { session, secret, request: re, socket: outbox, reply };
            node.control.ask(resume).await
        }
        _ => unreachable!("anything else was refused above"),
    };
    match entered {
        Some(Ok(attached)) => Ok(Entered::Here(attached)),
        Some(Err(error)) => Err(End::error(error)),
        None => Err(fatal(re, ErrorCode::ShuttingDown, "the node is stopping")),
    }
}

/// What became of a client that is to be served elsewhere.
enum SentOn {
    /// It is served here after all.
    Here,
    /// It is on its way, or refused.
    There(Result<Entered, End>),
    /// It can't go by itself, and the node was not reached.
    Unreached(NodeId, Unreached),
}

/// Sends a client to the node that serves it, or passes it on there if it can't go by itself.
async fn send_on(
    node: &Node,
    placement: Placement,
    caller: Caller,
    re: Option<u32>,
    may_redirect: bool,
    first: &Utf8Bytes,
) -> SentOn {
    match placement {
        Placement::Here => SentOn::Here,
        Placement::There { http: url, .. } if may_redirect => SentOn::There(Err(End::Redirect { re, url })),
        Placement::There { node: other, inside, .. } => {
            match routing::pass_on(node, other, inside, caller, first.clone()).await {
                Ok(far) => SentOn::There(Ok(Entered::Elsewhere(Box::new(far)))),
                Err(why) => SentOn::Unreached(other, why),
            }
        }
        Placement::Nowhere => {
            SentOn::There(Err(overloaded(re, "no node takes anybody at the moment: join again later")))
        }
    }
}

fn overloaded(re: Option<u32>, message: &str) -> End {
    let error = protocol_error(re, ErrorCode::Overloaded, message, true);
    End::error(ProtocolError { retry_after_ms: Some(RETRY_AFTER.as_millis() as u64), ..error })
}

fn unreached(re: Option<u32>, other: NodeId) -> End {
    overloaded(re, &format!("node {other} serves this, and can't be reached through this one"))
}

/// Passes messages both ways between a client and the node that serves it.
async fn converse_with(node: &Node, mut far: Box<FarSocket>, socket: &mut ClientSocket) -> End {
    let gone = || End::Close { code: CLOSE_GOING_AWAY, error: None };
    let mut stop = node.stop.subscribe();
    // Who comes while the node stops is told as well.
    stop.mark_changed();
    loop {
        tokio::select! {
            Ok(()) = stop.changed() => {
                let now = *stop.borrow_and_update();
                match now {
                    Stop::No => {}
                    Stop::By(deadline) => {
                        if !send(socket, closing(node, deadline)).await {
                            return End::Gone;
                        }
                    }
                    Stop::Now => return gone(),
                }
            },
            message = routing::next_from(&mut far) => match message {
                Some(Message::Close(frame)) => {
                    let code = frame.map_or(CLOSE_GOING_AWAY, |frame| frame.code.into());
                    return End::Close { code, error: None };
                }
                Some(message) => {
                    if !send(socket, message).await {
                        return End::Gone;
                    }
                }
                None => return gone(),
            },
            received = next_frame(socket) => match received {
                Ok(Some(text)) => {
                    if !matches!(timeout(SEND_TIMEOUT, far.send(Message::Text(text))).await, Ok(Ok(()))) {
                        return gone();
                    }
                }
                // A sign of life, of which the other node has to hear too.
                Ok(None) => {
                    if !matches!(timeout(SEND_TIMEOUT, far.send(Message::Ping(Default::default()))).await, Ok(Ok(()))) {
                        return gone();
                    }
                }
                Err(end) => return end,
            },
        }
    }
}

/// That this node stops, for one whose session is on another: they come to it another way, or to a further node.
fn closing(node: &Node, deadline: Instant) -> Message {
    let left = deadline.saturating_duration_since(Instant::now());
    let nodes =
        node.cluster.as_ref().map(|cluster| cluster.snapshot().reached_by_clients()).unwrap_or_default();
    Message::Text(text(&ServerMessage::Closing { deadline_ms: left.as_millis() as u64, nodes }))
}

/// Passes messages both ways until one side is through.
async fn converse(
    node: &Node,
    socket: &mut ClientSocket,
    mut outgoing: mpsc::Receiver<Arc<Outgoing>>,
    attached: Attached,
) -> End {
    let idle = Duration::from_millis(node.config.session.idle_ms);
    let mut idle_at = Deadline::now() + idle;
    let mut allowance = Allowance::new(REQUESTS_RATE_PER_S, REQUESTS_BURST, Instant::now());
    let mut limited = 0;
    loop {
        let received = tokio::select! {
            // What was decided goes out before more is asked for.
            biased;
            message = outgoing.recv() => {
                match message.as_deref() {
                    Some(Outgoing::Text(bytes)) => {
                        if !send(socket, Message::Text(bytes.clone())).await {
                            return End::Gone;
                        }
                    }
                    Some(Outgoing::Close(code)) => return End::Close { code: *code, error: None },
                    Some(Outgoing::Media(_) | Outgoing::Layers(_)) => {}
                    None => {
                        let message = "too many messages were left unread: resume with another WebSocket";
                        return End::error(protocol_error(None, ErrorCode::TooSlow, message, true));
                    }
                }
                continue;
            }
            received = timeout_at(idle_at, next_frame(socket)) => received,
        };
        let received = match received {
            Ok(Ok(received)) => received,
            Ok(Err(end)) => return end,
            Err(_) => {
                let message = "nothing was heard for too long: send `ping`";
                return End::error(protocol_error(None, ErrorCode::IdleTimeout, message, true));
            }
        };
        idle_at = Deadline::now() + idle;
        let allowed = allowance.take(Instant::now());
        if allowed && allowance.is_full() {
            limited = 0;
        }
        let Some(received) = received else {
            continue;
        };
        let error = if allowed {
            match parse(&received) {
                Ok(message) => {
                    node.control.send(ControlInput::Request { from: attached, message }).await;
                    continue;
                }
                Err(error) => error,
            }
        } else {
            limited += 1;
            let fatal = limited > RATE_LIMITED_MAX;
            let message = "too many requests: 50 a second are carried out";
            protocol_error(number_of(&received), ErrorCode::RateLimited, message, fatal)
        };
        if error.fatal {
            return End::error(error);
        }
        let message = text(&ServerMessage::Error(error));
        if !send(socket, Message::Text(message)).await {
            return End::Gone;
        }
    }
}

/// The next text frame, or `None` for a ping or pong: a sign of life that the library answers.
async fn next_frame(socket: &mut ClientSocket) -> Result<Option<Utf8Bytes>, End> {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => {
            let message = "messages are text frames";
            Err(End::error(protocol_error(None, ErrorCode::BadMessage, message, true)))
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => {
            // Reading on sends the answer that a close frame has to get (RFC 6455, section 5.5.1).
            let _ = timeout(SEND_TIMEOUT, socket.recv()).await;
            Err(End::Gone)
        }
        None => Err(End::Gone),
        // The connection broke: nobody is there to be told.
        Some(Err(WsError::Io(_) | WsError::ConnectionClosed | WsError::AlreadyClosed)) => Err(End::Gone),
        Some(Err(WsError::Protocol(WsProtocolError::ResetWithoutClosingHandshake))) => Err(End::Gone),
        Some(Err(error)) => {
            debug!(%error, "reading a WebSocket");
            let message = format!("not a WebSocket text frame of at most {MESSAGE_BYTES_MAX} bytes");
            Err(End::error(protocol_error(None, ErrorCode::BadMessage, message, true)))
        }
    }
}

fn parse(text: &str) -> Result<ClientMessage, ProtocolError> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("not a request of this protocol: {error}");
        protocol_error(number_of(text), ErrorCode::BadMessage, message, false)
    })
}

/// The number of a request that is wrong or too much, so that its sender can tell which one.
fn number_of(text: &str) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        id: u32,
    }
    serde_json::from_str::<Numbered>(text).ok().map(|numbered| numbered.id)
}

async fn send(socket: &mut ClientSocket, message: Message) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

async fn finish(socket: &mut ClientSocket, end: End) {
    let (code, error) = match end {
        End::Gone => return,
        End::Close { code, error } => (code, error),
        End::Redirect { re, url } => {
            if !send(socket, Message::Text(text(&ServerMessage::Redirect { re, url }))).await {
                return;
            }
            (CLOSE_NORMAL, None)
        }
    };
    let reason = error.as_ref().map_or(String::new(), |error| error.message.chars().take(100).collect());
    if let Some(error) = error
        && !send(socket, Message::Text(text(&ServerMessage::Error(error)))).await
    {
        return;
    }
    let frame = CloseFrame { code: code.into(), reason: reason.into() };
    if !send(socket, Message::Close(Some(frame))).await {
        return;
    }
    // The client's own close frame, so that the last message isn't lost to a reset.
    let _ = timeout(Duration::from_secs(2), async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}
