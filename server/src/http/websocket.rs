//! A WebSocket that costs little while nothing happens on it: a byte stream in, messages both ways.
//!
//! tungstenite keeps, for as long as a WebSocket lives, buffers for the largest message that it ever read and the
//! largest that it ever wrote, and offers no way to let them go. Of a session these are the first: its offer, and the
//! welcome that lists the room. Some 20 kB a listener would wait for a second welcome that never comes
//! ([decision 0022](../../../docs/adr/0022-websockets-that-shrink.md)).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use tercet_protocol::MESSAGE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What is read at once: most requests are smaller.
const READ_BUFFER_BYTES: usize = 512;

/// A message that is longer leaves buffers behind that are worth letting go.
const SMALL_BYTES_MAX: usize = 1024;

/// The answer to a request for a WebSocket, and the stream that it becomes once the answer is sent.
///
/// # Errors
/// It isn't one (RFC 6455, section 4.2.1).
pub(super) fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), Error> {
    let response = create_response_with_body(request, Body::empty)?;
    Ok((response, hyper::upgrade::on(request)))
}

/// The server's end of a WebSocket.
pub(super) struct WebSocket<S> {
    /// Always there between two calls.
    inner: Option<WebSocketStream<Counted<S>>>,
    /// Of what was read from the stream, so much came out as messages.
    taken_bytes: u64,
    /// The buffers have held a long message.
    is_grown: bool,
}

const IS_THERE: &str = "a WebSocket is taken apart in `shrink` only, which puts it together again";

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The WebSocket that a stream has become.
    pub(super) fn new(stream: S) -> WebSocket<S> {
        WebSocket { inner: Some(open(stream)), taken_bytes: 0, is_grown: false }
    }

    /// The next message, or `None` after the last. Dropping the future loses nothing.
    pub(super) async fn recv(&mut self) -> Option<Result<Message, Error>> {
        let received = self.inner.as_mut().expect(IS_THERE).next().await;
        if let Some(Ok(message)) = &received {
            self.taken_bytes += frame_bytes(message.len());
            self.is_grown |= message.len() > SMALL_BYTES_MAX;
        }
        received
    }

    /// Sends a message. After an error, or if the future is dropped, the WebSocket is of no more use.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.is_grown |= message.len() > SMALL_BYTES_MAX;
        let closes = message.is_close();
        self.inner.as_mut().expect(IS_THERE).send(message).await?;
        // Sending has flushed everything, a pong too: only what was read may still be there.
        if self.is_grown && !closes && self.has_read_nothing_ahead() {
            self.shrink();
        }
        Ok(())
    }

    /// Whether all that was read came out as messages. A client that sends fragments, or lengths in more octets than
    /// they need (RFC 6455, section 5.2), is taken for one that is in the middle of a message: it keeps its buffers.
    fn has_read_nothing_ahead(&self) -> bool {
        self.inner.as_ref().expect(IS_THERE).get_ref().read_bytes == self.taken_bytes
    }

    /// The same stream with new buffers.
    fn shrink(&mut self) {
        let stream = self.inner.take().expect(IS_THERE).into_inner().stream;
        *self = WebSocket::new(stream);
    }
}

fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<Counted<S>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketStream::from_raw_socket(Counted { stream, read_bytes: 0 }, Role::Server, Some(config))
        .now_or_never()
        .expect("without a handshake there is nothing to wait for")
}

