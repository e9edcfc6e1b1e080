//! Streams (TCP, TLS): bytes are cut into messages, screened like datagrams, and handed to the stack by a channel.
//!
//! The stack has streams of its own. They read lengths that overflow, answer nothing that they can't read, take any number
//! of connections, and wait for ever for a peer that doesn't read; so it gets ours, in the clothes of its channels. It sends
//! from the one loop that receives for all, which therefore never waits for a stream: its channel takes everything, and what
//! a peer doesn't read is bounded here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rsipstack::platform::CancellationToken;
use rsipstack::platform::mpsc as stack_mpsc;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::transport_layer::TransportLayerInner;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::Transport;
use super::message::find;
use super::screen::{Screened, screen};
use super::stack::{self, stack_transport};
use super::udp::Gate;

/// Bytes to a peer that wait to be written: a BYE for each call of a trunk, and then some. Whoever leaves more unread is
/// closed.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A peer that takes nothing for so long has gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// A message that has begun is to end within this, however it dribbles in.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(30);

/// Until the first sound message: line ends alone keep no stream open.
const FIRST_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Between messages: calls are quiet for long, and phones that keep their NAT open are not.
const IDLE_PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// What a stream needs to be read and written.
pub(super) struct Stream<S> {
    pub(super) io: S,
    pub(super) peer: SocketAddr,
    pub(super) transport: Transport,
    pub(super) gate: Arc<Gate>,
    /// Ends it.
    pub(super) stop: CancellationToken,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Stream<S> {
    /// Gives it to the stack. When it ends, `on_end` is called.
    pub(super) async fn start(
        self,
        layer: &TransportLayerInner,
        on_end: impl FnOnce() + Send + 'static,
    ) -> Option<SipConnection> {
        let Stream { io, peer, transport, gate, stop } = self;
        let (received, to_stack) = stack_mpsc::unbounded_channel();
        let (from_stack, sent) = stack_mpsc::unbounded_channel();
        let address = SipAddr::new(stack_transport(transport), peer.into());
        let connection =
            ChannelConnection::create_connection(to_stack, from_stack, address.clone(), Some(stop.clone()))
                .await
                .ok()?;
        let connection = SipConnection::from(connection);
        layer.serve_connection(connection.clone());
        let (reader, writer) = tokio::io::split(io);
        let (outbox, to_write) = Outbox::new();
        let reading =
            Reading { connection: connection.clone(), address, peer, transport, received, outbox, gate };
        let outbox = reading.outbox.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = reading.run(reader) => {}
                () = forward(sent, outbox.clone()) => {}
                () = write(writer, to_write, outbox) => {}
            }
            stop.cancel();
            on_end();
        });
        Some(connection)
    }
}

struct Reading {
    connection: SipConnection,
    address: SipAddr,
    peer: SocketAddr,
    transport: Transport,
    received: stack_mpsc::UnboundedSender<TransportEvent>,
    outbox: Outbox,
    gate: Arc<Gate>,
}

impl Reading {
    async fn run(self, mut reader: impl AsyncRead + Unpin) {
        let mut buffer = Vec::new();
        let mut patience = Patience::new(Instant::now());
        loop {
            loop {
                match cut(&mut buffer, self.gate.message_bytes_max) {
                    Cut::Message(message) => match self.take(&message).await {
                        Taken::Passed => patience.heard_message(Instant::now()),
                        Taken::Refused => patience.heard_nonsense(),
                        Taken::Lost => return,
                    },
                    Cut::KeepAlive => {
                        patience.heard_keep_alive(Instant::now());
                        if !self.outbox.push(b"\r\n".to_vec()) {
                            return;
                        }
                    }
                    Cut::More => break,
                    Cut::Lost => {
                        self.gate.tally.unparseable.add(1);
                        return;
                    }
                }
            }
            let deadline = patience.deadline(Instant::now(), !buffer.is_empty());
            let read = tokio::time::timeout_at(deadline.into(), reader.read_buf(&mut buffer)).await;
            if !matches!(read, Ok(Ok(1..))) {
                return;
            }
        }
    }

    /// Hands a message on.
    async fn take(&self, message: &[u8]) -> Taken {
        match screen(message, self.peer, self.transport) {
            Screened::Pass(sound) => {
                // Nobody repeats what comes by a stream: it waits, and so does its sender.
                while !self.gate.may_enter(self.peer.ip()) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let Some(message) = stack::read(&sound, self.peer, self.transport) else {
                    self.gate.leave(self.peer.ip());
                    return Taken::Refused;
                };
                let event = TransportEvent::Incoming(message, self.connection.clone(), self.address.clone());
                if self.received.send(event).is_ok() { Taken::Passed } else { Taken::Lost }
            }
            Screened::Reply(response) => {
                self.gate.tally.unparseable.add(1);
                if self.outbox.push(response) { Taken::Refused } else { Taken::Lost }
            }
            Screened::Drop => {
                self.gate.tally.unparseable.add(1);
                Taken::Refused
            }
        }
    }
}

/// What became of a message.
enum Taken {
    Passed,
    /// It was none.
    Refused,
    /// The stream has to end.
    Lost,
}

/// How long a stream is waited for.
struct Patience {
    /// Between messages.
    idle_until: Instant,
    /// Of the message that has begun.
    message_until: Option<Instant>,
    /// There was a sound message.
    is_proven: bool,
}

impl Patience {
    fn new(now: Instant) -> Patience {
        Patience { idle_until: now + FIRST_PATIENCE, message_until: None, is_proven: false }
    }

    fn heard_message(&mut self, now: Instant) {
        self.is_proven = true;
        self.idle_until = now + IDLE_PATIENCE;
        self.message_until = None;
    }

