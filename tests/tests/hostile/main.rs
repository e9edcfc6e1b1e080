//! Hostile datagrams, and hostile clients: what they send harms nobody else, and is counted.
//!
//! Strangers send from sockets of their own. A [`Hand`](hand::Hand) is a joined client whose datagrams pass
//! through the test, so that it can send what no client should from an address that the server
//! knows. A failure of a randomised test names its seed; `SEED=n` replays it.

mod connections;
mod datagrams;
mod hand;
mod handshakes;
mod packets;
mod sessions;
mod stun;

use std::time::{Duration, Instant};

use tercet_loadtest::{Client, Voice};
use tercet_protocol::Role;
use tercet_tests::listening::{assert_continuous, publisher};
use tercet_tests::{SOON, Server};

const FRAME: Duration = Duration::from_millis(20);
/// Long enough for what was sent to arrive and be answered.
const A_MOMENT: Duration = Duration::from_millis(500);

const DROPPED: &str = "tercet_packets_dropped_total";

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random)
}

/// An ordinary pair, one of whom speaks throughout: who is to notice nothing.
struct Bystanders {
    speaker: Client,
    listener: Client,
}

impl Bystanders {
    const PUBLISHER: u32 = 999;

    async fn join(server: &Server, room: &str) -> anyhow::Result<Bystanders> {
        let speaker = server.join(room, "bystander-speaks", Role::Speaker).await?;
        let listener = server.join(room, "bystander-listens", Role::Listener).await?;
        speaker.speak(Voice::new(Bystanders::PUBLISHER, -20)).await?;
        Ok(Bystanders { speaker, listener })
    }

    /// The speaker is heard, in a stream without a seam since the last check.
    async fn assert_undisturbed(&mut self) -> anyhow::Result<()> {
        self.listener.skip_packets();
        let packets = self.listener.packets_for(Duration::from_secs(1)).await;
        let heard = packets.iter().filter(|packet| publisher(packet) == Some(Bystanders::PUBLISHER));
        let count = heard.count();
        assert!(count >= 30, "{count} of 50 frames of a bystander are heard");
        assert_continuous(&packets);
        anyhow::ensure!(self.speaker.packets_sent() > 0, "a bystander speaks");
        Ok(())
    }
}

async fn dropped(server: &Server, reason: &str) -> anyhow::Result<f64> {
    server.metric(DROPPED, &format!("reason=\"{reason}\"")).await
}

/// Waits until a count of dropped packets has grown by `by`.
async fn wait_for_dropped(server: &Server, reason: &str, from: f64, by: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let grown = dropped(server, reason).await? - from;
        if grown >= by {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{grown} of {by} were dropped as {reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_unharmed(server: &Server) -> anyhow::Result<()> {
    assert_eq!(server.metric("tercet_peer_panics_total", "").await?, 0.0);
    server.assert_serves().await
}
