//! Samples at one rate in, as many as that takes at the other rate out.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

/// What is transformed at once, in chunks a second: packets of 10, 20, 30, 40 and 60 ms are whole chunks.
const CHUNKS_HZ: u32 = 100;

/// Between two rates that are multiples of 100 Hz, late by 5 ms.
///
/// The window is Blackman's. With 10 ms of filter rubato's usual one, Blackman-Harris squared, would begin to fall at
/// 2.5 kHz; this one is flat to 3.4 kHz, and rejects 74 dB from 4 kHz on.
pub(super) struct Resampler {
    fft: Fft<f32>,
    /// Less than a chunk of input, which waits for the rest.
    rest: Vec<f32>,
    chunk: Vec<f32>,
    chunk_in: usize,
    /// Output that nobody asked for yet: none, as long as the input is whole chunks.
    ready: Vec<i16>,
}

impl Resampler {
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Resampler {
        let chunk_in = (from_hz / CHUNKS_HZ) as usize;
        let chunk_out = (to_hz / CHUNKS_HZ) as usize;
        let (from, to) = (from_hz as usize, to_hz as usize);
        let fft = Fft::new_custom(from, to, chunk_in, 1, 1, WindowFunction::Blackman, FixedSync::Both)
            .expect("both rates are above zero");
        debug_assert_eq!((fft.input_frames_next(), fft.output_frames_next()), (chunk_in, chunk_out));
        Resampler {
            fft,
            rest: Vec::with_capacity(chunk_in),
            chunk: vec![0.0; chunk_out],
            chunk_in,
            ready: Vec::new(),
        }
    }

    /// Appends exactly what the input takes at the other rate. Input that isn't whole chunks makes the output later,
    /// once, by a chunk: what is left of it waits for the next call, and from then on there is always enough.
    pub(super) fn resample(&mut self, input: &[i16], output: &mut Vec<i16>) {
        let wanted = input.len() * self.chunk.len() / self.chunk_in;
        for part in input.chunks(self.chunk_in) {
            self.push(part);
        }
        if self.ready.len() < wanted {
            self.ready.splice(0..0, std::iter::repeat_n(0, self.chunk.len()));
        }
        output.extend(self.ready.drain(..wanted));
    }

    /// Forgets what it holds: what follows it is no continuation.
    pub(super) fn begin_anew(&mut self) {
        self.fft.reset();
        self.rest.clear();
        self.ready.clear();
    }

    /// Takes at most a chunk.
    fn push(&mut self, part: &[i16]) {
        let (now, later) = part.split_at(part.len().min(self.chunk_in - self.rest.len()));
        self.rest.extend(now.iter().map(|&sample| f32::from(sample)));
        if self.rest.len() < self.chunk_in {
            return;
        }
        self.transform();
        self.ready.extend(self.chunk.iter().map(|&sample| rounded(sample)));
        self.rest.clear();
        self.rest.extend(later.iter().map(|&sample| f32::from(sample)));
    }

    fn transform(&mut self) {
        let length = self.chunk.len();
        let input = SequentialSlice::new(&self.rest, 1, self.chunk_in).expect("the rest is a whole chunk");
        let mut output =
            SequentialSlice::new_mut(&mut self.chunk, 1, length).expect("a chunk has its length");
        self.fft.process_into_buffer(&input, &mut output, None).expect("both buffers are of a chunk");
    }
}

/// To the nearest, and to the ends of `i16` where a filter overshoots them.
fn rounded(sample: f32) -> i16 {
    (sample + 0.5_f32.copysign(sample)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(length: usize) -> Vec<i16> {
        (0..length).map(|n| (n % 97) as i16 * 100).collect()
    }

    #[test]
    fn whole_chunks_are_not_held() {
        let mut resampler = Resampler::new(8_000, 16_000);
        for length in [80, 160, 240, 320, 480] {
            let mut output = Vec::new();
            resampler.resample(&ramp(length), &mut output);
            assert_eq!(output.len(), 2 * length);
            assert!(resampler.ready.is_empty() && resampler.rest.is_empty());
        }
    }

    #[test]
    fn odd_lengths_give_what_they_take_and_lose_nothing() {
        let input = ramp(8_000);
        let (mut whole, mut odd) = (Vec::new(), Vec::new());
        Resampler::new(8_000, 16_000).resample(&input, &mut whole);
        let mut resampler = Resampler::new(8_000, 16_000);
        for part in input.chunks(33) {
            let before = odd.len();
            resampler.resample(part, &mut odd);
            assert_eq!(odd.len() - before, 2 * part.len());
        }
        // The first odd packet pushed 10 ms between; from there on it is the same sound.
        let late = 160;
        let same = odd[late + 66..].iter().zip(&whole[66..]).all(|(odd, whole)| odd == whole);
        assert!(same, "something was lost or added");
        assert!(odd[..late].iter().all(|&sample| sample == 0));
    }
}