/// A client's frame that carries so much: two octets, the length in as few as hold it, and the mask of four (RFC
/// 6455, section 5.2).
fn frame_bytes(payload_bytes: usize) -> u64 {
    let length_bytes = match payload_bytes {
        0..126 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length_bytes + 4 + payload_bytes as u64
}

/// A stream that counts what is read from it.
struct Counted<S> {
    stream: S,
    read_bytes: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.read_bytes += (buf.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::*;

    type Client = WebSocketStream<DuplexStream>;

    /// A server's end and a client's, with room for what they say in between.
    async fn pair() -> (WebSocket<DuplexStream>, Client) {
        let (server, client) = duplex(1 << 20);
        (WebSocket::new(server), WebSocketStream::from_raw_socket(client, Role::Client, None).await)
    }

    fn of_bytes(count: usize) -> Message {
        Message::text("x".repeat(count))
    }

    async fn received(socket: &mut WebSocket<DuplexStream>) -> Message {
        socket.recv().await.expect("is open").expect("is well-formed")
    }

    #[tokio::test]
    async fn long_messages_both_ways_leave_no_buffers_behind() {
        let (mut server, mut client) = pair().await;
        for count in [0, 125, 126, SMALL_BYTES_MAX + 1, 0xffff, MESSAGE_BYTES_MAX] {
            client.send(of_bytes(count)).await.expect("is sent");
            assert_eq!(received(&mut server).await, of_bytes(count));
            assert_eq!(server.is_grown, count > SMALL_BYTES_MAX);
            server.send(of_bytes(count)).await.expect("is sent");
            assert!(!server.is_grown, "{count}");
            assert_eq!(client.next().await.expect("is open").expect("is well-formed"), of_bytes(count));
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_not_lost() {
        let (mut server, mut client) = pair().await;
        for text in ["one", "two"] {
            client.feed(Message::text(text)).await.expect("is sent");
        }
        client.flush().await.expect("is sent");
        assert_eq!(received(&mut server).await, Message::text("one"));
        server.send(of_bytes(20_000)).await.expect("is sent");
        assert!(server.is_grown, "`two` is in the buffer");
        assert_eq!(received(&mut server).await, Message::text("two"));
        server.send(Message::text("small")).await.expect("is sent");
        assert!(!server.is_grown);
    }

    #[tokio::test]
    async fn half_a_message_is_not_lost() {
        let (server, mut client) = duplex(1 << 20);
        let mut server = WebSocket::new(server);
        // A masked text frame of five octets, whose mask is zero.
        let frame = [&[0x81, 0x85, 0, 0, 0, 0], b"hello".as_slice()].concat();
        for split in 1..frame.len() {
            client.write_all(&frame[..split]).await.expect("is sent");
            assert!(server.recv().now_or_never().is_none(), "{split}");
            server.send(of_bytes(20_000)).await.expect("is sent");
            assert!(server.is_grown, "{split}");
            client.write_all(&frame[split..]).await.expect("is sent");
            assert_eq!(received(&mut server).await, Message::text("hello"), "{split}");
            server.send(Message::text("small")).await.expect("is sent");
            assert!(!server.is_grown, "{split}");
            let mut said = vec![0; 20_004 + 7];
            client.read_exact(&mut said).await.expect("is open");
        }
    }

    #[tokio::test]
    async fn a_ping_is_answered_before_the_buffers_go() {
        let (mut server, mut client) = pair().await;
        client.send(Message::Ping("p".into())).await.expect("is sent");
        assert!(received(&mut server).await.is_ping());
        server.send(of_bytes(20_000)).await.expect("is sent");
        assert!(!server.is_grown);
        let said = [client.next().await, client.next().await];
        let said = said.map(|message| message.expect("is open").expect("is well-formed"));
        assert!(said.contains(&Message::Pong("p".into())) && said.contains(&of_bytes(20_000)));
    }

    #[tokio::test]
    async fn who_sends_fragments_is_understood_and_keeps_their_buffers() {
        let (mut server, mut client) = pair().await;
        let fragment = |data, text: &'static str, is_final| {
            Message::Frame(Frame::message(text, OpCode::Data(data), is_final))
        };
        client.send(fragment(Data::Text, "three ", false)).await.expect("is sent");
        client.send(fragment(Data::Continue, "voices", true)).await.expect("is sent");
        assert_eq!(received(&mut server).await, Message::text("three voices"));
        server.send(of_bytes(20_000)).await.expect("is sent");
        assert!(server.is_grown);
        client.send(Message::text("one")).await.expect("is sent");
        assert_eq!(received(&mut server).await, Message::text("one"));
    }

    #[tokio::test]
    async fn a_close_is_answered_by_reading_on() {
        let (mut server, mut client) = pair().await;
        client.send(Message::Close(None)).await.expect("is sent");
        assert!(received(&mut server).await.is_close());
        assert!(server.recv().await.is_none_or(|received| received.is_err()));
        assert!(client.next().await.is_some_and(|message| message.is_ok_and(|message| message.is_close())));
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_an_error() {
        let (mut server, mut client) = pair().await;
        client.send(of_bytes(MESSAGE_BYTES_MAX + 1)).await.expect("is sent");
        assert!(server.recv().await.is_some_and(|received| received.is_err()));
    }
}
