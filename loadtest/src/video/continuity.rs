//! Whether a decoder could go on from one packet of a stream to the next: packets in, faults out.
//!
//! A decoder of VP8 knows no sources and no sizes: it sees one stream, in which everything is there that a frame needs. So what is
//! checked is that no number is left out, that frames are whole, that another source or size begins with a keyframe, and that no frame
//! needs one of a layer that wasn't passed on.

use std::ops::AddAssign;

use serde::Serialize;

use super::descriptor::{PICTURE_ID_MASK, PictureReader};

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    /// Sequence numbers that didn't come, or came late.
    pub(crate) missing: u64,
    /// Packets that came after a later one, or twice.
    pub(crate) late: u64,
    /// Payloads that aren't what a camera sends.
    pub(crate) unreadable: u64,
    /// Frames without their beginning or their end.
    pub(crate) incomplete: u64,
    /// Frames whose PictureID isn't one more than that before.
    pub(crate) picture_ids: u64,
    /// Frames whose TL0PICIDX doesn't follow from that before.
    pub(crate) tl0: u64,
    /// Frames whose time isn't later than that before.
    pub(crate) timestamps: u64,
    /// Frames that need one that isn't there: of another source before its keyframe, or of a layer that wasn't passed on.
    pub(crate) undecodable: u64,
}

impl Faults {
    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        let Faults { missing, late, unreadable, incomplete, picture_ids, tl0, timestamps, undecodable } =
            *self;
        missing + late + unreadable + incomplete + picture_ids + tl0 + timestamps + undecodable
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.missing += other.missing;
        self.late += other.late;
        self.unreadable += other.unreadable;
        self.incomplete += other.incomplete;
        self.picture_ids += other.picture_ids;
        self.tl0 += other.tl0;
        self.timestamps += other.timestamps;
        self.undecodable += other.undecodable;
    }
}

/// A packet, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Continued beyond 16 bits.
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// Whose picture it is of.
    pub(super) source: u32,
    pub(super) payload: &'a [u8],
}

/// What a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// A keyframe, so many pixels high.
    Keyframe(u16),
    /// Another frame.
    Frame,
    /// Nothing: it goes on with one.
    Nothing,
}

/// One stream: that of a slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Continuity {
    last: Option<Last>,
    pub(super) faults: Faults,
    /// Frames that a keyframe of another source or size cut short. A decoder passes them over: the keyframe needs nothing.
    pub(super) cut_short: u64,
}

/// The newest packet, and the frame that it is of.
#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    /// The frame ended with it.
    ended: bool,
    source: u32,
    picture_id: u16,
    tl0: u8,
    /// Bit by bit, the temporal layers of which a frame came since the latest of layer 0.
    layers: u8,
}

impl Continuity {
    /// Notes a packet.
    pub(super) fn note(&mut self, packet: Packet<'_>) -> Begins {
        let faults = &mut self.faults;
        let Some(read) = PictureReader::read(packet.payload) else {
            faults.unreadable += 1;
            return Begins::Nothing;
        };
        let former = self.last;
        if let Some(last) = former {
            if packet.sequence <= last.sequence {
                faults.late += 1;
                return Begins::Nothing;
            }
            faults.missing += packet.sequence - last.sequence - 1;
        }
        let is_new = former.is_none_or(|last| last.timestamp != packet.timestamp);
        let mut now = Last {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ended: packet.marker,
            source: packet.source,
            picture_id: read.picture_id,
            tl0: read.tl0,
            layers: former.map_or(0, |last| last.layers),
        };
        if is_new {
            let is_cut_short = former.is_some_and(|last| !last.ended) && read.keyframe_height.is_some();
            self.cut_short += u64::from(is_cut_short);
            faults.note_frame(&read, former.as_ref(), &mut now);
        } else if let Some(last) = former {
            // After its end, with another number, or with another beginning it isn't the same frame.
            let is_same = !last.ended && last.picture_id == read.picture_id && last.source == packet.source;
            faults.incomplete += u64::from(!is_same || read.begins);
        }
        self.last = Some(now);
        match (is_new && read.begins, read.keyframe_height) {
            (true, Some(height)) => Begins::Keyframe(height),
            (true, None) => Begins::Frame,
            (false, _) => Begins::Nothing,
        }
    }
}

impl Faults {
    /// The first packet of a frame that came.
    fn note_frame(&mut self, read: &PictureReader, former: Option<&Last>, now: &mut Last) {
        self.incomplete += u64::from(!read.begins);
        let is_keyframe = read.keyframe_height.is_some();
        let temporal = read.place.temporal.min(u8::BITS as u8 - 1);
        let is_base = temporal == 0;
        now.layers = if is_base { 1 } else { now.layers | 1 << temporal };
        let Some(last) = former else {
            self.undecodable += u64::from(!is_keyframe);
            return;
        };
        self.incomplete += u64::from(!last.ended && !is_keyframe);
        let step = read.picture_id.wrapping_sub(last.picture_id) & PICTURE_ID_MASK;
        self.picture_ids += u64::from(step != 1);
        let tl0 = if is_base { last.tl0.wrapping_add(1) } else { last.tl0 };
        self.tl0 += u64::from(read.tl0 != tl0);
        self.timestamps += u64::from(now.timestamp.wrapping_sub(last.timestamp) as i32 <= 0);
        // Of the clips' frames, those that aren't marked so need the one before of the layer below.
        let needs = if is_base || read.place.is_sync { 0 } else { 1 << (temporal - 1) };
        let has_what_it_needs = last.layers & needs == needs;
        let is_of_another = last.source != now.source;
        self.undecodable += u64::from(!is_keyframe && (is_of_another || !has_what_it_needs));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Packetizer, sizes};
    use super::*;

