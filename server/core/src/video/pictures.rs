//! Numbers of pictures of one stream after another in; numbers of one continuous stream out, without those that were left out.

use super::{PictureNumbers, VideoPacket};
use crate::left_out::LeftOut;

/// What a stream's first number is ahead of none, for those before it to have one: a turn of the longest.
const AHEAD: u64 = 1 << PictureNumbers::FRAME_BITS;

/// What an offset is ahead of none: a stream may have begun with smaller numbers than the one after it.
const OFFSET_AHEAD: u64 = 1 << 32;

/// So many pictures that were left out have a place to themselves: those of some seconds.
const LEFT_OUT_PICTURES: usize = 128;

/// A picture's numbers in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewrittenPicture {
    /// PictureID, of as many bits as it had.
    pub id: u16,
    /// TL0PICIDX, if it had one.
    pub tl0: Option<u8>,
}

/// The numbering of a slot's pictures.
#[derive(Clone, Debug)]
pub(super) struct Pictures {
    /// The newest of the stream that passes, counted on beyond its bits.
    newest_in: u64,
    /// What is added to a number to have that of the slot.
    offset: u64,
    tl0_offset: u8,
    left_out: LeftOut,
    /// The newest of the slot.
    newest_out: Option<(u64, u8)>,
}

/// The packet is of a picture that was left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WasLeftOut;

impl Default for Pictures {
    fn default() -> Pictures {
        let left_out = LeftOut::new(LEFT_OUT_PICTURES);
        Pictures { newest_in: 0, offset: 0, tl0_offset: 0, left_out, newest_out: None }
    }
}

impl Pictures {
    /// Another stream begins with this packet.
    pub(super) fn begin(&mut self, packet: &VideoPacket) -> Option<RewrittenPicture> {
        let numbers = packet.part.picture?;
        self.newest_in = u64::from(numbers.id) + AHEAD;
        self.left_out.clear();
        let tl0_in = numbers.tl0.unwrap_or(0);
        let (id, tl0) = match self.newest_out {
            Some((id, tl0)) => (id + 1, tl0.wrapping_add(1)),
            None => (self.newest_in, tl0_in),
        };
        self.offset = (id + OFFSET_AHEAD).saturating_sub(self.newest_in);
        self.tl0_offset = tl0.wrapping_sub(tl0_in);
        self.newest_out = Some((id, tl0));
        Some(rewritten(id, tl0, numbers))
    }

    /// The numbers of a packet of the stream that passes.
    pub(super) fn place(&mut self, packet: &VideoPacket) -> Result<Option<RewrittenPicture>, WasLeftOut> {
        let Some(numbers) = packet.part.picture else {
            return Ok(None);
        };
        let id_in = self.counted_on(numbers);
        let placed = self.left_out.place(id_in).ok_or(WasLeftOut)?;
        self.newest_in = self.newest_in.max(id_in);
        let id = (placed + self.offset).saturating_sub(OFFSET_AHEAD);
        let tl0 = numbers.tl0.unwrap_or(0).wrapping_add(self.tl0_offset);
        if self.newest_out.is_none_or(|(newest, _)| id > newest) {
            self.newest_out = Some((id, tl0));
        }
        Ok(Some(rewritten(id, tl0, numbers)))
    }

    /// A packet of the stream that passes doesn't: nor does its picture.
    pub(super) fn leave_out(&mut self, packet: &VideoPacket) {
        let Some(id_in) = packet.part.picture.map(|numbers| self.counted_on(numbers)) else {
            return;
        };
        if id_in > self.newest_in {
            if packet.part.picture.is_some_and(|numbers| numbers.bits < PictureNumbers::FRAME_BITS) {
                self.left_out.leave_out(id_in);
            }
            self.newest_in = id_in;
        }
    }

    /// The number beyond its bits: the one nearest to the newest.
    fn counted_on(&self, numbers: PictureNumbers) -> u64 {
        let turn = 1_u64 << numbers.bits;
        let ahead = u64::from(numbers.id).wrapping_sub(self.newest_in) & (turn - 1);
        if ahead < turn / 2 { self.newest_in + ahead } else { (self.newest_in + ahead).saturating_sub(turn) }
    }
}

fn rewritten(id: u64, tl0: u8, numbers: PictureNumbers) -> RewrittenPicture {
    RewrittenPicture { id: (id & ((1 << numbers.bits) - 1)) as u16, tl0: numbers.tl0.map(|_| tl0) }
}
