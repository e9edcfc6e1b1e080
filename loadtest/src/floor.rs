//! What one packet costs this machine at least, whoever forwards it: sealing an Opus packet, or one of video, with AES-GCM, with
//! another key for each destination, and one unbatched send to each, all of it CPU time of the sending thread.
//!
//! Receiving is on another thread and as the load tester does it, so that the kernel does the same work for the
//! sender as in a run. Each figure has a pass of its own, and the passes take turns, so that all see the same machine;
//! a figure is the median of its passes: what a server's average can be held against.

pub(crate) mod calls;
mod destinations;
mod seal;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

pub use calls::CallFloor;
pub(crate) use calls::PACKETS_A_SECOND;
use destinations::{Destinations, Sink};
pub(crate) use seal::VOICE_BYTES;
use seal::{Sealer, datagram_bytes};

/// As many addresses as the measurement has.
pub const DESTINATIONS_MAX: u32 = 60_000;

/// What is meant by the floor: those beside a run are to be the same, whatever its size.
pub const DESTINATIONS: u32 = 1_000;

/// How long all figures are measured.
const TIME: Duration = Duration::from_millis(1_200);
/// The three slots of a listener, sent as one.
const SEGMENTS: usize = 3;

/// The machine's floor, in ns of CPU time a packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// How many destinations, each with a key of its own.
    pub destinations: u32,
    /// Octets of the payload that was sealed: an Opus frame, or a packet of video.
    pub payload_bytes: usize,
    /// Octets of the datagram that was sent: header, frame and tag.
    pub datagram_bytes: usize,
    /// Seal the frame with AES-128-GCM (RFC 7714).
    pub seal_aes_128_gcm_ns: f64,
    /// Seal the frame with AES-256-GCM (RFC 7714), which str0m negotiates.
    pub seal_aes_256_gcm_ns: f64,
    /// Send one datagram on loopback, kernel included. The sender pays for the kernel's receive path too.
    pub send_ns: f64,
    /// Both, in a pass of its own: what everything is held against.
    pub total_ns: f64,
    /// Send three equal datagrams in one call (GSO): of one.
    pub gso_send_ns: f64,
    /// The same with sealing, of one.
    pub gso_total_ns: f64,
    /// Datagrams that the receiving side lost: these cost the sender less.
    pub dropped: u64,
}

/// What is done for each destination in a pass.
#[derive(Clone, Copy)]
enum Pass {
    SealSmall,
    Seal,
    Send,
    SealAndSend,
    SendJoined,
    SealAndSendJoined,
}

/// Everything that the passes share.
struct Bench {
    destinations: u32,
    sink: Sink,
    to: Destinations,
    sealer: Sealer,
    small: Sealer,
    /// Datagrams of one destination, one after another.
    plain: Vec<u8>,
    datagram_bytes: usize,
}

/// Measures the floor of voices; takes about a second.
pub fn measure(destinations: u32) -> anyhow::Result<Floor> {
    measure_of(destinations, VOICE_BYTES)
}

/// Measures the floor of packets with so many octets of payload.
pub(crate) fn measure_of(destinations: u32, payload_bytes: usize) -> anyhow::Result<Floor> {
    ensure!((1..=DESTINATIONS_MAX).contains(&destinations), "1 to {DESTINATIONS_MAX} destinations");
    let sink = Sink::start().context("the receiving side")?;
    let mut bench = Bench {
        destinations,
        to: Destinations::new(destinations, sink.port())?,
        sink,
        sealer: Sealer::new(&AES_256_GCM, destinations, payload_bytes)?,
        small: Sealer::new(&AES_128_GCM, destinations, payload_bytes)?,
        plain: vec![0x80; datagram_bytes(payload_bytes) * SEGMENTS],
        datagram_bytes: datagram_bytes(payload_bytes),
    };
    let passes = [
        Pass::SealSmall,
        Pass::Seal,
        Pass::Send,
        Pass::SealAndSend,
        Pass::SendJoined,
        Pass::SealAndSendJoined,
    ];
    let medians = bench.medians(passes)?;
    let [small_ns, seal_ns, send_ns, total_ns, joined_send_ns, joined_total_ns] = medians;
    Ok(Floor {
        destinations,
        payload_bytes,
        datagram_bytes: bench.datagram_bytes,
        seal_aes_128_gcm_ns: small_ns,
        seal_aes_256_gcm_ns: seal_ns,
        send_ns,
        total_ns,
        gso_send_ns: joined_send_ns / SEGMENTS as f64,
        gso_total_ns: joined_total_ns / SEGMENTS as f64,
        dropped: bench.sink.dropped(),
    })
}

