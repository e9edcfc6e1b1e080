//! An operator's folder in, the sounds in it with the names that they replace out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sound::{self, SoundError};
use super::{Language, Prompt};

/// More than the longest prompt takes in any language.
const PROMPT_SECONDS_MAX: u32 = 60;

/// Ten minutes are 19 MB of memory.
const HOLD_SECONDS_MAX: u32 = 600;

/// What a file takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaced {
    /// A prompt in one language.
    Prompt(Language, Prompt),
    /// The music of who waits.
    HoldMusic,
}

/// A folder of replacements that can't be used. The operator's.
#[derive(Debug, thiserror::Error)]
pub enum ReplacementError {
    /// The folder, or one in it, can't be read.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The name is no prompt's and no language's.
    #[error("{}: nothing has this name; there are hold.wav and LANGUAGE/PROMPT.wav, of the languages {}, and the prompts {}",
        path.display(), Language::ALL.map(Language::code).join(", "), Prompt::ALL.map(Prompt::name).join(", "))]
    Name {
        /// What has it.
        path: PathBuf,
    },
    /// The file can't be played.
    #[error("{}: {error}", path.display())]
    Sound {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: SoundError,
    },
}

/// All sounds of a folder, at the rate of the mix.
pub(super) fn read_all(dir: &Path) -> Result<Vec<(Replaced, Vec<i16>)>, ReplacementError> {
    let mut replaced = Vec::new();
    for path in entries(dir)? {
        if name(&path) == Some("hold.wav") {
            replaced.push((Replaced::HoldMusic, read(&path, HOLD_SECONDS_MAX)?));
            continue;
        }
        let language = name(&path).and_then(|name| name.parse().ok()).filter(|_| path.is_dir());
        let Some(language) = language else {
            return Err(ReplacementError::Name { path });
        };
        for path in entries(&path)? {
            let prompt = name(&path).and_then(|name| name.strip_suffix(".wav")).and_then(Prompt::named);
            let Some(prompt) = prompt else {
                return Err(ReplacementError::Name { path });
            };
            replaced.push((Replaced::Prompt(language, prompt), read(&path, PROMPT_SECONDS_MAX)?));
        }
    }
    Ok(replaced)
}

fn read(path: &Path, seconds_max: u32) -> Result<Vec<i16>, ReplacementError> {
    let samples = sound::read(path, seconds_max)
        .map_err(|error| ReplacementError::Sound { path: path.to_owned(), error })?;
    Ok(sound::to_pcm(&samples))
}

/// What is in a folder, in the order of names, but for what is hidden: file managers leave such files.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, ReplacementError> {
    let unreadable = |error| ReplacementError::Folder { path: dir.to_owned(), error };
    let mut paths = fs::read_dir(dir)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, io::Error>>()
        .map_err(unreadable)?;
    paths.retain(|path| name(path).is_none_or(|name| !name.starts_with('.')));
    paths.sort();
    Ok(paths)
}

/// `None` for a name that isn't UTF-8, which nothing has.
fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests;
