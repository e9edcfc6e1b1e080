//! Times of arrival in, the delay out that a jitter buffer should have.
//!
//! A packet's *transit* is when it arrived minus where it stands in the sender's sound: it means nothing alone, and two of
//! them differ by what the network did. The least of the last seconds is the *base*: how late a packet is, is
//! counted from there. All is in samples of the mix, 16 a millisecond.

/// Sound of packets is late by no more than this for one packet in 33: the rest are concealed. NetEq's quantile has
/// been 0.95 and 0.97.
const LATE: f32 = 0.03;

/// For how long an arrival counts, in samples: 2 s. NetEq forgets more slowly, and holds a call's delay up for longer
/// after its network has become good.
const FORGET_SAMPLES: f32 = 32_000.0;

/// 4 ms.
const BIN_SAMPLES: i64 = 64;

/// 512 ms: whatever is later is as late as that.
const BINS: usize = 128;

/// The base is the least transit of so many windows of a second each.
const WINDOWS: usize = 8;
const WINDOW_SAMPLES: i64 = 16_000;

/// The target falls by one sample in so many: 50 ms a second.
const FALL: i64 = 20;

/// Least and greatest target, in samples: 20 and 300 ms.
pub(super) const TARGET_MIN: i64 = 320;
pub(super) const TARGET_MAX: i64 = 4800;

/// What delay catches all but the latest packets.
///
/// As NetEq's `DelayManager` does, it takes a quantile of a histogram that forgets. Other than there, bins stand for
/// transits and not for lateness, so that they stay right when the base moves: with the drift of clocks, or with a
/// route. The idea of playing a spurt by the distribution of earlier delays is from Ramjee, Kurose, Towsley and
/// Schulzrinne, "Adaptive playout mechanisms for packetized audio applications in wide-area networks", INFOCOM 1994,
/// and the histogram's from Moon, Kurose and Towsley, "Packet audio playout delay adjustment", 1998.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    minima: [Option<i64>; WINDOWS],
    window: i64,
    base: Option<i64>,
    /// A ring: transits from `lowest * BIN_SAMPLES` on.
    bins: [f32; BINS],
    lowest: i64,
    /// The last bin that holds anything worth mentioning.
    highest: i64,
    total: f32,
    /// What the next arrival counts. It grows, for that is less work than to let all others shrink.
    weight: f32,
    target_transit: i64,
    judged_at: i64,
}

impl Delay {
    pub(super) fn new() -> Delay {
        Delay {
            minima: [None; WINDOWS],
            window: 0,
            base: None,
            bins: [0.0; BINS],
            lowest: 0,
            highest: 0,
            total: 0.0,
            weight: 1.0,
            target_transit: i64::MIN / 2,
            judged_at: 0,
        }
    }

    /// The least transit of late; `None` before the first packet.
    pub(super) fn base(&self) -> Option<i64> {
        self.base
    }

    /// What the delay should be, in samples above the base.
    pub(super) fn target(&self) -> i64 {
        self.base.map_or(TARGET_MIN, |base| (self.target_transit - base).clamp(TARGET_MIN, TARGET_MAX))
    }

    /// A packet of so many samples arrived.
    pub(super) fn arrived(&mut self, at: i64, transit: i64, duration: i64) {
        let base = self.follow_base(at, transit);
        self.make_room_from(base.div_euclid(BIN_SAMPLES));
        let last = self.lowest + BINS as i64 - 1;
        let bin = transit.div_euclid(BIN_SAMPLES).clamp(self.lowest, last);
        let counted = self.weight * duration as f32;
        self.bins[slot(bin)] += counted;
        self.total += counted;
        self.highest = self.highest.max(bin);
        self.weight *= 1.0 + duration as f32 / FORGET_SAMPLES;
        if self.weight > 1e6 {
            self.bins.iter_mut().for_each(|bin| *bin /= self.weight);
            self.total = self.bins.iter().sum();
            self.weight = 1.0;
        }
        let quantile = (self.quantile_bin() + 1) * BIN_SAMPLES;
        // Up at once, for what is late is heard; down slowly, for what was late may come again.
        let fallen = self.target_transit - (at - self.judged_at).max(0) / FALL;
        // Time that is too short to fall by a sample is kept for the next packet.
        if quantile >= fallen || fallen < self.target_transit {
            self.judged_at = at;
        }
        let bounds = (base + TARGET_MIN, base + TARGET_MAX);
        self.target_transit = quantile.max(fallen).clamp(bounds.0, bounds.1);
    }

