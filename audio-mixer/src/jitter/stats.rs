//! What became of a stream, for metrics.

/// What became of a stream, since the buffer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Packets that came in.
    pub received: u64,
    /// Packets that did not, by sequence number. One that comes late is counted until it comes.
    pub lost: u64,
    /// Packets that came after their sound was due.
    pub late: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets whose payload the decoder, or anybody, could not take: malformed, or longer than 200 ms.
    pub malformed: u64,
    /// Packets that were dropped because more than 500 ms, or 64 packets, waited.
    pub overflowed: u64,
    /// Packets that fit no stream: strays, and what waited when its sender restarted or changed its codec twice.
    pub orphaned: u64,
    /// Samples of the mix that stand in the place of what was lost or late, 16 a millisecond.
    pub concealed_samples: u64,
    /// How often a period of sound was taken out, to shorten the delay.
    pub shortened: u64,
    /// How often a period of sound was played twice, to lengthen it.
    pub lengthened: u64,
    /// How much later sound is played than if it were at its arrival, had all packets the transit of the fastest.
    pub delay_ms: u32,
    /// What that should be.
    pub target_ms: u32,
    /// What waits, in packets and in milliseconds.
    pub waiting_packets: usize,
    /// See [`JitterStats::waiting_packets`].
    pub waiting_ms: u32,
    /// Interarrival jitter (RFC 3550, section 6.4.1), in units of the RTP clock.
    pub jitter: u32,
}
