//! Frames of all who speak in; their sum, with or without one of them, out.

use crate::{FRAME_SAMPLES, Frame};

/// A sum of frames, beyond the ends of `i16`. A [`Limiter`](crate::Limiter) makes a frame of it.
pub type Sum = [i32; FRAME_SAMPLES];

/// Everybody else, never oneself: each frame is added once, and taken away for who spoke it.
///
/// Integers, so that what is taken away is what was added, to the bit: nobody hears a trace of themselves. That is
/// true of the very frame that was added, so who speaks keeps it for the tick, after all that is done to it
/// ([`GainControl`](crate::GainControl), [`Ramp`](crate::Ramp)). 65 535 frames don't overflow it.
///
/// ```
/// use audio_mixer::{Limiter, MixMinus};
///
/// let (ada, ben) = ([100; 320], [-20; 320]);
/// let mut mix = MixMinus::new();
/// mix.add(&ada);
/// mix.add(&ben);
/// assert_eq!(mix.without(&ada), [-20; 320]);
/// assert_eq!(mix.all(), &[80; 320]);
/// ```
#[derive(Clone, Debug)]
pub struct MixMinus {
    total: Sum,
}

impl MixMinus {
    /// A mix of nobody.
    pub const fn new() -> MixMinus {
        MixMinus { total: [0; FRAME_SAMPLES] }
    }

    /// Adds who speaks in this tick.
    pub fn add(&mut self, frame: &Frame) {
        for (total, &sample) in self.total.iter_mut().zip(frame) {
            *total += i32::from(sample);
        }
    }

    /// What those hear who don't speak.
    pub const fn all(&self) -> &Sum {
        &self.total
    }

    /// What who spoke `own` hears: `own` has been added.
    pub fn without(&self, own: &Frame) -> Sum {
        std::array::from_fn(|n| self.total[n] - i32::from(own[n]))
    }
}

impl Default for MixMinus {
    fn default() -> MixMinus {
        MixMinus::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        prop::collection::vec(any::<i16>(), FRAME_SAMPLES).prop_map(|samples| samples.try_into().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn without_one_is_the_sum_of_the_others(frames in prop::collection::vec(frame(), 1..17)) {
            let mut mix = MixMinus::new();
            frames.iter().for_each(|frame| mix.add(frame));
            for own in 0..frames.len() {
                let mut others = MixMinus::new();
                frames.iter().enumerate().filter(|(n, _)| *n != own).for_each(|(_, frame)| others.add(frame));
                prop_assert!(mix.without(&frames[own]) == *others.all());
            }
        }
    }

    #[test]
    fn who_is_alone_hears_nothing() {
        let own = std::array::from_fn(|n| (n * 97 % 65_536) as u16 as i16);
        let mut mix = MixMinus::new();
        mix.add(&own);
        assert_eq!(mix.without(&own), [0; FRAME_SAMPLES]);
    }
}