    fn heard_nonsense(&mut self) {
        self.message_until = None;
    }

    fn heard_keep_alive(&mut self, now: Instant) {
        if self.is_proven {
            self.idle_until = now + IDLE_PATIENCE;
        }
        self.message_until = None;
    }

    /// When more has to be there.
    fn deadline(&mut self, now: Instant, has_begun: bool) -> Instant {
        if !has_begun {
            return self.idle_until;
        }
        *self.message_until.get_or_insert(now + MESSAGE_PATIENCE)
    }
}

/// What waits to be written, by its bytes.
#[derive(Clone)]
struct Outbox {
    to_write: mpsc::UnboundedSender<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Outbox {
    fn new() -> (Outbox, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (to_write, writing) = mpsc::unbounded_channel();
        (Outbox { to_write, waiting_bytes: Arc::default() }, writing)
    }

    /// `false` if there is no more room: the peer doesn't read.
    fn push(&self, message: Vec<u8>) -> bool {
        let length = message.len();
        let is_free = self.waiting_bytes.fetch_add(length, Ordering::Relaxed) + length <= WAITING_BYTES_MAX;
        is_free && self.to_write.send(message).is_ok()
    }

    fn written(&self, length: usize) {
        self.waiting_bytes.fetch_sub(length, Ordering::Relaxed);
    }
}

/// Takes what the stack sends as soon as it does; ends when there is no more room.
async fn forward(mut sent: stack_mpsc::UnboundedReceiver<TransportEvent>, outbox: Outbox) {
    while let Some(event) = sent.recv().await {
        if let TransportEvent::Incoming(message, ..) = event
            && !outbox.push(message.to_bytes())
        {
            return;
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut messages: mpsc::UnboundedReceiver<Vec<u8>>,
    outbox: Outbox,
) {
    while let Some(message) = messages.recv().await {
        let written = tokio::time::timeout(WRITE_PATIENCE, async {
            writer.write_all(&message).await?;
            writer.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
        outbox.written(message.len());
    }
}

/// What stands at the beginning of a stream's bytes.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// A whole message, taken out.
    Message(Vec<u8>),
    /// Two line ends, which want one back (RFC 5626, section 4.4.1).
    KeepAlive,
    /// Not enough.
    More,
    /// Nobody can say where the next message begins.
    Lost,
}

fn cut(buffer: &mut Vec<u8>, bytes_max: usize) -> Cut {
    if buffer.starts_with(b"\r\n\r\n") {
        buffer.drain(..4);
        return Cut::KeepAlive;
    }
    // A single one is an answer to ours, or stands before a message (RFC 3261, section 7.5).
    if buffer.starts_with(b"\r\n")
        && buffer.len() > 2
        && !b"\r\n\r\n".starts_with(&buffer[..buffer.len().min(4)])
    {
        buffer.drain(..2);
    }
    let Some(head) = find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > bytes_max { Cut::Lost } else { Cut::More };
    };
    let Some(length) = content_length(&buffer[..head]) else { return Cut::Lost };
    let whole = (head + 4).saturating_add(length);
    if whole > bytes_max {
        return Cut::Lost;
    }
    if buffer.len() < whole {
        return Cut::More;
    }
    let rest = buffer.split_off(whole);
    Cut::Message(std::mem::replace(buffer, rest))
}

/// On a stream every message says how long it is (section 18.3).
fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head);
    head.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim_end();
        let is_length = name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l");
        let value = value.trim();
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        (is_length && is_number).then(|| value.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nl : 3\r\n\r\nabc";

    #[test]
    fn messages_are_cut_wherever_the_reads_end() {
        let bytes = format!("\r\n\r\n{OPTIONS}{OPTIONS}\r\n{OPTIONS}").into_bytes();
        for step in 1..bytes.len() {
            let (mut buffer, mut cuts) = (Vec::new(), Vec::new());
            for read in bytes.chunks(step) {
                buffer.extend_from_slice(read);
                loop {
                    match cut(&mut buffer, 100) {
                        Cut::More => break,
                        found => cuts.push(found),
                    }
                }
            }
            let message = || Cut::Message(OPTIONS.as_bytes().to_vec());
            assert_eq!(cuts, [Cut::KeepAlive, message(), message(), message()], "{step}");
        }
    }

    #[test]
    fn stream_that_dribbles_or_says_nothing_sound_ends() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(start);
        assert_eq!(patience.deadline(start, false), after(300));
        patience.heard_keep_alive(after(200));
        assert_eq!(patience.deadline(after(200), false), after(300), "line ends prove nothing");
        for byte in [0, 15, 29] {
            assert_eq!(patience.deadline(after(200 + byte), true), after(230), "for all of a message");
        }
        patience.heard_nonsense();
        assert_eq!(patience.deadline(after(229), false), after(300));
        patience.heard_message(after(250));
        assert_eq!(patience.deadline(after(250), true), after(280));
        patience.heard_message(after(270));
        assert_eq!(patience.deadline(after(270), false), after(270 + 7200));
        patience.heard_keep_alive(after(1000));
        assert_eq!(patience.deadline(after(1000), false), after(1000 + 7200));
    }

    #[test]
    fn stream_is_lost_where_nobody_knows_its_next_message() {
        for bytes in [
            "OPTIONS sip:a@b SIP/2.0\r\n\r\n".to_owned(),
            "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n".to_owned(),
            "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(),
            "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_owned(),
            "x".repeat(101),
        ] {
            assert_eq!(cut(&mut bytes.clone().into_bytes(), 100), Cut::Lost, "{bytes}");
        }
    }
}
