//! What a call costs this machine at least, whoever serves it: in each 20 ms a datagram is received on a socket of the call's
//! own and one is sent from it, a system call each, and the call's codec decodes once and encodes once.
//!
//! The system calls are timed on the thread that makes them. On loopback the sender pays for the kernel's receiving side too.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::Context;
use audio_mixer::{Codec, Decoder, Encoder, Frame};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::destinations::Sink;
use super::{TIME, thread_cpu};
use crate::RecordedVoice;
use crate::phones::silence;

/// Calls in a pass, each with a socket of its own.
const CALLS: usize = 200;

/// RFC 3550, section 5.1.
const HEADER_BYTES: usize = 12;

/// Frames that are encoded in turn: two seconds of speech.
const FRAMES: u32 = 100;

/// Packets each way in a second.
pub(crate) const PACKETS_A_SECOND: f64 = 50.0;

/// The floor of one call, in ns of CPU time each 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallFloor {
    /// Receive a datagram, kernel included.
    pub receive_ns: f64,
    /// Send one on loopback, kernel included.
    pub send_ns: f64,
    /// Decode what a silent phone sends.
    pub decode_ns: f64,
    /// Encode speech.
    pub encode_ns: f64,
}

/// Measures it for calls of a codec; takes about a second.
pub(crate) fn measure(codec: Codec) -> anyhow::Result<CallFloor> {
    let mut bench = Bench::new(codec)?;
    let started = Instant::now();
    let mut times = [const { Vec::new() }; 4];
    while times[0].len() < 3 || started.elapsed() < TIME {
        for (times, ns) in times.iter_mut().zip(bench.pass()?) {
            times.push(ns);
        }
    }
    let [receive_ns, send_ns, decode_ns, encode_ns] = times.map(|mut times: Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Ok(CallFloor { receive_ns, send_ns, decode_ns, encode_ns })
}

impl CallFloor {
    /// RTP alone, in µs of CPU time a second.
    pub(crate) fn rtp_us_per_second(&self) -> f64 {
        (self.receive_ns + self.send_ns) * PACKETS_A_SECOND / 1e3
    }

    /// RTP and what is encoded.
    pub(crate) fn rtp_and_encode_us_per_second(&self) -> f64 {
        self.rtp_us_per_second() + self.encode_ns * PACKETS_A_SECOND / 1e3
    }

    /// RTP and the codec both ways.
    pub(crate) fn us_per_second(&self) -> f64 {
        self.rtp_and_encode_us_per_second() + self.decode_ns * PACKETS_A_SECOND / 1e3
    }

    /// Halfway between two, of before a run and after it.
    pub(crate) fn mean(self, other: CallFloor) -> CallFloor {
        let mean = |of: fn(&CallFloor) -> f64| (of(&self) + of(&other)) / 2.0;
        CallFloor {
            receive_ns: mean(|it| it.receive_ns),
            send_ns: mean(|it| it.send_ns),
            decode_ns: mean(|it| it.decode_ns),
            encode_ns: mean(|it| it.encode_ns),
        }
    }
}

impl fmt::Display for CallFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [receive, send, decode, encode] =
            [self.receive_ns, self.send_ns, self.decode_ns, self.encode_ns].map(|ns| ns / 1e3);
        write!(f, "{receive:.1} µs receive, {send:.1} send, {decode:.1} decode, {encode:.1} encode")
    }
}

/// What the passes share.
struct Bench {
    sink: Sink,
    sink_at: SocketAddr,
    feeder: UdpSocket,
    calls: Vec<(UdpSocket, SocketAddr)>,
    datagram: Vec<u8>,
    silence: Vec<Bytes>,
    speech: Vec<Frame>,
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
}

impl Bench {
    fn new(codec: Codec) -> anyhow::Result<Bench> {
        let sink = Sink::start().context("the receiving side")?;
        let call = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let silence = silence(codec);
        let longest = silence.iter().map(Bytes::len).max().unwrap_or(0);
        Ok(Bench {
            sink_at: SocketAddr::from(([127, 0, 0, 1], sink.port())),
            sink,
            feeder: UdpSocket::bind("127.0.0.1:0")?,
            calls: (0..CALLS).map(call).collect::<std::io::Result<_>>()?,
            datagram: vec![0x80; HEADER_BYTES + longest],
            silence,
            speech: speech()?,
            decoder: codec.decoder(),
            encoder: codec.encoder(),
        })
    }

    /// CPU time of each part, of one call, in ns.
    fn pass(&mut self) -> anyhow::Result<[f64; 4]> {
        for (_, address) in &self.calls {
            self.feeder.send_to(&self.datagram, address)?;
        }
        let mut buffer = [0; 2048];
        let receive = time(self.calls.iter(), |(socket, _)| Ok(socket.recv_from(&mut buffer).map(drop)?))?;
        let send = time(self.calls.iter(), |(socket, _)| {
            Ok(socket.send_to(&self.datagram, self.sink_at).map(drop)?)
        })?;
        self.sink.wait_until_quiet();
        let (mut samples, mut packet) = (Vec::new(), Vec::new());
        let decode = time(self.silence.iter(), |payload| {
            samples.clear();
            Ok(self.decoder.decode(payload, &mut samples)?)
        })?;
        let encode = time(self.speech.iter(), |frame| {
            self.encoder.encode(frame, &mut packet);
            Ok(())
        })?;
        Ok([receive, send, decode, encode])
    }
}

/// CPU time that each takes, in ns.
fn time<T>(
    all: impl ExactSizeIterator<Item = T>,
    mut act: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let count = all.len();
    let before = thread_cpu()?;
    for each in all {
        act(each)?;
    }
    Ok(thread_cpu()?.saturating_sub(before).as_nanos() as f64 / count as f64)
}

/// A recorded voice, as a mix has it.
fn speech() -> anyhow::Result<Vec<Frame>> {
    let (mut decoder, mut samples) = (Codec::Opus.decoder(), Vec::new());
    for frame in 0..FRAMES {
        decoder.decode(&RecordedVoice::of(0).speech(0, frame).opus, &mut samples)?;
    }
    Ok(samples.as_chunks().0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_call_is_measured() {
        let floor = measure(Codec::Pcmu).unwrap();
        let CallFloor { receive_ns, send_ns, decode_ns, encode_ns } = floor;
        for ns in [receive_ns, send_ns, decode_ns, encode_ns] {
            assert!((1.0..1e6).contains(&ns), "{floor:?}");
        }
    }

    #[test]
    fn parts_add_up_in_microseconds_a_second() {
        let floor = CallFloor { receive_ns: 1_000.0, send_ns: 3_000.0, decode_ns: 500.0, encode_ns: 1_500.0 };
        assert_eq!(floor.rtp_us_per_second(), 200.0);
        assert_eq!(floor.rtp_and_encode_us_per_second(), 275.0);
        assert_eq!(floor.us_per_second(), 300.0);
        let twice = CallFloor { receive_ns: 3_000.0, ..floor };
        assert_eq!(floor.mean(twice).receive_ns, 2_000.0);
        assert_eq!(floor.to_string(), "1.0 µs receive, 3.0 send, 0.5 decode, 1.5 encode");
    }
}
