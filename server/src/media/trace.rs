//! A room's levels as its selector sees them, and what else decides, for somebody who looks: single entries in, batches out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use selector::{Level, SourceId, Standing};
use tokio::sync::mpsc;

/// Batches under way, of each worker: they hand one over ten times a second.
const BATCHES_MAX: usize = 64;

/// Something that happened to a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traced {
    pub(crate) at: Instant,
    pub(crate) source: SourceId,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A packet was ranked.
    Packet { level: Level, voice: Option<bool> },
    /// It is muted, or gone.
    Silent,
    /// A moderator lets it come before others, or not.
    Stands(Standing),
}

/// Where the packets of a room go, from each of its workers.
#[derive(Clone, Debug)]
pub(crate) struct TraceSender {
    batches: mpsc::Sender<Vec<Traced>>,
    torn: Arc<AtomicBool>,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct TraceReceiver {
    batches: mpsc::Receiver<Vec<Traced>>,
    torn: Arc<AtomicBool>,
}

/// A trace with holes explains nothing: whoever reads too slowly gets no more of it.
#[derive(Debug, thiserror::Error)]
#[error("the trace was read too slowly")]
pub(crate) struct Torn;

/// For as many workers as the node has.
pub(crate) fn trace(workers: usize) -> (TraceSender, TraceReceiver) {
    let (sender, receiver) = mpsc::channel(BATCHES_MAX * workers.max(1));
    let torn = Arc::new(AtomicBool::new(false));
    (TraceSender { batches: sender, torn: torn.clone() }, TraceReceiver { batches: receiver, torn })
}

impl TraceSender {
    /// Whether somebody holds the other end, and what is in between, be it torn or not.
    pub(crate) fn is_held(&self) -> bool {
        !self.batches.is_closed()
    }
}

impl TraceReceiver {
    /// What there is, of all workers; `None` when the room is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Traced>>, Torn> {
        let mut packets = self.batches.recv().await;
        while let (Some(packets), Ok(more)) = (&mut packets, self.batches.try_recv()) {
            packets.extend(more);
        }
        if self.torn.load(Ordering::Relaxed) { Err(Torn) } else { Ok(packets) }
    }
}

/// What a worker collects for one trace.
pub(super) struct Tracer {
    sender: TraceSender,
    batch: Vec<Traced>,
}

impl Tracer {
    pub(super) fn new(sender: TraceSender) -> Tracer {
        Tracer { sender, batch: Vec::new() }
    }

    pub(super) fn note(&mut self, at: Instant, source: SourceId, what: What) {
        self.batch.push(Traced { at, source, what });
    }

    /// Passes on what was collected. Returns whether anybody wants more.
    pub(super) fn flush(&mut self) -> bool {
        // An empty batch tells that there was nothing.
        let batch = std::mem::take(&mut self.batch);
        match self.sender.batches.try_send(batch) {
            Ok(()) => !self.sender.torn.load(Ordering::Relaxed),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.sender.torn.store(true, Ordering::Relaxed);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}
