//! What one packet costs this machine at least, whatever the server: sealing an Opus packet with
//! AES-GCM, and a datagram's way into and out of a socket on loopback.
//!
//! Each figure is the best of several rounds: the least disturbed by others on the machine.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::Context;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;

/// An Opus frame of 20 ms at 32 kbit/s.
const PAYLOAD_BYTES: usize = 80;
/// RTP header, one CSRC, and the extensions of level and MID: authenticated, not encrypted.
const HEADER_BYTES: usize = 12 + 4 + 4 + 8;
const TAG_BYTES: usize = 16;

const ROUNDS: usize = 30;
const SEALS_PER_ROUND: u32 = 20_000;
/// A batch fits into the default receive buffer.
const DATAGRAMS_PER_BATCH: u32 = 64;
const BATCHES_PER_ROUND: u32 = 60;

/// The machine's floor, in ns a packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// Octets of the Opus frame that was sealed.
    pub payload_bytes: usize,
    /// Octets of the datagram that was sent: header, frame and tag.
    pub datagram_bytes: usize,
    /// Seal the frame with AES-128-GCM (RFC 7714).
    pub seal_aes_128_gcm_ns: f64,
    /// Seal the frame with AES-256-GCM (RFC 7714), which str0m negotiates.
    pub seal_aes_256_gcm_ns: f64,
    /// Send one datagram on loopback. The sender pays for the receive path of the kernel too.
    pub send_ns: f64,
    /// Receive one datagram that waits in the socket.
    pub receive_ns: f64,
}

/// Measures the floor; takes about a second.
pub fn measure() -> anyhow::Result<Floor> {
    let (send_ns, receive_ns) = datagrams()?;
    Ok(Floor {
        payload_bytes: PAYLOAD_BYTES,
        datagram_bytes: HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES,
        seal_aes_128_gcm_ns: seal(&AES_128_GCM)?,
        seal_aes_256_gcm_ns: seal(&AES_256_GCM)?,
        send_ns,
        receive_ns,
    })
}

fn seal(algorithm: &'static Algorithm) -> anyhow::Result<f64> {
    let key: Vec<u8> = (0..algorithm.key_len()).map(|_| rand::random()).collect();
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).context("AES-GCM key")?);
    let header = [0x90; HEADER_BYTES];
    let mut payload = [0x55; PAYLOAD_BYTES];
    let mut best = Duration::MAX;
    let mut counter = 0_u32;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..SEALS_PER_ROUND {
            // As in SRTP, the nonce differs by the packet's index.
            let mut nonce = [7; 12];
            nonce[8..].copy_from_slice(&counter.to_be_bytes());
            counter += 1;
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag =
                key.seal_in_place_separate_tag(nonce, Aad::from(&header), &mut payload).context("AES-GCM")?;
            let _ = std::hint::black_box(tag);
        }
        best = best.min(started.elapsed());
    }
    Ok(best.as_nanos() as f64 / f64::from(SEALS_PER_ROUND))
}

/// The cost of sending and of receiving a datagram.
fn datagrams() -> io::Result<(f64, f64)> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_nonblocking(true)?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let destination = receiver.local_addr()?;
    let datagram = [0x80; HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES];
    let mut buffer = [0; 2_048];
    let (mut send_best, mut receive_best) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (mut sending, mut receiving, mut received) = (Duration::ZERO, Duration::ZERO, 0_u32);
        for _ in 0..BATCHES_PER_ROUND {
            let started = Instant::now();
            for _ in 0..DATAGRAMS_PER_BATCH {
                sender.send_to(&datagram, destination)?;
            }
            sending += started.elapsed();
            let started = Instant::now();
            while receiver.recv_from(&mut buffer).is_ok() {
                received += 1;
            }
            receiving += started.elapsed();
        }
        send_best =
            send_best.min(sending.as_nanos() as f64 / f64::from(BATCHES_PER_ROUND * DATAGRAMS_PER_BATCH));
        receive_best = receive_best.min(receiving.as_nanos() as f64 / f64::from(received.max(1)));
    }
    Ok((send_best, receive_best))
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "floor of this machine, ns a packet (best of {ROUNDS} rounds)")?;
        writeln!(
            f,
            "seal      {:.0} AES-256-GCM, {:.0} AES-128-GCM, of {} bytes",
            self.seal_aes_256_gcm_ns, self.seal_aes_128_gcm_ns, self.payload_bytes
        )?;
        write!(
            f,
            "loopback  {:.0} send, {:.0} receive, of {} bytes",
            self.send_ns, self.receive_ns, self.datagram_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_measured() {
        let floor = measure().unwrap();
        for ns in [floor.seal_aes_128_gcm_ns, floor.seal_aes_256_gcm_ns, floor.send_ns, floor.receive_ns] {
            assert!((1.0..1e6).contains(&ns), "{floor:?}");
        }
    }
}
