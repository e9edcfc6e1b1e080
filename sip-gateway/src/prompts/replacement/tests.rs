//! Folders as operators have them, and as they have them by mistake.

use hound::{SampleFormat, WavSpec, WavWriter};
use tempfile::TempDir;

use super::super::Prompts;
use super::*;

/// A second of 440 Hz at -12 dB, in the file of this name.
fn tone(dir: &TempDir, name: &str, sample_rate: u32, channels: u16, format: SampleFormat) -> PathBuf {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bits_per_sample = if format == SampleFormat::Float { 32 } else { 16 };
    let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format: format };
    let mut wav = WavWriter::create(&path, spec).unwrap();
    for n in 0..sample_rate {
        let sample = (f64::from(n) / f64::from(sample_rate) * 440.0 * std::f64::consts::TAU).sin() / 4.0;
        for _ in 0..channels {
            match format {
                SampleFormat::Float => wav.write_sample(sample as f32).unwrap(),
                SampleFormat::Int => wav.write_sample((sample * 32_768.0) as i16).unwrap(),
            }
        }
    }
    wav.finalize().unwrap();
    path
}

fn error(dir: &TempDir) -> String {
    Prompts::with_replacements(dir.path()).err().expect("the folder is wrong").to_string()
}

#[test]
fn recordings_of_any_usual_form_sound_as_they_are() {
    let forms = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]
        .into_iter()
        .flat_map(|rate| [(rate, 1, SampleFormat::Int), (rate, 2, SampleFormat::Float)]);
    for (rate, channels, format) in forms {
        let dir = TempDir::new().unwrap();
        tone(&dir, "de/welcome.wav", rate, channels, format);
        let prompts = Prompts::with_replacements(dir.path()).unwrap();
        let samples = prompts.get(Language::German, Prompt::Welcome);
        assert_eq!(samples.len(), 16_000, "{rate} Hz");
        // But for both ends, where the filter hears silence before and after.
        let error_max = (1_000..15_000)
            .map(|n| {
                let wanted = (f64::from(n) / 16_000.0 * 440.0 * std::f64::consts::TAU).sin() * 8_192.0;
                (wanted - f64::from(samples[n as usize])).abs()
            })
            .fold(0.0, f64::max);
        assert!(error_max < 4.0, "{rate} Hz, {channels} channels: {error_max} off");
    }
}

#[test]
fn what_is_not_replaced_is_as_embedded() {
    let dir = TempDir::new().unwrap();
    tone(&dir, "de/welcome.wav", 16_000, 1, SampleFormat::Int);
    tone(&dir, "hold.wav", 16_000, 1, SampleFormat::Int);
    fs::write(dir.path().join(".DS_Store"), "").unwrap();
    let (replaced, embedded) = (Prompts::with_replacements(dir.path()).unwrap(), Prompts::embedded());
    assert_eq!(replaced.hold_music().len(), 16_000);
    assert_ne!(
        replaced.get(Language::German, Prompt::Welcome),
        embedded.get(Language::German, Prompt::Welcome)
    );
    assert_eq!(
        replaced.get(Language::French, Prompt::Welcome),
        embedded.get(Language::French, Prompt::Welcome)
    );
    assert_eq!(replaced.get(Language::German, Prompt::Keys), embedded.get(Language::German, Prompt::Keys));
}

#[test]
fn a_name_that_nothing_has_is_an_error_that_names_the_file() {
    for name in
        ["de/wellcome.wav", "de/hold.wav", "de/welcome.mp3", "it/welcome.wav", "welcome.wav", "de/x/y"]
    {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let error = error(&dir);
        let named =
            path.ancestors().any(|path| error.starts_with(&format!("{}: nothing has", path.display())));
        assert!(named, "{name}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_played_is_an_error_that_says_why() {
    let dir = TempDir::new().unwrap();
    tone(&dir, "en/keys.wav", 96_000, 1, SampleFormat::Int);
    assert!(error(&dir).ends_with("keys.wav: it has 96000 samples a second; 8000 to 48000 can be played"));

    let dir = TempDir::new().unwrap();
    tone(&dir, "en/keys.wav", 16_000, 3, SampleFormat::Int);
    assert!(error(&dir).ends_with("keys.wav: it has 3 channels; one or two can be played"));

    let dir = TempDir::new().unwrap();
    let path = tone(&dir, "en/keys.wav", 8_000, 1, SampleFormat::Int);
    let whole = fs::read(&path).unwrap();
    for broken in [&whole[..whole.len() / 2], b"ID3 an mp3 of a wrong name", b""] {
        fs::write(&path, broken).unwrap();
        assert!(error(&dir).starts_with(&format!("{}: ", path.display())), "{}", error(&dir));
    }
}

#[test]
fn a_minute_is_enough_for_a_prompt() {
    for (seconds, is_played) in [(60, true), (61, false)] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("fr/joined.wav");
        fs::create_dir(dir.path().join("fr")).unwrap();
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut wav = WavWriter::create(&path, spec).unwrap();
        (0..seconds * 8_000).for_each(|_| wav.write_sample(0_i16).unwrap());
        wav.finalize().unwrap();
        assert_eq!(Prompts::with_replacements(dir.path()).is_ok(), is_played, "{seconds} s");
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("prompts");
    let error = Prompts::with_replacements(&missing).err().unwrap().to_string();
    assert!(error.starts_with(&missing.display().to_string()), "{error}");
}
