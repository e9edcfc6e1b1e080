//! A track's packets in; what each of its layers takes out.

use std::time::{Duration, Instant};

use super::{ENCODINGS_MAX, IncomingVideo, Layer, LayerCost, SourceLayers};

/// RFC 9628, section 4.2, and the others: temporal layers have no more than three bits; four are in use.
const TEMPORAL_MAX: usize = 4;

/// The time over which is averaged: so many spans of so long each.
const SPANS: usize = 8;
const SPAN: Duration = Duration::from_millis(250);

/// Of several streams one counts as ended after so many spans without a packet, while others come: who watches it sees nothing move.
const ENDED_AFTER_SPANS: u64 = 2;

/// And all do after so many: of a screen on which nothing moves there is a picture a second.
const ALL_ENDED_AFTER_SPANS: u64 = 5;

/// Of a keyframe a part counts: it is several times as large as what comes after it, and comes when somebody else begins to watch. Not
/// of one that follows another within the time over which is averaged: who sends many of them sends as much.
const KEYFRAME_SHARE: u32 = 4;

/// What came lately of each layer.
#[derive(Debug, Default)]
pub(crate) struct LayerMeter {
    layers: [[Metered; TEMPORAL_MAX]; ENCODINGS_MAX],
    heights: [u32; ENCODINGS_MAX],
    /// How many streams there may be, each of which is whole by itself.
    encodings: u8,
    /// By stream, the timestamp of the newest keyframe that counts in part, and its span.
    keyframes: [Option<(u32, u64)>; ENCODINGS_MAX],
    began_at: Option<Instant>,
}

/// What came lately of one layer alone.
#[derive(Debug, Default)]
struct Metered {
    /// Bytes by span, that of a number at its place modulo [`SPANS`].
    bytes: [u32; SPANS],
    first: Option<u64>,
    newest: u64,
}

impl LayerMeter {
    pub(crate) fn add(&mut self, now: Instant, rtp: &IncomingVideo) {
        let began_at = *self.began_at.get_or_insert(now);
        self.encodings = rtp.encodings;
        let Layer { spatial, temporal } = rtp.part.layer;
        let spatial = usize::from(rtp.encoding.saturating_add(spatial)).min(ENCODINGS_MAX - 1);
        let temporal = usize::from(temporal).min(TEMPORAL_MAX - 1);
        let keyframe = &mut self.keyframes[usize::from(rtp.encoding).min(ENCODINGS_MAX - 1)];
        let span = span(began_at, now);
        if rtp.begins_keyframe && keyframe.is_none_or(|(_, former)| span >= former + SPANS as u64) {
            *keyframe = Some((rtp.timestamp, span));
        }
        let is_part = |&(timestamp, began): &(u32, u64)| timestamp == rtp.timestamp && span <= began + 1;
        let share = if keyframe.as_ref().is_some_and(is_part) { KEYFRAME_SHARE } else { 1 };
        self.layers[spatial][temporal].add(span, rtp.payload.len() as u32 / share);
        for (height, known) in rtp.heights.into_iter().zip(&mut self.heights[usize::from(rtp.encoding)..]) {
            if height > 0 {
                *known = height;
            }
        }
    }

    /// What is known of the layers.
    pub(crate) fn layers(&self, now: Instant) -> SourceLayers {
        let (costs, smallest_height) = (self.costs(now), self.heights[0]);
        SourceLayers { costs, smallest_height, encodings: self.encodings, ..SourceLayers::default() }
    }

    fn is_simulcast(&self) -> bool {
        self.encodings > 1
    }

    /// Of all of which something came lately, with what they are made of.
    fn costs(&self, now: Instant) -> Vec<LayerCost> {
        let Some(now) = self.began_at.map(|began_at| span(began_at, now)) else {
            return Vec::new();
        };
        let mut costs = Vec::new();
        // By temporal layer, with the slower ones: of all that is smaller.
        let mut smaller = [0; TEMPORAL_MAX];
        for (spatial, layers) in self.layers.iter().enumerate() {
            let mut slower = 0;
            let mut is_sent = false;
            let has_ended = self.has_ended(layers, now);
            for (temporal, layer) in layers.iter().enumerate() {
                let kbps = if has_ended { 0 } else { layer.kbps(now) };
                slower += kbps;
                let is_new = kbps > 0;
                is_sent |= is_new;
                let below = if self.is_simulcast() { 0 } else { smaller[temporal] };
                if is_new {
                    let layer = Layer { spatial: spatial as u8, temporal: temporal as u8 };
                    costs.push(LayerCost { layer, kbps: slower + below, height: self.heights[spatial] });
                }
                smaller[temporal] += slower;
            }
            if !is_sent && !self.is_simulcast() {
                break;
            }
        }
        costs
    }

    /// The streams of which something came lately.
    pub(crate) fn encodings(&self, now: Instant) -> impl Iterator<Item = u8> + Clone {
        let now = self.began_at.filter(|_| self.is_simulcast()).map(|began_at| span(began_at, now));
        let is_sent = move |layers: &[Metered; TEMPORAL_MAX]| {
            now.is_some_and(|now| {
                !self.has_ended(layers, now) && layers.iter().any(|layer| layer.kbps(now) > 0)
            })
        };
        (0..).zip(&self.layers).filter(move |(_, layers)| is_sent(layers)).map(|(number, _)| number)
    }

