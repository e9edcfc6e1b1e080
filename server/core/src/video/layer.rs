//! Which part of a camera's pictures: how large, and how many a second.

/// A layer of a camera's pictures. Whoever gets one gets all that it is made of: the slower ones, and, with scalable coding (SVC), the
/// smaller ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer {
    /// How large: 0 is the smallest. With simulcast the number of the encoding.
    pub spatial: u8,
    /// How many a second: 0 is the fewest.
    pub temporal: u8,
}

impl Layer {
    /// All that there is.
    pub const MAX: Layer = Layer { spatial: u8::MAX, temporal: u8::MAX };
}

/// What it takes to forward a layer, as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// Which one.
    pub layer: Layer,
    /// With all that it is made of, kbit/s.
    pub kbps: u32,
    /// How high its pictures are, in pixels; 0 if that isn't known.
    pub height: u32,
}
