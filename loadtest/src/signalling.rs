//! The WebSocket of a session: requests go out, replies and events come in.
//!
//! [`Signalling::request`] waits for its own reply; events that come in between are kept, in order,
//! for [`Signalling::next`].

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tercet_protocol::{ClientMessage, ProtocolError, Request, ServerMessage, Welcome};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::ServerUrl;

/// How long a connection or a reply may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many events are kept while nobody asks for them; the oldest are lost beyond that.
const QUEUE_EVENTS_MAX: usize = 10_000;

/// How many frames a recording holds; what comes later is not recorded.
const RECORDED_FRAMES_MAX: usize = 10_000;

/// Most messages fit; larger ones take several reads.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// A client's end of the WebSocket `/v1/ws`.
pub struct Signalling {
    socket: WebSocketStream<TcpStream>,
    next_id: u32,
    queue: VecDeque<ServerMessage>,
    recording: Option<Vec<RecordedFrame>>,
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this client.
    ToServer,
    /// To this client.
    FromServer,
}

/// A text frame as it crossed the WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame {
    /// Which way.
    pub direction: Direction,
    /// The JSON text.
    pub text: String,
}

/// Why signalling failed.
#[derive(Debug, thiserror::Error)]
pub enum SignallingError {
    /// The server refused a request, or ended the session for the reason given.
    #[error("refused: {:?}, {}", .0.code, .0.message)]
    Refused(ProtocolError),
    /// The server closed the WebSocket.
    #[error("the server closed the WebSocket (code {code:?}, reason {reason:?})")]
    Closed {
        /// The close code (RFC 6455, section 7.4), if there was a close frame.
        code: Option<u16>,
        /// The reason in the close frame.
        reason: String,
    },
    /// The server sent something that isn't a message of the protocol.
    #[error("not a message of the protocol ({error}): {text}")]
    Malformed {
        /// What is wrong with it.
        error: String,
        /// What was sent.
        text: String,
    },
    /// The reply was of another kind than the request asks for.
    #[error("unexpected reply: {0:?}")]
    Unexpected(Box<ServerMessage>),
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The TCP connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The WebSocket protocol failed.
    #[error("WebSocket: {0}")]
    WebSocket(Box<tungstenite::Error>),
}

/// What became of a join.
#[derive(Debug)]
pub enum Entrance {
    /// The client is in the room.
    Joined(Box<Welcome>),
    /// The node at this base URL serves it.
    Redirected(String),
}

impl From<tungstenite::Error> for SignallingError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                SignallingError::Closed { code: None, reason: String::new() }
            }
            other => SignallingError::WebSocket(Box::new(other)),
        }
    }
}

impl Signalling {
    /// Opens the WebSocket. Nothing is sent on it yet.
    pub async fn connect(server: &ServerUrl) -> Result<Self, SignallingError> {
        let handshake = async {
            let stream = TcpStream::connect(server.address()).await?;
            stream.set_nodelay(true)?;
            let (socket, _) =
                client_async_with_config(server.websocket(), stream, Some(configuration())).await?;
            Ok(Signalling { socket, next_id: 1, queue: VecDeque::new(), recording: None })
        };
        timeout(REPLY_TIMEOUT, handshake).await.unwrap_or(Err(SignallingError::TimedOut(REPLY_TIMEOUT)))
    }

    /// Records from now on every text frame of both directions, up to 10,000, for
    /// [`Signalling::recorded`].
    pub fn record(&mut self) {
        self.recording.get_or_insert_default();
    }

    /// What was recorded, in the order in which it was sent or read.
    pub fn recorded(&self) -> &[RecordedFrame] {
        self.recording.as_deref().unwrap_or_default()
    }

