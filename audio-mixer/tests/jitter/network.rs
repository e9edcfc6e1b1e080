//! A phone that sends, and the network it sends over: what arrives when. Seeded, in virtual time.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Samples in a millisecond.
pub(crate) const MS: usize = 16;

/// A phone that sends a piece of sound over and over. The unit of its RTP clock is a sample of 16 kHz.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    /// Lengths of its packets in ms, in turn.
    pub(crate) packets_ms: Vec<u64>,
    /// How much faster its clock runs than that of the mix.
    pub(crate) drift_ppm: i64,
    pub(crate) first_sequence: u16,
    pub(crate) first_timestamp: u32,
    /// It sends nothing in the second half of each so many ms, and lets its timestamps go on (DTX).
    pub(crate) spurts_ms: Option<u64>,
}

impl Default for Phone {
    fn default() -> Phone {
        Phone { packets_ms: vec![20], drift_ppm: 0, first_sequence: 0, first_timestamp: 0, spurts_ms: None }
    }
}

/// What a network does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Delays are even between 0 and this.
    pub(crate) jitter_ms: f64,
    /// Packets keep their order: what is late holds those after it up.
    pub(crate) is_fifo: bool,
    pub(crate) loss: Loss,
    pub(crate) duplicated: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Loss {
    #[default]
    None,
    Random(f64),
    /// Gilbert and Elliott: a bad state in which most is lost, left and entered with these probabilities at each packet.
    Bursts {
        enter: f64,
        leave: f64,
        lost_in: f64,
    },
}

/// A packet that arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving {
    pub(crate) at_us: u64,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// Where its sound starts in what the phone says, in samples.
    pub(crate) start: usize,
    pub(crate) count: usize,
}

pub(crate) struct Network {
    rng: SmallRng,
    is_bad: bool,
    last_arrival_us: u64,
    /// What was lost, by where it started.
    pub(crate) lost: Vec<(usize, usize)>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Network {
        Network { rng: SmallRng::seed_from_u64(seed), is_bad: false, last_arrival_us: 0, lost: Vec::new() }
    }

    /// All arrivals of so many ms of sound, in order of time. `weather` is asked by the time of sending in ms.
    pub(crate) fn carry(
        &mut self,
        phone: &Phone,
        length_ms: u64,
        weather: impl Fn(u64) -> Weather,
    ) -> Vec<Arriving> {
        let mut arrivals = Vec::new();
        let (mut sent_ms, mut sequence) = (0, phone.first_sequence);
        for &packet_ms in phone.packets_ms.iter().cycle() {
            if sent_ms >= length_ms {
                break;
            }
            let start = sent_ms as usize * MS;
            let count = packet_ms as usize * MS;
            let begun_ms = sent_ms;
            sent_ms += packet_ms;
            if phone.spurts_ms.is_some_and(|spurt| begun_ms % spurt >= spurt / 2) {
                continue;
            }
            // A packet is sent when its sound has been recorded.
            let sent_us = (sent_ms * 1000) as i64;
            let sent_us = (sent_us - sent_us * phone.drift_ppm / 1_000_000) as u64;
            let packet = Arriving {
                at_us: sent_us,
                sequence,
                timestamp: phone.first_timestamp.wrapping_add(start as u32),
                start,
                count,
            };
            sequence = sequence.wrapping_add(1);
            self.deliver(packet, &weather(begun_ms), &mut arrivals);
        }
        arrivals.sort_by_key(|arriving| arriving.at_us);
        arrivals
    }

    fn deliver(&mut self, packet: Arriving, weather: &Weather, arrivals: &mut Vec<Arriving>) {
        let is_lost = match weather.loss {
            Loss::None => false,
            Loss::Random(probability) => self.rng.random_bool(probability),
            Loss::Bursts { enter, leave, lost_in } => {
                let changes = self.rng.random_bool(if self.is_bad { leave } else { enter });
                self.is_bad ^= changes;
                self.is_bad && self.rng.random_bool(lost_in)
            }
        };
        if is_lost {
            self.lost.push((packet.start, packet.count));
            return;
        }
        let delay_us = (self.rng.random::<f64>() * weather.jitter_ms * 1000.0) as u64;
        let mut at_us = packet.at_us + delay_us;
        if weather.is_fifo {
            at_us = at_us.max(self.last_arrival_us);
        }
        self.last_arrival_us = at_us;
        arrivals.push(Arriving { at_us, ..packet });
        if weather.duplicated > 0.0 && self.rng.random_bool(weather.duplicated) {
            arrivals.push(Arriving { at_us: at_us + 1000, ..packet });
        }
    }
}