    /// Whether nothing comes any more of a stream, in whichever of its layers: an encoder that has too much to say leaves some frames out.
    fn has_ended(&self, layers: &[Metered; TEMPORAL_MAX], now: u64) -> bool {
        let newest_of =
            |layers: &[Metered; TEMPORAL_MAX]| layers.iter().map(|layer| layer.newest).max().unwrap_or(0);
        let newest = newest_of(layers);
        let of_all = self.layers.iter().map(newest_of).max().unwrap_or(0);
        self.is_simulcast() && (of_all > newest + ENDED_AFTER_SPANS || now > newest + ALL_ENDED_AFTER_SPANS)
    }
}

impl Metered {
    fn add(&mut self, span: u64, bytes: u32) {
        if self.first.is_none() || span >= self.newest + SPANS as u64 {
            (self.bytes, self.first) = ([0; SPANS], Some(span));
        } else {
            (self.newest + 1..=span).for_each(|passed| self.bytes[place(passed)] = 0);
        }
        self.newest = self.newest.max(span);
        self.bytes[place(span)] += bytes;
    }

    fn kbps(&self, now: u64) -> u32 {
        let Some(first) = self.first.filter(|_| now < self.newest + SPANS as u64) else {
            return 0;
        };
        let oldest = now.saturating_sub(SPANS as u64 - 1).max(first);
        let bytes: u32 = (oldest..=self.newest).map(|span| self.bytes[place(span)]).sum();
        let spans = now - oldest + 1;
        (u64::from(bytes) * 8 / (spans * SPAN.as_millis() as u64)) as u32
    }
}

fn span(began_at: Instant, now: Instant) -> u64 {
    (now.saturating_duration_since(began_at).as_millis() / SPAN.as_millis()) as u64
}

fn place(span: u64) -> usize {
    (span % SPANS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Part, VideoCodec, VideoFormat};

    /// A frame of 1000 bytes of the smaller of two streams.
    fn frame(n: u32, temporal: u8) -> IncomingVideo {
        IncomingVideo {
            encoding: 0,
            encodings: 2,
            ssrc: 1,
            seq: n.into(),
            timestamp: n * 9_000,
            marker: true,
            format: VideoFormat { codec: VideoCodec::Vp8, profile: 0, mode: 0 },
            begins_keyframe: false,
            part: Part { layer: Layer { spatial: 0, temporal }, ..Part::default() },
            descriptor: None,
            heights: [180; ENCODINGS_MAX],
            payload: vec![0; 1_000].into(),
        }
    }

    /// Ten frames a second, of which each fourth has to be had by all.
    fn ten_a_second(meter: &mut LayerMeter, start: Instant, frames: std::ops::Range<u32>) -> Instant {
        let mut at = start;
        for n in frames {
            at = start + Duration::from_millis(100) * n;
            meter.add(at, &frame(n, [0, 2, 1, 2][n as usize % 4]));
        }
        at
    }

    fn kbps(meter: &LayerMeter, now: Instant) -> Vec<u32> {
        meter.layers(now).costs.iter().map(|cost| cost.kbps).collect()
    }

    #[test]
    fn a_layer_whose_frames_are_rare_does_not_end_with_one_that_is_left_out() {
        let (mut meter, start) = (LayerMeter::default(), Instant::now());
        let now = ten_a_second(&mut meter, start, 0..40);
        assert_eq!(kbps(&meter, now), [20, 40, 80]);
        for n in [41, 42, 43, 45, 46, 47] {
            meter.add(start + Duration::from_millis(100) * n, &frame(n, if n % 2 == 0 { 1 } else { 2 }));
        }
        let costs = kbps(&meter, start + Duration::from_millis(4_700));
        assert!(costs.len() == 3 && costs[0] >= 8 && costs[2] >= 50, "{costs:?}");
        assert!(
            !kbps(&meter, start + Duration::from_millis(5_700)).is_empty(),
            "nor a screen that stands still"
        );
        assert!(kbps(&meter, start + Duration::from_millis(6_300)).is_empty(), "until nothing comes at all");
    }

    #[test]
    fn a_keyframe_is_no_reason_to_have_less() {
        let (mut meter, start) = (LayerMeter::default(), Instant::now());
        let now = ten_a_second(&mut meter, start, 0..40);
        let before = kbps(&meter, now);
        for part in 0..8 {
            meter.add(now, &IncomingVideo { begins_keyframe: part == 0, ..frame(40, 0) });
        }
        let after = kbps(&meter, now);
        assert!(after[2] <= before[2] * 5 / 4, "{before:?}, then {after:?}");
        // Where there is nothing but keyframes they count whole.
        let (mut meter, mut now) = (LayerMeter::default(), start);
        for n in 0..40 {
            now = start + Duration::from_millis(100) * n;
            meter.add(now, &IncomingVideo { begins_keyframe: true, ..frame(n, 0) });
        }
        assert!(kbps(&meter, now)[0] >= 70, "{:?}", kbps(&meter, now));
    }
}