    /// Sends a request with an id of its own, which is returned: the reply repeats it as `re`.
    pub async fn send(&mut self, request: Request) -> Result<u32, SignallingError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.send_message(&ClientMessage { id: Some(id), request }).await?;
        Ok(id)
    }

    /// Sends a message as it is, with or without an id.
    pub async fn send_message(&mut self, message: &ClientMessage) -> Result<(), SignallingError> {
        self.send_text(serde_json::to_string(message).expect("protocol messages have string keys only")).await
    }

    /// Sends any text, also such as no client should send.
    pub async fn send_text(&mut self, text: String) -> Result<(), SignallingError> {
        self.note(Direction::ToServer, &text);
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Sends any binary frame; the protocol has none.
    pub async fn send_binary(&mut self, frame: Vec<u8>) -> Result<(), SignallingError> {
        Ok(self.socket.send(Message::binary(frame)).await?)
    }

    /// Sends a request and waits for its reply. An `error` in reply becomes
    /// [`SignallingError::Refused`]. Other messages that come meanwhile are kept for
    /// [`Signalling::next`].
    pub async fn request(&mut self, request: Request) -> Result<ServerMessage, SignallingError> {
        let leaving = request == Request::Leave;
        let reply = async {
            let id = self.send(request).await?;
            loop {
                let message = self.read().await?;
                match message {
                    ServerMessage::Error(error)
                        if error.re == Some(id) || (error.re.is_none() && error.fatal) =>
                    {
                        return Err(SignallingError::Refused(error));
                    }
                    // `left` answers a `leave` without repeating its id.
                    ServerMessage::Left { .. } if leaving => return Ok(message),
                    message if reply_id(&message) == Some(id) => return Ok(message),
                    event => self.keep(event),
                }
            }
        };
        timeout(REPLY_TIMEOUT, reply).await.unwrap_or(Err(SignallingError::TimedOut(REPLY_TIMEOUT)))
    }

    /// Sends `join` and waits for `joined`, through this server whichever node serves it.
    pub async fn join(&mut self, token: &str, name: Option<&str>) -> Result<Welcome, SignallingError> {
        match self.join_or_redirect(token, name, false).await? {
            Entrance::Joined(welcome) => Ok(*welcome),
            Entrance::Redirected(url) => {
                let unasked = ServerMessage::Redirect { re: None, url };
                Err(SignallingError::Unexpected(Box::new(unasked)))
            }
        }
    }

    /// Sends `join` and waits for `joined`, or, if it `may_redirect`, to be sent to another node.
    pub async fn join_or_redirect(
        &mut self,
        token: &str,
        name: Option<&str>,
        may_redirect: bool,
    ) -> Result<Entrance, SignallingError> {
        let request = Request::Join {
            version: tercet_protocol::VERSION,
            token: token.to_owned(),
            name: name.map(str::to_owned),
            may_redirect,
        };
        match self.request(request).await? {
            ServerMessage::Joined(welcome) => Ok(Entrance::Joined(Box::new(welcome))),
            ServerMessage::Redirect { url, .. } => Ok(Entrance::Redirected(url)),
            other => Err(SignallingError::Unexpected(Box::new(other))),
        }
    }

    /// Sends `resume` and waits for `resumed`.
    pub async fn resume(&mut self, session: &str, secret: &str) -> Result<Welcome, SignallingError> {
        let request = Request::Resume {
            version: tercet_protocol::VERSION,
            session: session.to_owned(),
            secret: secret.to_owned(),
            may_redirect: false,
        };
        match self.request(request).await? {
            ServerMessage::Resumed(welcome) => Ok(welcome),
            other => Err(SignallingError::Unexpected(Box::new(other))),
        }
    }

    /// Sends `offer` and waits for the answer's SDP.
    pub async fn offer(&mut self, sdp: String, fresh: bool) -> Result<String, SignallingError> {
        match self.request(Request::Offer { sdp, fresh }).await? {
            ServerMessage::Answer { sdp, .. } => Ok(sdp),
            other => Err(SignallingError::Unexpected(Box::new(other))),
        }
    }

    /// The next message: one kept by [`Signalling::request`], or the next to arrive. Waits without
    /// limit; safe to drop before it is done.
    pub async fn next(&mut self) -> Result<ServerMessage, SignallingError> {
        match self.queue.pop_front() {
            Some(message) => Ok(message),
            None => self.read().await,
        }
    }

    /// Waits for the first message that `wanted` maps to something. Messages before it are dropped.
    pub async fn wait_for<T>(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, SignallingError> {
        let search = async {
            loop {
                if let Some(found) = wanted(&self.next().await?) {
                    return Ok(found);
                }
            }
        };
        timeout(within, search).await.unwrap_or(Err(SignallingError::TimedOut(within)))
    }

    /// The next text frame, not even looked at: a load tester that only keeps its connection open
    /// spends no time on reading JSON. Frames that were kept as messages are skipped.
    pub async fn next_text(&mut self) -> Result<String, SignallingError> {
        loop {
            match self.socket.next().await.transpose()? {
                Some(Message::Text(text)) => {
                    self.note(Direction::FromServer, &text);
                    return Ok(text.as_str().to_owned());
                }
                Some(Message::Close(frame)) => {
                    return Err(SignallingError::Closed {
                        code: frame.as_ref().map(|f| f.code.into()),
                        reason: frame.map(|f| f.reason.as_str().to_owned()).unwrap_or_default(),
                    });
                }
                Some(Message::Binary(frame)) => {
                    let error = "a binary frame".to_owned();
                    return Err(SignallingError::Malformed { error, text: format!("{frame:02x?}") });
                }
                // Pings are answered by tungstenite.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                None => return Err(SignallingError::Closed { code: None, reason: String::new() }),
            }
        }
    }

    /// Closes the WebSocket with a close frame. Dropping instead cuts the TCP connection.
    pub async fn close(&mut self) -> Result<(), SignallingError> {
        Ok(self.socket.close(None).await?)
    }

    /// Ends the TCP connection without a close frame: the network is gone.
    pub async fn cut(&mut self) -> Result<(), SignallingError> {
        Ok(self.socket.get_mut().shutdown().await?)
    }

    pub(crate) fn take_recording(&mut self) -> Option<Vec<RecordedFrame>> {
        self.recording.take()
    }

    /// Goes on with the recording of a former connection of the same client.
    pub(crate) fn continue_recording(&mut self, recording: Option<Vec<RecordedFrame>>) {
        self.recording = recording;
    }

    async fn read(&mut self) -> Result<ServerMessage, SignallingError> {
        let text = self.next_text().await?;
        serde_json::from_str(&text)
            .map_err(|error| SignallingError::Malformed { error: error.to_string(), text })
    }

    fn keep(&mut self, event: ServerMessage) {
        if self.queue.len() == QUEUE_EVENTS_MAX {
            self.queue.pop_front();
        }
        self.queue.push_back(event);
    }

    fn note(&mut self, direction: Direction, text: &str) {
        if let Some(recording) = self.recording.as_mut().filter(|r| r.len() < RECORDED_FRAMES_MAX) {
            recording.push(RecordedFrame { direction, text: text.to_owned() });
        }
    }
}

/// Small buffers: there are thousands of clients in a process, and the buffer is cleared for each read.
fn configuration() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES)
}

/// The id of the request that a message replies to.
pub fn reply_id(message: &ServerMessage) -> Option<u32> {
    match message {
        ServerMessage::Joined(welcome) | ServerMessage::Resumed(welcome) => welcome.re,
        ServerMessage::Answer { re, .. }
        | ServerMessage::Redirect { re, .. }
        | ServerMessage::Dialled { re, .. }
        | ServerMessage::Pong { re } => *re,
        ServerMessage::Ok { re } => Some(*re),
        ServerMessage::Error(error) => error.re,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
