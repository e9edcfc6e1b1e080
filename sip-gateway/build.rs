//! The texts of prompts in, one raw file a prompt and a table of them out, for `include_bytes!`.
//!
//! espeak-ng speaks the texts of `prompts/LANGUAGE.toml`. The same texts and the same espeak-ng give the same bytes; it is
//! asked again only when a text changes.

// The crate's own files, which have more than the build needs, and what is public there.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use language::Language;
use prompt::Prompt;
use serde::Deserialize;

#[path = "src/prompts/language.rs"]
mod language;
#[path = "src/prompts/prompt.rs"]
mod prompt;
#[path = "src/prompts/sound.rs"]
mod sound;
#[path = "src/prompts/speech.rs"]
mod speech;

/// The most that all prompts may add to the binary, in bytes.
const BYTES_MAX: usize = 6_000_000;

/// A prompt that takes longer than this is a mistake in its text.
const SECONDS_MAX: u32 = 30;

const MISSING: &str = "espeak-ng, which speaks the prompts of phones when tercet is built, is not installed. \
     Debian, Ubuntu: apt-get install espeak-ng; Fedora: dnf install espeak-ng";

/// `prompts/LANGUAGE.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    voice: Voice,
    prompts: BTreeMap<String, String>,
}

/// How espeak-ng speaks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Voice {
    name: String,
    words_per_minute: u32,
    pitch: u32,
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=prompts");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo tells build scripts where to write"));
    match speak_all(&out) {
        Ok(bytes) if bytes <= BYTES_MAX => ExitCode::SUCCESS,
        Ok(bytes) => {
            fail(&format!("all prompts are {bytes} bytes, more than {BYTES_MAX}: shorten their texts"))
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    println!("cargo::error={error}");
    ExitCode::FAILURE
}

/// Writes all prompts and the table, and returns how many bytes the prompts are.
fn speak_all(out: &Path) -> Result<usize, String> {
    let mut bytes = 0;
    let mut table = String::from("[\n");
    for language in Language::ALL {
        let script = script(language)?;
        table.push_str("    [\n");
        for prompt in Prompt::ALL {
            let pcm = speak(&script.voice, &script.prompts[prompt.name()], &out.join("spoken.wav"))
                .map_err(|error| format!("{prompt} in {language}: {error}"))?;
            let raw = out.join(format!("{language}-{prompt}.raw"));
            fs::write(&raw, &pcm).map_err(|error| format!("{}: {error}", raw.display()))?;
            writeln!(table, "        include_bytes!({:?}),", raw.display().to_string())
                .expect("a string can be written to");
            bytes += pcm.len();
        }
        table.push_str("    ],\n");
    }
    table.push_str("]\n");
    fs::write(out.join("prompts.rs"), table).map_err(|error| format!("the table of prompts: {error}"))?;
    Ok(bytes)
}

/// The texts of a language: each prompt has one, and nothing else has.
fn script(language: Language) -> Result<Script, String> {
    let path = format!("prompts/{language}.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let script: Script = toml::from_str(&text).map_err(|error| format!("{path}: {}", error.message()))?;
    if let Some(name) = script.prompts.keys().find(|name| Prompt::named(name).is_none()) {
        return Err(format!("{path}: there is no prompt {name:?}"));
    }
    match Prompt::ALL.into_iter().find(|prompt| !script.prompts.contains_key(prompt.name())) {
        Some(prompt) => Err(format!("{path}: {prompt} has no text")),
        None => Ok(script),
    }
}

/// A text as samples at the rate of the mix, 16 bits each, least byte first.
fn speak(voice: &Voice, text: &str, wav: &Path) -> Result<Vec<u8>, String> {
    // What was spoken last must not stand for what espeak-ng refuses to speak now.
    let _ = fs::remove_file(wav);
    let spoken = Command::new("espeak-ng")
        .args(["-v", &voice.name, "-s", &voice.words_per_minute.to_string(), "-p", &voice.pitch.to_string()])
        .arg("-w")
        .arg(wav)
        .args(["--", text])
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MISSING.to_owned(),
            _ => format!("espeak-ng can't be run: {error}"),
        })?;
    if !spoken.status.success() {
        return Err(format!("espeak-ng: {}", String::from_utf8_lossy(&spoken.stderr).trim()));
    }
    let samples = sound::read(wav, SECONDS_MAX).map_err(|error| format!("what espeak-ng wrote: {error}"))?;
    let samples = speech::normalised(&speech::trimmed(&samples));
    Ok(sound::to_pcm(&samples).into_iter().flat_map(i16::to_le_bytes).collect())
}
