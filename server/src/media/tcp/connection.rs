//! One TCP connection of a worker's: octets in, frames out, and the other way round.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, BytesMut};
use mio::net::TcpStream;
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};

use super::places::Place;
use super::{FRAME_BYTES_MAX, Newcomer, framing};
use crate::media::fanout::Path;

/// What waits for a client that doesn't read as fast as it is sent to: a third of a second of video, seconds of audio.
/// What comes beyond is dropped, as a network would.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// What the kernel holds besides; by default it would be megabytes, and their sound minutes late.
const KERNEL_BYTES: usize = 64 * 1024;

/// A client that reads nothing for this long isn't there.
const STUCK_MAX: Duration = Duration::from_secs(10);

/// ICE agents check their connection every few seconds (RFC 7675, section 5.1: consent ends after 30 s).
const SILENT_MAX: Duration = Duration::from_secs(30);

/// How much of one connection is read before another has its turn.
const READ_BYTES_A_TURN: usize = 64 * 1024;

/// Nothing that is sent is shorter: RTCP has 8 octets of header at least (RFC 3550, section 6.4.2).
const FRAME_BYTES_MIN: usize = 8;

/// A connection that a worker serves.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) path: Path,
    framing: LengthDelimitedCodec,
    incoming: BytesMut,
    outgoing: BytesMut,
    heard_at: Instant,
    /// Since when nothing of what waits could be sent.
    stuck_since: Option<Instant>,
    _place: Place,
}

/// How a turn of reading ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing more for now.
    Over,
    /// There may be more.
    Interrupted,
    /// The client is gone, or sends what no client does.
    Ended,
}

impl Connection {
    /// Also its first frame.
    pub(super) fn new(now: Instant, newcomer: Newcomer) -> (Connection, BytesMut) {
        let Newcomer { stream, path, first, rest, place } = newcomer;
        let socket = socket2::SockRef::from(&stream);
        // Without either it works, with more delay.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_send_buffer_size(KERNEL_BYTES);
        let connection = Connection {
            stream: TcpStream::from_std(stream),
            path,
            framing: framing(),
            incoming: rest,
            outgoing: BytesMut::new(),
            heard_at: now,
            stuck_since: None,
            _place: place,
        };
        (connection, first)
    }

    /// Hands over the frames that there are, until `each` says that it is enough.
    pub(super) fn read(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        mut each: impl FnMut(Path, &[u8]) -> bool,
    ) -> Turn {
        let mut read = 0;
        loop {
            loop {
                match self.framing.decode(&mut self.incoming) {
                    Ok(Some(frame)) if frame.len() < FRAME_BYTES_MIN => return Turn::Ended,
                    Ok(Some(frame)) => {
                        self.heard_at = now;
                        if !each(self.path, &frame) {
                            return Turn::Ended;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return Turn::Ended,
                }
            }
            if read >= READ_BYTES_A_TURN {
                return Turn::Interrupted;
            }
            match self.stream.read(buffer) {
                Ok(0) => return Turn::Ended,
                Ok(count) => {
                    read += count;
                    self.incoming.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Turn::Over,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::Ended,
            }
        }
    }

    /// Takes a datagram, to be sent with the next [`Connection::flush`]. `false` if too much waits already.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let fits = datagram.len() <= FRAME_BYTES_MAX
            && self.outgoing.len() + 2 + datagram.len() <= WAITING_BYTES_MAX;
        if fits {
            self.outgoing.put_u16(datagram.len() as u16);
            self.outgoing.extend_from_slice(datagram);
        }
        fits
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => {
                    self.outgoing.advance(count);
                    self.stuck_since = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stuck_since.get_or_insert(now);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Of thousands of connections, few have ever to wait: none keeps the memory for it.
        self.outgoing = BytesMut::new();
        Ok(())
    }

    /// Whether nobody is at the other end any more, as far as one can tell.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        let is_stuck = self.stuck_since.is_some_and(|since| now.saturating_duration_since(since) > STUCK_MAX);
        is_stuck || now.saturating_duration_since(self.heard_at) > SILENT_MAX
    }
}
