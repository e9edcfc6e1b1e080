//! Candidates on their way from one worker to another: bounded, and lossy when full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use mio::Waker;
use selector::{Candidate, SourceId};
use tercet_core::{AudioPacket, Earlier, EncodingId, RoomId, SourceLayers, VideoPacket, Wanted};
use tercet_protocol::AudioOrigin;

use super::WorkerId;

/// About 40 ms of the candidates of 4,000 rooms; beyond that the receiving worker is overloaded, and
/// late audio is worse than lost audio.
const QUEUE_PACKETS_MAX: usize = 8192;

/// What a worker tells another.
#[derive(Debug)]
pub(crate) enum Passed {
    Audio(Crossing),
    Video(VideoCrossing),
}

/// What a worker tells another about the pictures of a room that both have a part of.
#[derive(Debug)]
pub(crate) struct VideoCrossing {
    pub(crate) room: RoomId,
    pub(crate) news: VideoNews,
}

/// What there is to tell of pictures.
#[derive(Clone, Debug)]
pub(crate) enum VideoNews {
    /// A packet of a picture that the other worker's clients watch.
    Packet(Box<VideoPacket>),
    /// Somebody who watches it needs a keyframe.
    KeyframeWanted(EncodingId),
    /// What clients of a worker want of a picture that may be one of the other worker's.
    Wanted { source: SourceId, by: WorkerId, wanted: Wanted },
    /// What is known of the layers of a picture that the other worker's clients watch.
    Layers(SourceId, Box<SourceLayers>),
}

impl From<Crossing> for Passed {
    fn from(crossing: Crossing) -> Passed {
        Passed::Audio(crossing)
    }
}

impl From<VideoCrossing> for Passed {
    fn from(crossing: VideoCrossing) -> Passed {
        Passed::Video(crossing)
    }
}

/// What a worker tells another about the voices, or about the shared screens, of a room that both have a part of.
#[derive(Debug)]
pub(crate) struct Crossing {
    pub(crate) room: RoomId,
    pub(crate) origin: AudioOrigin,
    pub(crate) news: News,
}

/// What there is to tell.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A packet of somebody who has a position.
    Heard(Box<HeardPacket>),
    /// How many changes the room has seen, for a worker that is new to it.
    Turn(u64),
    /// A source is silent: muted, demoted, or gone.
    Silenced(SourceId),
}

/// What it takes to hear a packet on another worker as on the one that it came to.
#[derive(Clone, Debug)]
pub(crate) struct HeardPacket {
    pub(crate) packet: AudioPacket,
    /// When it came to this node: whoever takes it later knows what the network did to it.
    pub(crate) at: Instant,
    pub(crate) candidate: Candidate,
    /// What its source sent right before, where it begins to be heard with this packet.
    pub(crate) pre_roll: Vec<Earlier>,
}

/// The sending side of a worker's inbox.
#[derive(Clone)]
pub(crate) struct CrossingSender {
    queue: SyncSender<Passed>,
    doorbell: Arc<Doorbell>,
}

/// Wakes a worker, once for everything that came since it last looked.
pub(crate) struct Doorbell {
    waker: Waker,
    rung: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new(waker: Waker) -> Doorbell {
        Doorbell { waker, rung: AtomicBool::new(false) }
    }

    /// Wakes the worker, unless it is about to look anyway.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only when the poll is gone, and with it the worker.
            let _ = self.waker.wake();
        }
    }

    /// The worker is about to look. A swap, not a store: whoever found the bell rung has its message
    /// in the queue before this, and the look comes after.
    pub(crate) fn answer(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// A worker's inbox.
pub(crate) fn crossing(doorbell: Arc<Doorbell>) -> (CrossingSender, Receiver<Passed>) {
    let (queue, inbox) = sync_channel(QUEUE_PACKETS_MAX);
    (CrossingSender { queue, doorbell }, inbox)
}

impl CrossingSender {
    /// Sends, or returns `false` if the other worker can't keep up.
    pub(crate) fn send(&self, passed: impl Into<Passed>) -> bool {
        match self.queue.try_send(passed.into()) {
            Ok(()) => {
                self.doorbell.ring();
                true
            }
            Err(TrySendError::Full(_)) => false,
            // The other worker has stopped: its listeners are gone too.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}