    /// A stream as a server makes it of one or more sources.
    #[derive(Default)]
    struct Stream {
        packets: Vec<(u32, bool, u32, Arc<[u8]>)>,
        timestamp: u32,
    }

    impl Stream {
        /// Frames of the clips from the first on, those that `passes` says, numbered on by one packetizer.
        fn send(
            &mut self,
            packetizer: &mut Packetizer,
            source: u32,
            size: usize,
            passes: impl Fn(usize) -> bool,
        ) {
            let mut at = 0;
            for number in 0..40 {
                let (frame, place) = sizes()[size].frame(at);
                at = sizes()[size].after(at);
                self.timestamp += 3_000;
                if passes(number) {
                    let payloads = packetizer.packetize(frame, place);
                    let last = payloads.len() - 1;
                    let packets = payloads.into_iter().enumerate();
                    self.packets.extend(packets.map(|(at, it)| (self.timestamp, at == last, source, it)));
                }
            }
        }

        fn faults(&self) -> Faults {
            self.faults_of(0..self.packets.len())
        }

        fn faults_of(&self, numbers: impl IntoIterator<Item = usize>) -> Faults {
            let mut continuity = Continuity::default();
            for number in numbers {
                let (timestamp, marker, source, payload) = &self.packets[number];
                let (timestamp, marker, source) = (*timestamp, *marker, *source);
                continuity.note(Packet { sequence: number as u64, timestamp, marker, source, payload });
            }
            continuity.faults
        }
    }

    fn stream(passes: impl Fn(usize) -> bool) -> Stream {
        let mut stream = Stream::default();
        stream.send(&mut Packetizer::new(32_760), 1, 1, passes);
        stream
    }

    #[test]
    fn sources_sizes_and_fewer_frames_one_after_another_are_one_stream() {
        let (mut stream, mut packetizer) = (Stream::default(), Packetizer::new(32_700));
        stream.send(&mut packetizer, 1, 2, |_| true);
        stream.send(&mut packetizer, 2, 0, |number| number % 4 == 0);
        stream.send(&mut packetizer, 2, 1, |number| number % 2 == 0);
        // Layer 0 only, and from a frame that needs nothing else on, all.
        stream.send(&mut packetizer, 2, 0, |number| number % 4 == 0 || number > 12);
        stream.send(&mut packetizer, 2, 0, |number| number % 4 == 0 || number > 13);
        assert_eq!(stream.faults(), Faults::default());
    }

    #[test]
    fn a_frame_that_needs_what_was_not_passed_on_is_noticed() {
        let up = stream(|number| number % 4 == 0 || number > 14);
        assert_eq!(up.faults(), Faults { undecodable: 1, ..Faults::default() });
    }

    #[test]
    fn another_source_begins_with_a_keyframe() {
        let (mut stream, mut packetizer) = (Stream::default(), Packetizer::new(7));
        stream.send(&mut packetizer, 1, 0, |_| true);
        stream.send(&mut packetizer, 2, 0, |number| number >= 4);
        assert_eq!(stream.faults(), Faults { undecodable: 1, ..Faults::default() });
        let late = self::stream(|number| number >= 4);
        assert_eq!(late.faults().undecodable, 1, "so does the first one");
    }

    #[test]
    fn what_is_missing_late_or_twice_is_noticed() {
        let whole = stream(|_| true);
        let last = whole.packets.len() - 1;
        let without = |left_out: usize| whole.faults_of((0..=last).filter(|number| *number != left_out));
        // The second packet of the keyframe; the last one; a whole frame of one packet.
        assert_eq!(without(1), Faults { missing: 1, ..Faults::default() });
        let end = whole.packets.iter().position(|(_, marker, ..)| *marker).expect("frames end");
        assert_eq!(without(end), Faults { missing: 1, incomplete: 1, ..Faults::default() });
        let twice = whole.faults_of((0..=last).chain([last]));
        assert_eq!(twice, Faults { late: 1, ..Faults::default() });
        assert_eq!(whole.faults_of([0, 2, 1]), Faults { missing: 1, late: 1, ..Faults::default() });
    }

    #[test]
    fn a_keyframe_may_cut_a_frame_short_and_another_frame_may_not() {
        let (mut stream, mut packetizer) = (Stream::default(), Packetizer::new(7));
        stream.send(&mut packetizer, 1, 2, |number| number == 0);
        stream.packets.pop();
        stream.send(&mut packetizer, 2, 2, |_| true);
        assert_eq!(stream.faults(), Faults::default());
        let (end, ..) = stream.packets.iter().enumerate().find(|(_, it)| it.2 == 2 && it.1).expect("it ends");
        stream.packets.remove(end);
        assert_eq!(stream.faults(), Faults { incomplete: 1, ..Faults::default() });
    }

    #[test]
    fn pictures_that_are_numbered_anew_are_noticed() {
        let mut stream = Stream::default();
        stream.send(&mut Packetizer::new(7), 1, 0, |_| true);
        stream.send(&mut Packetizer::new(300), 1, 0, |_| true);
        assert_eq!(stream.faults(), Faults { picture_ids: 1, tl0: 1, ..Faults::default() });
        stream
            .packets
            .iter_mut()
            .skip(60)
            .for_each(|(timestamp, ..)| *timestamp = timestamp.wrapping_sub(200_000));
        assert_eq!(stream.faults().timestamps, 1);
    }

    #[test]
    fn garbage_is_counted() {
        let mut continuity = Continuity::default();
        let packet = Packet { sequence: 1, timestamp: 0, marker: true, source: 1, payload: &[0xFF; 3] };
        assert_eq!(continuity.note(packet), Begins::Nothing);
        assert_eq!(continuity.faults.total(), 1);
    }
}
