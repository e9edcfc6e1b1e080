//! Phones: calls over SIP that listen and say nothing. A room's name in, a call out; what all of them heard is counted.
//!
//! ```text
//! INVITE ◀── Desk: tercet-sip-gateway, as another PBX would be ──▶ answered: Phone
//!                                                                     │
//! RTP ◀──▶ a few sockets for all ── Switchboard, a thread ── 20 ms grid ┘──▶ CallCounts
//! ```
//!
//! The server answers each call with a port of its own, so one socket of ours serves many: a packet's source says which phone
//! it is for. Of most phones only the header of what comes is read; a few decode it, and listen whether there is sound.

mod counts;
mod desk;
mod ear;
mod phone;
mod switchboard;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use audio_mixer::Codec;
use tercet_sip_gateway::sdp::{Direction, LocalMedia, SECRET_BYTES, Session, SrtpPolicy};

pub(crate) use counts::{CallCounts, HeardSound};
pub(crate) use desk::Lost;
pub(crate) use phone::silence;

use desk::Desk;
use phone::Phone;
use switchboard::Switchboard;

/// How long a call may ring.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long all calls may take to hang up.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(20);

/// How phones call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhoneOptions {
    /// Where the server listens for calls, over UDP.
    pub server: SocketAddr,
    /// What they speak.
    pub codec: Codec,
    /// Calls a second, at most.
    pub calls_per_second: u32,
}

impl Default for PhoneOptions {
    fn default() -> PhoneOptions {
        PhoneOptions {
            server: SocketAddr::from(([127, 0, 0, 1], 5060)),
            codec: Codec::Pcmu,
            calls_per_second: 40,
        }
    }
}

/// All phones of a run.
pub(crate) struct Phones {
    options: PhoneOptions,
    desk: Desk,
    switchboard: Switchboard,
}

impl Phones {
    /// Starts signalling and the thread of their sound; nobody has called yet.
    pub(crate) async fn start(options: PhoneOptions) -> anyhow::Result<Phones> {
        let ip = options.server.ip();
        let desk = Desk::start(SocketAddr::new(ip, 0)).await.context("signalling of phones")?;
        let switchboard = Switchboard::start(ip).context("the sockets of phones")?;
        Ok(Phones { options, desk, switchboard })
    }

    /// Calls a room, and stays in it. With `opens` what it hears is decoded. Returns how long it took to be answered.
    pub(crate) async fn call(&self, room: &str, opens: bool) -> anyhow::Result<Duration> {
        let port = self.switchboard.next_port();
        let local = LocalMedia {
            srtp: SrtpPolicy::Never,
            ..LocalMedia::at(self.switchboard.address(port), &[self.options.codec])
        };
        let mut session = Session::new(local, &rand::random::<[u8; SECRET_BYTES]>());
        let offer = session.offer(Direction::SendRecv);
        let started = Instant::now();
        let answering = self.desk.dial(format!("sip:{room}@{}", self.options.server), offer)?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answering).await;
        let answer = answer.with_context(|| format!("no answer within {ANSWER_TIMEOUT:?}"))?;
        let answer = answer.context("signalling has ended")??;
        let took = started.elapsed();
        let agreed = session.accept(&answer).context("the answer's session description")?;
        let phone = Phone::new(Instant::now(), agreed, opens).context("an answer without an address")?;
        self.switchboard.add(port, phone);
        Ok(took)
    }

    /// Forgets what was counted.
    pub(crate) fn start_counting(&self) {
        self.switchboard.start_counting();
    }

    /// What was counted since.
    pub(crate) fn collect(&self) -> CallCounts {
        self.switchboard.collect()
    }

    /// Calls that were answered, and ended before we hung up.
    pub(crate) fn lost(&self) -> Lost {
        self.desk.lost()
    }

    /// All hang up.
    pub(crate) async fn hang_up(self) -> io::Result<()> {
        self.desk.shut_down(HANG_UP_TIMEOUT).await;
        self.switchboard.stop()
    }
}
