//! TCP connections in, each to the worker of whom it names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use metrics::{Counter, counter, describe_counter};
use str0m::net::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;
use tracing::debug;

use super::places::{Place, Places, Wait};
use super::{Directory, Listener, Newcomer, framing};
use crate::accept::accept;
use crate::media::announced::Announced;
use crate::media::crossing::Doorbell;
use crate::media::demux::named_by;
use crate::media::fanout::Path;

/// How long a connection has for its first frame. ICE sends it as soon as the connection stands.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(5);

/// Where a worker takes connections.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) newcomers: mpsc::Sender<Newcomer>,
    pub(crate) doorbell: Arc<Doorbell>,
}

/// What all listeners share.
pub(crate) struct Door {
    directory: Directory,
    places: Places,
    /// By worker.
    inboxes: Vec<Inbox>,
    refused: Refused,
}

/// Connections that did not come through, by why.
struct Refused {
    full: Counter,
    evicted: Counter,
    silent: Counter,
    stranger: Counter,
    worker_queue_full: Counter,
}

impl Door {
    pub(crate) fn new(directory: Directory, connections_max: usize, inboxes: Vec<Inbox>) -> Arc<Door> {
        const REFUSED: &str = "tercet_tcp_refused_total";
        describe_counter!(
            REFUSED,
            "TCP connections for media that were closed before a worker had them, by reason"
        );
        let refused = |reason: &'static str| counter!(REFUSED, "reason" => reason);
        Arc::new(Door {
            directory,
            places: Places::new(connections_max),
            inboxes,
            refused: Refused {
                full: refused("full"),
                evicted: refused("evicted"),
                silent: refused("silent"),
                stranger: refused("stranger"),
                worker_queue_full: refused("worker_queue_full"),
            },
        })
    }

    /// Accepts connections from here on, for as long as the runtime is there.
    pub(crate) fn open(self: &Arc<Door>, listener: Listener) -> anyhow::Result<()> {
        let Listener { socket, announced, .. } = listener;
        let socket = TcpListener::from_std(socket)?;
        let door = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, from) = accept(&socket, "media").await;
                door.let_in(stream, from, &announced);
            }
        });
        Ok(())
    }

    fn let_in(self: &Arc<Door>, stream: TcpStream, from: SocketAddr, announced: &Announced) {
        let Some((place, wait)) = self.places.take(from.ip()) else {
            self.refused.full.increment(1);
            return;
        };
        let local = stream.local_addr().ok().map(|address| address.ip());
        let path = Path { protocol: Protocol::Tcp, source: announced.reached_at(local), destination: from };
        tokio::spawn(self.clone().lead(stream, path, place, wait));
    }

    /// Waits for the first frame, and hands the connection to whom it concerns.
    async fn lead(self: Arc<Door>, stream: TcpStream, path: Path, place: Place, wait: Wait) {
        let mut frames = FramedRead::new(stream, framing());
        let first = tokio::select! {
            first = timeout(FIRST_FRAME_WITHIN, frames.next()) => first,
            () = wait.evicted() => return self.refused.evicted.increment(1),
        };
        drop(wait);
        let first = match first {
            Ok(Some(Ok(first))) => first,
            // Nothing, or no frame: a length that no datagram has.
            Ok(_) => return self.refused.stranger.increment(1),
            Err(_) => return self.refused.silent.increment(1),
        };
        let Some(worker) = named_by(&first, |ufrag| self.directory.find(ufrag)) else {
            return self.refused.stranger.increment(1);
        };
        let rest = frames.read_buffer_mut().split();
        let stream = match frames.into_inner().into_std() {
            Ok(stream) => stream,
            Err(error) => return debug!(%error, "a TCP connection for media"),
        };
        let Some(inbox) = self.inboxes.get(worker.0) else {
            return;
        };
        match inbox.newcomers.try_send(Newcomer { stream, path, first, rest, place }) {
            Ok(()) => inbox.doorbell.ring(),
            Err(_) => self.refused.worker_queue_full.increment(1),
        }
    }
}
