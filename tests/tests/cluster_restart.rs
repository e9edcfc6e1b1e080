//! A rolling restart under load: each node is stopped and started again, and everybody in the room goes on hearing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tercet_loadtest::token::Claims;
use tercet_loadtest::{Client, JoinOptions, ServerUrl, Voice};
use tercet_protocol::{Role, ServerMessage};
use tercet_tests::cluster::{Cluster, seed, start_node};
use tercet_tests::listening::publisher;
use tercet_tests::{SECRET, SOON};

const NODES: usize = 3;

/// Two of them on each node.
const PARTICIPANTS: u32 = 6;

/// Nobody may hear nothing for longer.
const GAP_MAX: Duration = Duration::from_secs(1);

/// Somebody who speaks, listens, and goes to another node when theirs is about to stop.
struct Follower {
    number: u32,
    client: Client,
    /// A connection to another node, on its way.
    next: Option<tokio::task::JoinHandle<anyhow::Result<Client>>>,
    /// When each voice was last heard, on whichever connection.
    heard_at: Vec<Instant>,
    gap: Duration,
    moves: usize,
}

async fn join(number: u32, url: ServerUrl) -> anyhow::Result<Client> {
    let token = Claims::new("r", format!("speaker-{number}"), Role::Speaker).sign(SECRET.as_bytes())?;
    let mut client = Client::join(JoinOptions::new(url, token)).await?;
    client.wait_connected(SOON).await?;
    Ok(client)
}

impl Follower {
    async fn new(number: u32, url: ServerUrl) -> anyhow::Result<Follower> {
        let client = join(number, url).await?;
        client.speak(Voice::new(number, -20)).await?;
        let heard_at = vec![Instant::now(); PARTICIPANTS as usize];
        Ok(Follower { number, client, next: None, heard_at, gap: Duration::ZERO, moves: 0 })
    }

    /// Listens until told to stop; returns the longest time in which nothing was heard of anybody.
    async fn follow(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<(Duration, usize)> {
        let mut heard_at = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            for packet in self.client.packets_for(Duration::from_millis(10)).await {
                if let Some(voice) = publisher(&packet).filter(|voice| *voice != self.number) {
                    self.heard_at[voice as usize] = Instant::now();
                    self.gap = self.gap.max(heard_at.elapsed());
                    heard_at = Instant::now();
                }
            }
            let closing = self.client.wait_for(Duration::from_millis(1), |message| match message {
                ServerMessage::Closing { nodes, .. } => Some(nodes.clone()),
                _ => None,
            });
            if let Ok(nodes) = closing.await {
                let url = nodes.first().context("there are other nodes")?.parse()?;
                self.next = Some(tokio::spawn(join(self.number, url)));
            }
            if let Some(next) = self.next.take_if(|next| next.is_finished()) {
                let next = next.await??;
                // From here on they speak there, and hear there: media flows.
                next.speak(Voice::new(self.number, -20)).await?;
                let former = std::mem::replace(&mut self.client, next);
                former.leave().await?;
                self.moves += 1;
            }
        }
        Ok((self.gap.max(heard_at.elapsed()), self.moves))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_costs_nobody_a_second_and_no_room() -> anyhow::Result<()> {
    let media = ["--role", "media"];
    let mut cluster = Cluster::start_with(NODES, &media).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut followers = Vec::new();
    for number in 0..PARTICIPANTS {
        let follower = Follower::new(number, cluster.nodes[number as usize % NODES].url()?).await?;
        followers.push(tokio::spawn(follower.follow(stop.clone())));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    for index in 0..NODES {
        let address = seed(&cluster.nodes[index])?;
        let other = seed(&cluster.nodes[(index + 1) % NODES])?;
        cluster.nodes[index].signal("TERM")?;
        assert_eq!(cluster.nodes[index].exit_code(Duration::from_secs(20)).await?, 0);
        let arguments = ["--role", "media", "--cluster-udp", &address];
        cluster.nodes[index] = start_node(index + 1, Some(&other), &arguments)?;
        cluster.wait_whole().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut moves = 0;
    for (number, follower) in followers.into_iter().enumerate() {
        let (gap, moved) = follower.await??;
        println!("participant {number}: moved {moved} times, heard nothing for {gap:?} at most");
        assert!(gap < GAP_MAX, "participant {number} heard nothing for {gap:?}");
        moves += moved;
    }
    assert!(moves >= PARTICIPANTS as usize, "{moves}");
    let late = cluster.nodes[0].join("r", "late", Role::Listener).await?;
    assert_eq!(late.welcome().participant_count, PARTICIPANTS + 1, "the room is the one that it was");
    Ok(())
}
