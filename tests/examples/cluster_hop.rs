//! What a hop from one node to another costs: the latency of packets heard on the speaker's node and on another one, in one run,
//! beside the link's round trip; and how soon a speaker who begins is heard there.
//!
//! `TERCET_BIN=target/release/tercet cargo run --release -p tercet-tests --example cluster_hop -- [SECONDS]`: 20 of them
//! unless told otherwise.

use std::time::{Duration, Instant};

use tercet_loadtest::{Client, SyntheticFrame, Voice, epoch};
use tercet_protocol::{Request, Role};
use tercet_tests::cluster::Cluster;

const SPURTS: u32 = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(20), |seconds| seconds.parse())?;
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let mut speaker = cluster.nodes[0].join("r", "speaker", Role::Speaker).await?;
    let mut near = cluster.nodes[0].join("r", "near", Role::Listener).await?;
    let mut far = cluster.nodes[1].join("r", "far", Role::Listener).await?;
    speaker.speak(Voice::new(1, -20)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for client in [&mut near, &mut far] {
        client.skip_packets();
    }
    let time = Duration::from_secs(seconds);
    let (near_latency, far_latency) = tokio::join!(latencies(&mut near, time), latencies(&mut far, time));
    let rtt = cluster.nodes[0].metric("tercet_cluster_link_rtt_seconds", "").await? * 1000.0;
    println!("link RTT {rtt:.3} ms");
    for (name, latency) in [("same node", &near_latency), ("other node", &far_latency)] {
        let [p50, p95, p99] = [50, 95, 99].map(|p| percentile(latency, p));
        println!("{name:<10} {} packets, p50/p95/p99 {p50:.2}/{p95:.2}/{p99:.2} ms", latency.len());
    }
    let hop = |p| percentile(&far_latency, p) - percentile(&near_latency, p) - rtt / 2.0;
    println!("hop, over half the RTT: p50 {:.2} ms, p99 {:.2} ms", hop(50), hop(99));

    let mut first = Vec::new();
    for _ in 0..SPURTS {
        speaker.speak(Voice::new(1, -127)).await?;
        tokio::time::sleep(Duration::from_millis(3000)).await;
        // Who says nothing on the WebSocket for half a minute is taken for gone.
        for client in [&mut speaker, &mut near, &mut far] {
            client.request(Request::Ping).await?;
        }
        far.skip_packets();
        let began = Instant::now();
        speaker.speak(Voice::new(1, -20)).await?;
        loop {
            let packet = far.next_packet(Duration::from_secs(5)).await?;
            if packet.level_dbov == Some(-20) {
                first.push((packet.received - began).as_secs_f64() * 1000.0);
                break;
            }
        }
    }
    first.sort_by(f64::total_cmp);
    let [p50, p95] = [50, 95].map(|p| percentile(&first, p));
    let longest = first.last().copied().unwrap_or(f64::NAN);
    println!("first audio on the other node: {SPURTS} times, p50/p95/max {p50:.1}/{p95:.1}/{longest:.1} ms");
    Ok(())
}

/// How long packets were under way, in ms, sorted.
async fn latencies(client: &mut Client, time: Duration) -> Vec<f64> {
    let packets = client.packets_for(time).await;
    let under_way = packets.iter().filter_map(|packet| {
        let sent = SyntheticFrame::decode(packet.frame()?)?.sent;
        Some((packet.received - (epoch() + sent)).as_secs_f64() * 1000.0)
    });
    let mut under_way: Vec<f64> = under_way.collect();
    under_way.sort_by(f64::total_cmp);
    under_way
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
