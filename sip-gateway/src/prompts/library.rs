//! All that is played to phones, by name: from the binary, or from the operator's files.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::replacement::{self, Replaced, ReplacementError};
use super::{Language, Prompt, Tone, hold};

/// Samples of 16 bits, least byte first, by language and prompt.
static EMBEDDED: [[&[u8]; Prompt::COUNT]; Language::ALL.len()] =
    include!(concat!(env!("OUT_DIR"), "/prompts.rs"));

type Cached = OnceLock<Arc<[i16]>>;

/// The prompts of all languages, the tones and the music on hold. One of it serves all calls of a process.
#[derive(Default)]
pub struct Prompts {
    prompts: [[Cached; Prompt::COUNT]; Language::ALL.len()],
    tones: [Cached; Tone::ALL.len()],
    hold_music: Cached,
}

impl Prompts {
    /// What was made at build.
    pub fn embedded() -> Prompts {
        Prompts::default()
    }

    /// As [`Prompts::embedded`], but for `DIR/LANGUAGE/PROMPT.wav` and `DIR/hold.wav`, which are played as they are: of one
    /// channel or two, 8 to 48 kHz, in integers or floats, a prompt of at most a minute and music of at most ten.
    ///
    /// # Errors
    /// A file can't be played, or has a name that nothing has. The error names the file; nothing is left out silently.
    pub fn with_replacements(dir: &Path) -> Result<Prompts, ReplacementError> {
        let prompts = Prompts::default();
        for (replaced, samples) in replacement::read_all(dir)? {
            let cached = match replaced {
                Replaced::Prompt(language, prompt) => prompts.cached(language, prompt),
                Replaced::HoldMusic => &prompts.hold_music,
            };
            // Of two files of one name, as `de` and `DE` are, either will do.
            let _ = cached.set(samples.into());
        }
        Ok(prompts)
    }

    /// A prompt's samples. The first who asks waits for the bytes to become samples, well under a millisecond.
    pub fn get(&self, language: Language, prompt: Prompt) -> Arc<[i16]> {
        let bytes = EMBEDDED[language as usize][prompt as usize];
        let convert = || bytes.as_chunks().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect();
        self.cached(language, prompt).get_or_init(convert).clone()
    }

    /// A tone's samples.
    pub fn tone(&self, tone: Tone) -> Arc<[i16]> {
        self.tones[tone as usize].get_or_init(|| tone.samples().into()).clone()
    }

    /// What is played over and over to who waits: the end goes on at the beginning. The first who asks waits until it is
    /// composed, some 70 ms in a release build: ask once before the first call.
    pub fn hold_music(&self) -> Arc<[i16]> {
        self.hold_music.get_or_init(|| hold::music().into()).clone()
    }

    fn cached(&self, language: Language, prompt: Prompt) -> &Cached {
        &self.prompts[language as usize][prompt as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{sound, speech};
    use super::*;

    fn all() -> impl Iterator<Item = (Language, Prompt)> {
        Language::ALL
            .into_iter()
            .flat_map(|language| Prompt::ALL.into_iter().map(move |prompt| (language, prompt)))
    }

    #[test]
    fn every_prompt_is_spoken_as_loud_as_a_talker_in_every_language() {
        let prompts = Prompts::embedded();
        for (language, prompt) in all() {
            let samples = prompts.get(language, prompt);
            let sound: Vec<f64> = samples.iter().map(|&sample| f64::from(sample) / 32_768.0).collect();
            let level_dbov = speech::active_level_dbov(&sound);
            assert!((-20.5..=-19.9).contains(&level_dbov), "{language} {prompt}: {level_dbov:.1} dBov");
            assert!(speech::peak(&sound) <= speech::ratio(speech::PEAK_DB), "{language} {prompt}");
            assert!(samples[..speech::EDGE_SAMPLES].iter().all(|&sample| sample == 0), "{language} {prompt}");
            let seconds = samples.len() as f64 / f64::from(sound::RATE_HZ);
            assert!((0.3..20.0).contains(&seconds), "{language} {prompt}: {seconds} s");
        }
    }

    #[test]
    fn all_prompts_together_are_below_6_mb() {
        let bytes: usize = EMBEDDED.iter().flatten().map(|prompt| prompt.len()).sum();
        assert!((2_000_000..6_000_000).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn a_prompt_is_converted_once() {
        let prompts = Prompts::embedded();
        let [first, second] = [0; 2].map(|_| prompts.get(Language::French, Prompt::Keys));
        assert!(Arc::ptr_eq(&first, &second));
    }
}
