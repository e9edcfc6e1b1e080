//! What the thread of phones counts.

use std::time::Duration;

use crate::{Histogram, StreamTotals};

/// A pause of a conversation is shorter than this, that of who talks and that of turns together.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Counts of one window of time, of all phones.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallCounts {
    /// Phones that have been called in.
    pub(crate) phones: u64,
    /// RTP packets sent to the server, and received from it.
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    /// By their sequence numbers.
    pub(crate) streams: StreamTotals,
    /// Of the phone that received the fewest.
    pub(crate) packets_of_a_phone_min: Option<u64>,
    /// By how much two packets in a row came further apart, or closer, than their timestamps are (RFC 3550, section 6.4.1).
    pub(crate) jitter: Histogram,
    /// How much later than planned phones sent: the tester's own weakness.
    pub(crate) send_lag: Histogram,
    /// Datagrams that the kernel dropped because the tester didn't read them in time: no loss of the server's.
    pub(crate) dropped_here: u64,
    /// Datagrams that the kernel didn't take.
    pub(crate) sends_failed: u64,
    pub(crate) heard: HeardSound,
}

/// What the phones heard that decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeardSound {
    pub(crate) phones: u64,
    /// Frames of 20 ms.
    pub(crate) frames: u64,
    /// Those with sound.
    pub(crate) with_sound: u64,
    /// Phones that heard nothing for longer than a conversation pauses.
    pub(crate) interrupted: u64,
    pub(crate) longest_pause: Duration,
}

impl HeardSound {
    /// Adds a phone.
    pub(super) fn add(&mut self, frames: u64, with_sound: u64, longest_pause: Duration) {
        self.phones += 1;
        self.frames += frames;
        self.with_sound += with_sound;
        self.interrupted += u64::from(longest_pause > PAUSE_MAX);
        self.longest_pause = self.longest_pause.max(longest_pause);
    }
}
