//! A track's packets in; what each of its layers takes out.

use std::time::{Duration, Instant};

use super::{ENCODINGS_MAX, IncomingVideo, Layer, LayerCost, SourceLayers};

/// RFC 9628, section 4.2, and the others: temporal layers have no more than three bits; four are in use.
const TEMPORAL_MAX: usize = 4;

/// The time over which is averaged: so many spans of so long each. A keyframe is spread over it.
const SPANS: usize = 8;
const SPAN: Duration = Duration::from_millis(250);

/// Of several streams one counts as ended after so many spans without a packet: who watches it sees nothing move.
const ENDED_AFTER_SPANS: u64 = 2;

/// What came lately of each layer.
#[derive(Debug, Default)]
pub(crate) struct LayerMeter {
    layers: [[Metered; TEMPORAL_MAX]; ENCODINGS_MAX],
    heights: [u32; ENCODINGS_MAX],
    /// How many streams there may be, each of which is whole by itself.
    encodings: u8,
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
        self.layers[spatial][temporal].add(span(began_at, now), rtp.payload.len() as u32);
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
            for (temporal, layer) in layers.iter().enumerate() {
                let kbps = self.kbps(layer, now);
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
            now.is_some_and(|now| layers.iter().any(|layer| self.kbps(layer, now) > 0))
        };
        (0..).zip(&self.layers).filter(move |(_, layers)| is_sent(layers)).map(|(number, _)| number)
    }

    fn kbps(&self, layer: &Metered, now: u64) -> u32 {
        let has_ended = self.is_simulcast() && now > layer.newest + ENDED_AFTER_SPANS;
        if has_ended { 0 } else { layer.kbps(now) }
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
