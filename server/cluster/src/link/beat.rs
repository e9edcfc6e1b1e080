//! What two nodes tell each other of their link: that they are there, how long a round trip takes, and what was lost.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const BEAT_INTERVAL: Duration = Duration::from_millis(300);

/// Loss is counted over so many beats: twelve seconds.
const WINDOW_BEATS: u32 = 40;

/// Of a new measurement this part counts: 1/8, as in RFC 6298, section 2.
const SMOOTHING: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) time_ms: u64,
    /// When it was sent, by the sender's clock.
    sent_us: u64,
    /// The last beat of the other side, and how long ago it came.
    echo: Option<(u64, u64)>,
    /// What the sender misses of what the other side sent.
    lost_permille: u16,
    /// Whether the sender needs the link.
    pub(super) is_wanted: bool,
}

/// How good a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkQuality {
    /// Smoothed; `None` before the first measurement.
    pub rtt: Option<Duration>,
    /// Of a thousand datagrams that were sent to us, so many were lost.
    pub lost_in_permille: u16,
    /// Of a thousand datagrams that we sent.
    pub lost_out_permille: u16,
}

/// The beats of one link.
#[derive(Debug)]
pub(super) struct Pulse {
    origin: Instant,
    heard_at: Instant,
    next_beat: Instant,
    last: Option<(u64, Instant)>,
    quality: LinkQuality,
    /// What had been received, of how many, when the window began.
    window: (u64, u64),
    beats: u32,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Pulse {
        Pulse {
            origin: now,
            heard_at: now,
            next_beat: now,
            last: None,
            quality: LinkQuality::default(),
            window: (0, 0),
            beats: 0,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    pub(super) fn next_beat(&self) -> Instant {
        self.next_beat
    }

    pub(super) fn quality(&self) -> LinkQuality {
        self.quality
    }

    /// The beat that is due. `received`: how many datagrams came, of how many.
    pub(super) fn beat(&mut self, now: Instant, time_ms: u64, received: (u64, u64), is_wanted: bool) -> Beat {
        self.next_beat = now + BEAT_INTERVAL;
        self.beats += 1;
        if received.1 < self.window.1 {
            // The session is a new one.
            self.window = (0, 0);
        }
        if self.beats.is_multiple_of(WINDOW_BEATS) {
            let (came, sent) = (received.0 - self.window.0.min(received.0), received.1 - self.window.1);
            let lost = sent.saturating_sub(came) * 1000 / sent.max(1);
            self.quality.lost_in_permille = lost as u16;
            self.window = received;
        }
        let since = |at: Instant| now.saturating_duration_since(at).as_micros() as u64;
        Beat {
            time_ms,
            sent_us: since(self.origin),
            echo: self.last.map(|(sent_us, at)| (sent_us, since(at))),
            lost_permille: self.quality.lost_in_permille,
            is_wanted,
        }
    }

    /// A beat of the other side came.
    pub(super) fn beaten(&mut self, now: Instant, beat: &Beat) {
        self.last = Some((beat.sent_us, now));
        self.quality.lost_out_permille = beat.lost_permille.min(1000);
        let Some((sent_us, held_us)) = beat.echo else {
            return;
        };
        let now_us = now.saturating_duration_since(self.origin).as_micros() as u64;
        let Some(rtt_us) = now_us.checked_sub(sent_us).and_then(|us| us.checked_sub(held_us)) else {
            return;
        };
        let rtt = Duration::from_micros(rtt_us);
        let smoothed = self.quality.rtt.map_or(rtt, |former| (former * (SMOOTHING - 1) + rtt) / SMOOTHING);
        self.quality.rtt = Some(smoothed);
    }
}
