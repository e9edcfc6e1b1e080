//! A real softphone: baresip, a process of its own, which calls, plays a tone, and records what it hears.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What its tone peaks at, in dB below full scale: as loud as somebody who speaks up.
pub const TONE_DBFS: f64 = -13.0;

/// What a recording is judged by: windows of half a second.
const WINDOW: Duration = Duration::from_millis(500);

/// What a packet has, and what is gone if it is lost.
const FRAME: Duration = Duration::from_millis(20);

/// Below the ports that systems choose from.
static PORT_NEXT: AtomicU16 = AtomicU16::new(0);

/// What a phone speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneCodec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// Opus.
    Opus,
}

impl PhoneCodec {
    fn account(self) -> &'static str {
        match self {
            PhoneCodec::Pcmu => "PCMU/8000/1",
            PhoneCodec::Pcma => "PCMA/8000/1",
            PhoneCodec::G722 => "G722/16000/1",
            PhoneCodec::Opus => "opus/48000/2",
        }
    }

    fn rate_and_channels(self) -> (u32, u16) {
        match self {
            PhoneCodec::Pcmu | PhoneCodec::Pcma => (8000, 1),
            PhoneCodec::G722 => (16_000, 1),
            PhoneCodec::Opus => (48_000, 2),
        }
    }
}

/// A baresip process. It ends with the value.
pub struct Softphone {
    child: Child,
    directory: TempDir,
    control: u16,
    sip: u16,
}

impl Softphone {
    /// Starts one that says a tone of this frequency in Hz, or nothing at 0. `account` is what its account has besides, such as
    /// `;mediaenc=srtp-mand`.
    ///
    /// # Errors
    /// baresip is not installed, or doesn't come up.
    pub async fn start(
        name: &str,
        codec: PhoneCodec,
        tone_hz: f64,
        account: &str,
    ) -> anyhow::Result<Softphone> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        // Several tests run at once, each a process or a thread of one: ports are of the process and of the count.
        let block = (std::process::id() % 60) as u16 * 16 + PORT_NEXT.fetch_add(1, Ordering::Relaxed) % 16;
        let (sip, control, rtp) = (20_000 + block * 4, 20_002 + block * 4, 25_000 + block * 6);
        write_tone(&at.join("tone.wav"), codec, tone_hz)?;
        std::fs::write(at.join("config"), configuration(at, sip, control, rtp)?)?;
        let codec = codec.account();
        let account = format!("<sip:{name}@127.0.0.1:{sip}>;regint=0;audio_codecs={codec}{account}\n");
        std::fs::write(at.join("accounts"), account)?;
        std::fs::write(at.join("contacts"), "")?;
        let log = std::fs::File::create(at.join("log"))?;
        let child = Command::new("baresip")
            .arg("-f")
            .arg(at)
            .args(["-t", "180"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting baresip: is it installed (apt-get install baresip)?")?;
        let phone = Softphone { child, directory, control, sip };
        for _ in 0..100 {
            match TcpStream::connect(("127.0.0.1", control)).await {
                Ok(_) => return Ok(phone),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        bail!("baresip did not come up: {}", phone.log());
    }

    /// Where it can be called.
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@127.0.0.1:{}", self.sip)
    }

    /// Calls.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn dial(&self, uri: &str) -> anyhow::Result<()> {
        self.command("dial", uri).await
    }

    /// Hangs up.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn hang_up(&self) -> anyhow::Result<()> {
        self.command("hangup", "").await
    }

