//! What a phone is told, spoken: a [`Language`] and a [`Prompt`] in, samples out; and the tones and the music beside them.
//!
//! All of it is at [`audio_mixer::RATE_HZ`], one channel. The texts stand in `prompts/LANGUAGE.toml` and are spoken when the
//! crate is built; an operator's recordings take the place of any of them ([`Prompts::with_replacements`]).
//!
//! ```
//! use tercet_sip_gateway::prompts::{Language, Prompt, Prompts, Tone};
//!
//! let prompts = Prompts::embedded();
//! let language: Language = "de-AT".parse().unwrap();
//! let welcome = prompts.get(language, Prompt::Welcome);
//! assert!(welcome.len() > 320 && prompts.tone(Tone::Join).len() > 320);
//! ```

mod hold;
mod language;
mod library;
mod prompt;
mod replacement;
mod sound;
// The build makes prompts with it; here it measures what the build made.
#[cfg(test)]
mod speech;
mod tone;

pub use language::{Language, UnknownLanguage};
pub use library::Prompts;
pub use prompt::Prompt;
pub use replacement::ReplacementError;
pub use sound::SoundError;
pub use tone::Tone;

// The build can't ask the mixer for its rate.
const _: () = assert!(sound::RATE_HZ == audio_mixer::RATE_HZ);
