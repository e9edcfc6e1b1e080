//! A room's levels as its selector sees them, for somebody who looks: packets in, batches out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use selector::{Level, SourceId};
use tercet_core::AudioPacket;
use tokio::sync::mpsc;

/// Batches under way: several seconds' worth of every worker.
const BATCHES_MAX: usize = 256;

/// A packet that was ranked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TracedPacket {
    pub(crate) at: Instant,
    pub(crate) source: SourceId,
    pub(crate) level: Level,
    pub(crate) voice: Option<bool>,
}

/// Where the packets of a room go, from each of its workers.
#[derive(Clone, Debug)]
pub(crate) struct TraceSender {
    batches: mpsc::Sender<Vec<TracedPacket>>,
    torn: Arc<AtomicBool>,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct TraceReceiver {
    batches: mpsc::Receiver<Vec<TracedPacket>>,
    torn: Arc<AtomicBool>,
}

/// A trace with holes explains nothing: whoever reads too slowly gets no more of it.
#[derive(Debug, thiserror::Error)]
#[error("the trace was read too slowly")]
pub(crate) struct Torn;

pub(crate) fn trace() -> (TraceSender, TraceReceiver) {
    let (sender, receiver) = mpsc::channel(BATCHES_MAX);
    let torn = Arc::new(AtomicBool::new(false));
    (TraceSender { batches: sender, torn: torn.clone() }, TraceReceiver { batches: receiver, torn })
}

impl TraceSender {
    /// Whether anybody takes what is sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.batches.is_closed() && !self.torn.load(Ordering::Relaxed)
    }
}

impl TraceReceiver {
    /// The next batch; `None` when the room is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<TracedPacket>>, Torn> {
        let batch = self.batches.recv().await;
        if self.torn.load(Ordering::Relaxed) { Err(Torn) } else { Ok(batch) }
    }
}

/// What a worker collects for one trace.
pub(super) struct Tracer {
    sender: TraceSender,
    batch: Vec<TracedPacket>,
}

impl Tracer {
    pub(super) fn new(sender: TraceSender) -> Tracer {
        Tracer { sender, batch: Vec::new() }
    }

    pub(super) fn packet(&mut self, at: Instant, packet: &AudioPacket) {
        let AudioPacket { source, level, voice, .. } = *packet;
        self.batch.push(TracedPacket { at, source, level, voice });
    }

    /// Passes on what was collected. Returns whether anybody wants more.
    pub(super) fn flush(&mut self) -> bool {
        // An empty batch tells that there was nothing.
        let batch = std::mem::take(&mut self.batch);
        match self.sender.batches.try_send(batch) {
            Ok(()) => self.sender.is_open(),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.sender.torn.store(true, Ordering::Relaxed);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}