impl Bench {
    /// CPU time a destination of each pass, in ns: the median of many.
    fn medians<const N: usize>(&mut self, passes: [Pass; N]) -> anyhow::Result<[f64; N]> {
        let started = Instant::now();
        let mut times = [const { Vec::new() }; N];
        while times[0].len() < 3 || started.elapsed() < TIME {
            for (pass, times) in passes.into_iter().zip(&mut times) {
                times.push(self.time(pass)?);
            }
        }
        Ok(times.map(|mut times: Vec<f64>| {
            times.sort_unstable_by(f64::total_cmp);
            times[times.len() / 2]
        }))
    }

    /// One pass over all destinations. After it the receiver catches up, as it does between the ticks of a server.
    fn time(&mut self, pass: Pass) -> anyhow::Result<f64> {
        let before = thread_cpu()?;
        for destination in 0..self.destinations {
            self.once(pass, destination)?;
        }
        let time = thread_cpu()?.saturating_sub(before);
        if !matches!(pass, Pass::SealSmall | Pass::Seal) {
            self.sink.wait_until_quiet();
        }
        Ok(time.as_nanos() as f64 / f64::from(self.destinations))
    }

    #[inline]
    fn once(&mut self, pass: Pass, destination: u32) -> anyhow::Result<()> {
        let bytes = self.datagram_bytes;
        match pass {
            Pass::SealSmall => self.small.seal(destination).map(drop),
            Pass::Seal => self.sealer.seal(destination).map(drop),
            Pass::Send => self.to.send(destination, &self.plain[..bytes]),
            Pass::SealAndSend => self.to.send(destination, self.sealer.seal(destination)?),
            Pass::SendJoined => self.to.send_segments(destination, &self.plain, bytes),
            Pass::SealAndSendJoined => {
                for segment in self.plain.chunks_exact_mut(bytes) {
                    segment.copy_from_slice(self.sealer.seal(destination)?);
                }
                self.to.send_segments(destination, &self.plain, bytes)
            }
        }
    }
}

/// CPU time of this thread so far, in user and kernel mode.
fn thread_cpu() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from_nanos(time.num_nanoseconds() as u64))
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Floor { destinations, payload_bytes, datagram_bytes, .. } = self;
        writeln!(
            f,
            "floor     {:.0} ns a packet: sealed and sent, to {destinations} destinations",
            self.total_ns
        )?;
        writeln!(
            f,
            "seal      {:.0} ns AES-256-GCM, {:.0} ns AES-128-GCM, of {payload_bytes} bytes",
            self.seal_aes_256_gcm_ns, self.seal_aes_128_gcm_ns
        )?;
        writeln!(f, "send      {:.0} ns, of {datagram_bytes} bytes on loopback", self.send_ns)?;
        writeln!(f, "          each in a pass of its own: the floor needn't be their sum")?;
        write!(
            f,
            "by GSO    {:.0} ns sealed and sent, {:.0} ns sent, a packet of three at once",
            self.gso_total_ns, self.gso_send_ns
        )?;
        if self.dropped > 0 {
            write!(f, "\nwarning   {} datagrams were dropped: the figures are too low", self.dropped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_measured() {
        let floor = measure(50).unwrap();
        let Floor { seal_aes_128_gcm_ns, seal_aes_256_gcm_ns, send_ns, total_ns, gso_send_ns, .. } = floor;
        for ns in [seal_aes_128_gcm_ns, seal_aes_256_gcm_ns, send_ns, total_ns, gso_send_ns] {
            assert!((1.0..1e6).contains(&ns), "{floor:?}");
        }
        assert!(floor.total_ns > floor.seal_aes_256_gcm_ns, "{floor:?}");
    }

    #[test]
    fn nowhere_to_send_is_no_floor() {
        assert!(measure(0).is_err() && measure(DESTINATIONS_MAX + 1).is_err());
    }
}