    fn follow_base(&mut self, at: i64, transit: i64) -> i64 {
        let window = at.div_euclid(WINDOW_SAMPLES);
        let passed = (window - self.window).clamp(0, WINDOWS as i64) as usize;
        self.window = self.window.max(window);
        self.minima.rotate_right(passed);
        self.minima[..passed].fill(None);
        let least = self.minima[0].map_or(transit, |least| least.min(transit));
        self.minima[0] = Some(least);
        let base = self.minima.iter().flatten().fold(least, |base, &least| base.min(least));
        self.base = Some(base);
        base
    }

    /// Moves the ring, so that it begins at a bin.
    fn make_room_from(&mut self, lowest: i64) {
        let moved = lowest - self.lowest;
        self.lowest = lowest;
        let cleared = if moved >= 0 {
            lowest - moved + BINS as i64..lowest + BINS as i64
        } else {
            lowest..lowest - moved
        };
        let count = (cleared.end - cleared.start).min(BINS as i64);
        for bin in cleared.start..cleared.start + count {
            self.total -= std::mem::take(&mut self.bins[slot(bin)]);
        }
        self.highest = self.highest.clamp(lowest, lowest + BINS as i64 - 1);
    }

    /// The bin above which no more than [`LATE`] of all arrivals are.
    fn quantile_bin(&mut self) -> i64 {
        // What is forgotten but for a millionth is not looked at again.
        while self.highest > self.lowest && self.bins[slot(self.highest)] <= self.total * 1e-6 {
            self.highest -= 1;
        }
        let late = self.total * LATE;
        let mut above = 0.0;
        (self.lowest..=self.highest)
            .rev()
            .find(|&bin| {
                above += self.bins[slot(bin)];
                above > late
            })
            .unwrap_or(self.lowest)
    }
}

fn slot(bin: i64) -> usize {
    bin.rem_euclid(BINS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms for some seconds, late by what is said of each; the targets in ms after each.
    fn targets_ms(delay: &mut Delay, start_s: i64, seconds: i64, late_ms: impl Fn(i64) -> i64) -> Vec<i64> {
        let packets = 50 * start_s..50 * (start_s + seconds);
        packets
            .map(|n| {
                let transit = 16 * late_ms(n);
                delay.arrived(320 * n + transit, transit, 320);
                delay.target() / 16
            })
            .collect()
    }

    #[test]
    fn a_steady_network_needs_one_frame() {
        let targets = targets_ms(&mut Delay::new(), 0, 20, |n| n * 7 % 5);
        assert!(targets.iter().all(|&target| target == 20), "{targets:?}");
    }

    #[test]
    fn one_packet_in_fifty_may_be_late_and_one_in_ten_may_not() {
        let of = |every: i64| {
            let late = move |n| if n % every == 0 { 100 } else { 0 };
            targets_ms(&mut Delay::new(), 0, 20, late)[999]
        };
        assert_eq!(of(50), 20);
        assert!((100..=108).contains(&of(10)));
    }

    #[test]
    fn jitter_is_followed_within_a_second_and_forgotten_within_ten() {
        let mut delay = Delay::new();
        targets_ms(&mut delay, 0, 10, |_| 0);
        let rise = targets_ms(&mut delay, 10, 1, |n| n * 37 % 81);
        assert!(rise[49] >= 64, "{rise:?}");
        targets_ms(&mut delay, 11, 9, |n| n * 37 % 81);
        let fall = targets_ms(&mut delay, 20, 10, |_| 0);
        assert!(fall[25] >= 60 && fall[499] <= 24, "{fall:?}");
    }

    #[test]
    fn a_longer_route_becomes_the_base() {
        let mut delay = Delay::new();
        let targets = targets_ms(&mut delay, 0, 30, |n| if n < 500 { 0 } else { 120 });
        assert!(targets[550] >= 120);
        assert_eq!(targets[1499], 20);
    }

    #[test]
    fn a_target_is_never_above_300_ms() {
        let targets = targets_ms(&mut Delay::new(), 0, 5, |n| n % 3 * 5000);
        assert!(targets.iter().all(|&target| target <= 300), "{targets:?}");
    }
}
