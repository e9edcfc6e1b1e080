//! Packets in as they arrive, out in order of their numbers. Bounded; buffers are used again.

use std::collections::VecDeque;

/// The most packets that wait.
pub(super) const PACKETS_MAX: usize = 64;

/// The most sound that waits, in samples: 500 ms.
pub(super) const WAITING_MAX: i64 = 8000;

/// A packet that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// With its wraps.
    pub(super) sequence: i64,
    /// Where it begins, in samples of the mix.
    pub(super) position: i64,
    /// In samples of the mix; 0 for a packet without sound.
    pub(super) duration: i64,
    /// The decoder that it is for, counted from the first.
    pub(super) generation: u32,
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    packets: VecDeque<Waiting>,
    /// Buffers of packets that have gone.
    spare: Vec<Vec<u8>>,
    duration: i64,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { packets: VecDeque::new(), spare: Vec::new(), duration: 0 }
    }

    /// Puts a packet in its place; `payload` is copied into it. Whoever calls drops the first ones while the queue
    /// [`is_over`](Queue::is_over).
    pub(super) fn insert(&mut self, mut packet: Waiting, payload: &[u8]) {
        packet.payload = self.spare.pop().unwrap_or_default();
        packet.payload.extend_from_slice(payload);
        self.duration += packet.duration;
        let behind = self.packets.iter().rev().take_while(|other| other.sequence > packet.sequence).count();
        self.packets.insert(self.packets.len() - behind, packet);
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.packets.front()
    }

    /// Takes the first one. Its buffer comes back by [`Queue::recycle`].
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let packet = self.packets.pop_front()?;
        self.duration -= packet.duration;
        Some(packet)
    }

    pub(super) fn recycle(&mut self, mut payload: Vec<u8>) {
        if self.spare.len() < PACKETS_MAX {
            payload.clear();
            self.spare.push(payload);
        }
    }

    /// Drops the first one.
    pub(super) fn drop_first(&mut self) {
        if let Some(packet) = self.pop() {
            self.recycle(packet.payload);
        }
    }

    /// Drops what is not for this decoder, and says how many they were.
    pub(super) fn keep_generation(&mut self, generation: u32) -> u64 {
        let before = self.packets.len();
        self.packets.retain(|packet| packet.generation == generation);
        self.duration = self.packets.iter().map(|packet| packet.duration).sum();
        (before - self.packets.len()) as u64
    }

    /// Drops all, and says how many they were.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.packets.len();
        while !self.packets.is_empty() {
            self.drop_first();
        }
        count as u64
    }

    /// Holds more than it may.
    pub(super) fn is_over(&self) -> bool {
        self.packets.len() > PACKETS_MAX || self.duration > WAITING_MAX
    }

    /// How much sound waits, in samples.
    pub(super) fn duration(&self) -> i64 {
        self.duration
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: i64) -> Waiting {
        Waiting { sequence, position: 320 * sequence, duration: 320, generation: 0, payload: Vec::new() }
    }

    #[test]
    fn packets_leave_in_order() {
        let mut queue = Queue::new();
        for sequence in [3, 1, 2, 0] {
            queue.insert(packet(sequence), &[sequence as u8]);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|packet| packet.payload[0]).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(queue.duration(), 0);
    }

    #[test]
    fn half_a_second_is_the_limit() {
        let mut queue = Queue::new();
        (0..25).for_each(|sequence| queue.insert(packet(sequence), &[]));
        assert!(!queue.is_over());
        queue.insert(packet(25), &[]);
        assert!(queue.is_over());
    }

    #[test]
    fn packets_without_sound_are_limited_by_number() {
        let mut queue = Queue::new();
        (0..64).for_each(|sequence| queue.insert(Waiting { duration: 0, ..packet(sequence) }, &[]));
        assert!(!queue.is_over());
        queue.insert(Waiting { duration: 0, ..packet(64) }, &[]);
        assert!(queue.is_over());
    }
}
