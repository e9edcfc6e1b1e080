//! Media over TCP, for clients whose network lets no UDP through: ICE over TCP, of which the server is the passive side
//! (RFC 6544), with the framing of RFC 4571.
//!
//! All workers share one port. The [`Door`] accepts, waits for the first frame, and hands the connection to the worker of
//! whom its STUN request names; from there on it is one of that worker's [`Connections`].

mod connection;
mod connections;
mod directory;
mod door;
mod listener;
mod places;

use bytes::BytesMut;
use tokio_util::codec::LengthDelimitedCodec;

use super::fanout::Path;
pub(super) use connections::{Connections, FIRST_TOKEN};
pub(super) use directory::Directory;
pub(super) use door::{Door, Inbox};
pub(super) use listener::Listener;
use places::Place;

/// RFC 4571, section 2, has 16 bits for it. No datagram of WebRTC is longer than the MTU of an Ethernet.
const FRAME_BYTES_MAX: usize = 2048;

/// A connection that has named somebody of a worker's.
pub(crate) struct Newcomer {
    stream: std::net::TcpStream,
    path: Path,
    /// The STUN request that names them.
    first: BytesMut,
    /// What came after it.
    rest: BytesMut,
    place: Place,
}

/// RFC 4571, section 2: a frame is its length in 16 bits, and a datagram.
fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().length_field_type::<u16>().max_frame_length(FRAME_BYTES_MAX).new_codec()
}
