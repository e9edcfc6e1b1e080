//! Recorded speech: Ogg Opus and the level of each frame in, frames to send out.
//!
//! `speech/make.sh` made both, of synthetic voices; so every run sends the same octets.

use std::io::Cursor;
use std::sync::LazyLock;

use ogg::PacketReader;

/// OpusHead and OpusTags come before the sound (RFC 7845, section 3).
const HEADER_PACKETS: usize = 2;
/// The sound of each voice ends with a second of the room alone; the very last frames fade with the encoder's delay.
const QUIET_FRAMES: std::ops::Range<usize> = 6..45;
/// Louder than this is speech.
const SPEECH_DBOV: i8 = -45;
/// After so much silence, speech begins anew: half a second is the pause between sentences.
const PAUSE_FRAMES: usize = 8;

/// 20 ms of Opus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechFrame {
    /// A packet of one frame.
    pub opus: Vec<u8>,
    /// Its loudness, -127 to 0 dBov (RFC 6464).
    pub level_dbov: i8,
}

/// One voice.
#[derive(Debug)]
pub struct RecordedVoice {
    speech: Vec<SpeechFrame>,
    quiet: Vec<SpeechFrame>,
    /// Where sentences begin.
    sentences: Vec<usize>,
}

static VOICES: LazyLock<Vec<RecordedVoice>> = LazyLock::new(|| {
    macro_rules! voice {
        ($name:literal) => {
            RecordedVoice::read(
                include_bytes!(concat!("../speech/", $name, ".opus")),
                include_bytes!(concat!("../speech/", $name, ".levels")),
            )
        };
    }
    vec![voice!("anna"), voice!("ben"), voice!("clara"), voice!("david"), voice!("emma"), voice!("frank")]
});

impl RecordedVoice {
    /// One of the voices; there are fewer than speakers.
    pub fn of(speaker: u32) -> &'static RecordedVoice {
        &VOICES[speaker as usize % VOICES.len()]
    }

    fn read(opus: &[u8], levels: &[u8]) -> RecordedVoice {
        let mut reader = PacketReader::new(Cursor::new(opus));
        let packets = std::iter::from_fn(|| reader.read_packet().expect("the recording is Ogg"));
        let frames: Vec<SpeechFrame> = packets
            .skip(HEADER_PACKETS)
            .zip(levels)
            .map(|(packet, level)| SpeechFrame { opus: packet.data, level_dbov: -(*level as i8) })
            .collect();
        let (speech, room) = frames.split_at(frames.len() - 50);
        RecordedVoice {
            sentences: sentences(speech.iter().map(|frame| frame.level_dbov)),
            quiet: room[QUIET_FRAMES].to_vec(),
            speech: speech.to_vec(),
        }
    }

    /// A frame of a turn, which begins with a sentence and goes on for as long as the turn does.
    pub fn speech(&self, turn: u32, frame_of_turn: u32) -> &SpeechFrame {
        let start = self.sentences[turn as usize % self.sentences.len()];
        &self.speech[(start + frame_of_turn as usize) % self.speech.len()]
    }

    /// A frame between turns: the room, as an encoder without DTX sends it.
    pub fn quiet(&self, count: u32) -> &SpeechFrame {
        &self.quiet[count as usize % self.quiet.len()]
    }
}

/// Where speech begins: at the start, and after each pause.
fn sentences(levels: impl Iterator<Item = i8>) -> Vec<usize> {
    let (mut starts, mut silent) = (Vec::new(), PAUSE_FRAMES);
    for (index, level) in levels.enumerate() {
        if level < SPEECH_DBOV {
            silent += 1;
        } else {
            if silent >= PAUSE_FRAMES {
                starts.push(index);
            }
            silent = 0;
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_has_sentences_that_begin_with_speech() {
        for voice in &*VOICES {
            assert!(voice.sentences.len() >= 2, "{:?}", voice.sentences);
            for turn in 0..10 {
                assert!(voice.speech(turn, 0).level_dbov >= SPEECH_DBOV);
            }
        }
    }

    #[test]
    fn frames_are_packets_of_one_frame_of_20_ms() {
        // Configurations of 20 ms: SILK 1, 5, 9; hybrid 13, 15; CELT 19, 23, 27, 31 (RFC 6716, table 2).
        let configurations = [1, 5, 9, 13, 15, 19, 23, 27, 31];
        for frame in VOICES.iter().flat_map(|voice| voice.speech.iter().chain(&voice.quiet)) {
            assert!(configurations.contains(&(frame.opus[0] >> 3)) && frame.opus[0] & 3 == 0);
        }
    }

    #[test]
    fn a_voice_is_some_32_kbit_per_second_with_its_stamp_and_varies() {
        let lengths: Vec<usize> = VOICES.iter().flat_map(|v| &v.speech).map(|f| f.opus.len() + 24).collect();
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!((70.0..90.0).contains(&mean), "{mean} octets a packet");
        assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() > 30);
    }

    #[test]
    fn silence_is_sent_and_is_quiet() {
        for voice in &*VOICES {
            assert!((0..100).all(|n| voice.quiet(n).level_dbov < -60 && voice.quiet(n).opus.len() > 3));
        }
    }
}
