//! The decoder of a stream, and the one before it, for as long as packets of it wait.

use std::fmt;

use crate::Decoder;

pub(super) struct Decoders {
    current: Box<dyn Decoder>,
    previous: Option<Box<dyn Decoder>>,
    /// Decoders are counted from the first; this is the current one's number.
    generation: u32,
    selected: u32,
}

impl Decoders {
    pub(super) fn new(decoder: Box<dyn Decoder>) -> Decoders {
        Decoders { current: decoder, previous: None, generation: 0, selected: 0 }
    }

    /// The number of the decoder that new packets are for.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn current(&self) -> &dyn Decoder {
        &*self.current
    }

    /// New packets are for another decoder. Those of the one before the current one can't be decoded any more.
    pub(super) fn replace(&mut self, decoder: Box<dyn Decoder>) {
        self.previous = Some(std::mem::replace(&mut self.current, decoder));
        self.generation = self.generation.wrapping_add(1);
    }

    /// The decoder of this number; of an older one than the previous, the current.
    pub(super) fn select(&mut self, generation: u32) -> &mut dyn Decoder {
        self.selected = generation;
        if generation == self.generation {
            self.previous = None;
        }
        self.selected()
    }

    /// The decoder that was selected last.
    pub(super) fn selected(&mut self) -> &mut dyn Decoder {
        match &mut self.previous {
            Some(previous) if self.selected != self.generation => &mut **previous,
            _ => &mut *self.current,
        }
    }

    pub(super) fn is_selected(&self, generation: u32) -> bool {
        self.selected == generation
    }
}

impl fmt::Debug for Decoders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decoders").field("generation", &self.generation).finish_non_exhaustive()
    }
}
