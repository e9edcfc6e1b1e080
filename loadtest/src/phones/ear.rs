//! Whether there is sound in what a phone hears: frames in, how many were loud and the longest pause out.

use std::time::Duration;

use audio_mixer::{Frame, level_dbov};

use super::counts::HeardSound;

/// Louder than this is somebody who talks: voices are above -45 dBov, what is between their turns below -60.
const SOUND_DBOV: i8 = -50;

const FRAME: Duration = Duration::from_millis(20);

/// What one phone heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ear {
    frames: u64,
    with_sound: u64,
    pause_frames: u32,
    longest_pause_frames: u32,
}

impl Ear {
    /// 20 ms.
    pub(super) fn hear(&mut self, frame: &Frame) {
        self.frames += 1;
        if level_dbov(frame) > SOUND_DBOV {
            self.with_sound += 1;
            self.pause_frames = 0;
        } else {
            self.pause_frames += 1;
            self.longest_pause_frames = self.longest_pause_frames.max(self.pause_frames);
        }
    }

    pub(super) fn add_to(&self, heard: &mut HeardSound) {
        heard.add(self.frames, self.with_sound, FRAME * self.longest_pause_frames);
    }
}

#[cfg(test)]
mod tests {
    use audio_mixer::{FRAME_SAMPLES, SILENCE};

    use super::*;

    #[test]
    fn sound_is_told_from_silence_and_pauses_have_a_length() {
        let (loud, soft) = ([1_000; FRAME_SAMPLES], [20; FRAME_SAMPLES]);
        let mut ear = Ear::default();
        for (frame, count) in [(loud, 10), (SILENCE, 60), (soft, 40), (loud, 5), (SILENCE, 3)] {
            (0..count).for_each(|_| ear.hear(&frame));
        }
        let mut heard = HeardSound::default();
        ear.add_to(&mut heard);
        assert_eq!((heard.frames, heard.with_sound, heard.interrupted), (118, 15, 0));
        assert_eq!(heard.longest_pause, Duration::from_secs(2));
        ear.hear(&SILENCE);
        (0..98).for_each(|_| ear.hear(&SILENCE));
        ear.add_to(&mut heard);
        assert_eq!((heard.phones, heard.interrupted), (2, 1), "2.04 s at the end");
    }
}