    /// Takes a call in.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn accept(&self) -> anyhow::Result<()> {
        self.command("accept", "").await
    }

    /// Puts the call on hold, or takes it from there.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn hold(&self, held: bool) -> anyhow::Result<()> {
        self.command(if held { "hold" } else { "resume" }, "").await
    }

    /// Presses keys, as fast as a quick thumb.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn press(&self, keys: &str) -> anyhow::Result<()> {
        for key in keys.chars() {
            self.command("sndcode", &key.to_string()).await?;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Any other command of its menu.
    ///
    /// # Errors
    /// It can't be told to.
    pub async fn command(&self, command: &str, parameters: &str) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.control)).await?;
        let message =
            serde_json::json!({ "command": command, "params": parameters, "token": "t" }).to_string();
        stream.write_all(format!("{}:{message},", message.len()).as_bytes()).await?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("\"response\":true") {
            let read = tokio::time::timeout(Duration::from_secs(3), stream.read(&mut buffer)).await;
            match read.context("baresip does not answer")?? {
                0 => bail!("baresip closed its control connection"),
                count => answer.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(())
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log has a text.
    ///
    /// # Errors
    /// It has not, in time.
    pub async fn wait_for_log(&self, text: &str, within: Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        while !self.log().contains(text) {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "no {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What it heard so far, in the call that it is in or was in last.
    ///
    /// # Errors
    /// There is no recording.
    pub fn heard(&self) -> anyhow::Result<Recording> {
        let recordings =
            std::fs::read_dir(self.directory.path())?.filter_map(Result::ok).map(|entry| entry.path());
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let last = recordings.filter(|path| name(path).is_some_and(|name| name.ends_with("dec.wav"))).max();
        Recording::read(&last.with_context(|| format!("no recording: {}", self.log()))?)
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a phone heard.
#[derive(Debug)]
pub struct Recording {
    samples: Vec<f64>,
    rate_hz: u32,
}

impl Recording {
    fn read(path: &Path) -> anyhow::Result<Recording> {
        // The file is being written: its header doesn't know how long it is.
        let bytes = std::fs::read(path)?;
        let start =
            bytes.windows(4).position(|word| word == b"data").context("no data in the recording")? + 8;
        let rate = bytes.get(24..28).context("no header in the recording")?;
        let rate_hz = u32::from_le_bytes(rate.try_into()?);
        let channels = usize::from(u16::from_le_bytes(bytes.get(22..24).context("no header")?.try_into()?));
        let data = bytes.get(start..).unwrap_or_default();
        let samples = data.chunks_exact(2 * channels).map(|frame| {
            let sum: f64 =
                frame.chunks_exact(2).map(|s| f64::from(i16::from_le_bytes([s[0], s[1]])) / 32768.0).sum();
            sum / channels as f64
        });
        Ok(Recording { samples: samples.collect(), rate_hz })
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate_hz))
    }

    /// What of it came in the last so many seconds.
    pub fn last(&self, time: Duration) -> Recording {
        let count = (time.as_secs_f64() * f64::from(self.rate_hz)) as usize;
        let from = self.samples.len().saturating_sub(count);
        Recording { samples: self.samples[from..].to_vec(), rate_hz: self.rate_hz }
    }

    /// The peak of a sine of this frequency, in dB below full scale, in each half second (Goertzel, with a Hann window).
    pub fn levels_dbfs(&self, hz: f64) -> Vec<f64> {
        self.levels_of(hz, WINDOW)
    }

    /// Where it has holes in a tone of this frequency, each in frames of 20 ms: those in which it is less than half as loud as in
    /// most.
    pub fn holes(&self, hz: f64) -> Vec<Range<usize>> {
        let levels = self.levels_of(hz, FRAME);
        let mut sorted = levels.clone();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.get(sorted.len() / 2).copied().unwrap_or_default() - 6.0;
        let mut holes: Vec<Range<usize>> = Vec::new();
        for (frame, _) in levels.iter().enumerate().filter(|(_, level)| **level < half) {
            match holes.last_mut() {
                Some(hole) if hole.end == frame => hole.end += 1,
                _ => holes.push(frame..frame + 1),
            }
        }
        holes
    }

    fn levels_of(&self, hz: f64, window: Duration) -> Vec<f64> {
        let count = (window.as_secs_f64() * f64::from(self.rate_hz)) as usize;
        let step = TAU * hz / f64::from(self.rate_hz);
        let level = |samples: &[f64]| {
            let (mut re, mut im, mut gain) = (0.0, 0.0, 0.0);
            for (n, sample) in samples.iter().enumerate() {
                let window = 0.5 - 0.5 * (TAU * n as f64 / count as f64).cos();
                let angle = step * n as f64;
                (re, im, gain) =
                    (re + sample * window * angle.cos(), im + sample * window * angle.sin(), gain + window);
            }
            20.0 * (2.0 * re.hypot(im) / gain).max(1e-6).log10()
        };
        self.samples.chunks_exact(count).map(level).collect()
    }

    /// How loud it is on the whole, in dB below full scale.
    pub fn rms_dbfs(&self) -> f64 {
        let power =
            self.samples.iter().map(|sample| sample * sample).sum::<f64>() / self.samples.len().max(1) as f64;
        10.0 * power.max(1e-12).log10()
    }

    /// The median of [`Recording::levels_dbfs`].
    pub fn level_dbfs(&self, hz: f64) -> f64 {
        let mut levels = self.levels_dbfs(hz);
        levels.sort_by(f64::total_cmp);
        levels.get(levels.len() / 2).copied().unwrap_or(-120.0)
    }
}

fn configuration(at: &Path, sip: u16, control: u16, rtp: u16) -> anyhow::Result<String> {
    let mut text = String::new();
    let path = at.display();
    for line in [
        format!("sip_listen 127.0.0.1:{sip}"),
        "net_interface 127.0.0.1".to_owned(),
        "call_max_calls 4".to_owned(),
        "audio_player aubridge,null".to_owned(),
        format!("audio_source aufile,{path}/tone.wav"),
        "audio_alert aubridge,alert".to_owned(),
        "audio_level no".to_owned(),
        format!("rtp_ports {rtp}-{}", rtp + 5),
        "rtcp_mux no".to_owned(),
        "jitter_buffer_delay 1-5".to_owned(),
        "module_path /usr/lib/baresip/modules".to_owned(),
        format!("ctrl_tcp_listen 127.0.0.1:{control}"),
        format!("snd_path {path}"),
        "opus_bitrate 28000".to_owned(),
    ] {
        writeln!(text, "{line}")?;
    }
    for module in ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp", "ctrl_tcp"] {
        writeln!(text, "module {module}.so")?;
    }
    text.push_str("module_tmp account.so\nmodule_app menu.so\n");
    Ok(text)
}

/// A minute of a tone, as the codec's source wants it.
fn write_tone(path: &Path, codec: PhoneCodec, hz: f64) -> anyhow::Result<()> {
    let (sample_rate, channels) = codec.rate_and_channels();
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)?;
    let peak = if hz == 0.0 { 0.0 } else { 32768.0 * 10_f64.powf(TONE_DBFS / 20.0) };
    for n in 0..sample_rate * 60 {
        let sample = peak * (TAU * hz * f64::from(n) / f64::from(sample_rate)).sin();
        for _ in 0..channels {
            file.write_sample(sample as i16)?;
        }
    }
    Ok(file.finalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_in_a_tone_that_has_some() {
        let tone = |n: usize| (TAU * 440.0 * n as f64 / 8000.0).sin() * 0.2;
        let whole: Vec<f64> = (0..80_000).map(tone).collect();
        let recording = |samples: Vec<f64>| Recording { samples, rate_hz: 8000 };
        assert_eq!(recording(whole.clone()).holes(440.0), []);
        // Every twentieth packet is silence, and begins in the middle of a frame of the recording.
        let is_lost = |n: usize| (n + 80) / 160 % 20 == 7;
        let torn = whole.iter().enumerate().map(|(n, sample)| if is_lost(n) { 0.0 } else { *sample });
        let holes = recording(torn.collect()).holes(440.0);
        assert_eq!(holes.len(), 25, "{holes:?}");
        assert_eq!(holes[1].start - holes[0].start, 20);
    }
}
