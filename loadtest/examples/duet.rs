//! Two clients on a running server: one speaks, the other listens, and everything that the library
//! can do to a connection is done once.
//!
//! ```text
//! cargo run -p tercet -- serve &
//! cargo run -p tercet-loadtest --example duet -- http://127.0.0.1:8080
//! ```

use std::time::Duration;

use anyhow::{Context, ensure};
use tercet_loadtest::{
    Channel, Client, JoinOptions, ReceivedPacket, ServerUrl, SyntheticFrame, Voice, token,
};
use tercet_protocol::{DataFrameIn, Request, Role, ServerMessage};

const SOON: Duration = Duration::from_secs(5);
const PUBLISHER: u32 = 7;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let server: ServerUrl = url.parse()?;
    let room = format!("duet-{:08x}", rand::random::<u32>());

    let mut ada = join(server, &room, "Ada").await?;
    let mut bob = join(server, &room, "Bob").await?;
    println!("joined: {} and {}", ada.participant(), bob.participant());

    ada.speak(Voice::new(PUBLISHER, -25)).await?;
    let packet = hear(&mut bob).await?;
    let source =
        ada.welcome().participants.iter().find(|p| p.id == ada.participant()).context("own entry")?.source;
    ensure!(packet.csrc == [source], "the packet names {:?}, not {source}", packet.csrc);
    ensure!(bob.slot_mids().contains(&packet.mid), "on the m-line of a slot");
    println!("Bob hears Ada: {} dBov", packet.level_dbov.context("no level")?);
    let speaker = bob
        .wait_for(SOON, |message| match message {
            ServerMessage::Slots { slots } => slots.iter().find_map(|slot| slot.participant.clone()),
            _ => None,
        })
        .await?;
    ensure!(speaker == ada.participant(), "the slots name {speaker}");

    for channel in [Channel::Reliable, Channel::Lossy] {
        bob.wait_data_channels(SOON).await?;
        ada.wait_data_channels(SOON).await?;
        let frame = DataFrameIn { to: None, data: serde_json::json!({ "hello": "Bob" }) };
        ensure!(ada.send_data(channel, &frame).await?, "the channel is open");
        let received = bob.next_data(SOON).await?;
        ensure!(received.channel == channel && received.frame()?.from == ada.participant());
    }
    println!("data arrives on both channels");

    ada.restart_ice().await?;
    ada.wait_connected(SOON).await?;
    hear(&mut bob).await.context("after an ICE restart")?;
    println!("ICE restarted");

    bob.move_network().await?;
    bob.wait_connected(SOON).await?;
    hear(&mut bob).await.context("after a move to another socket")?;
    println!("moved to another socket");

    bob.resume().await?;
    bob.request(Request::Ping).await.context("after resume")?;
    hear(&mut bob).await?;
    println!("resumed on a new WebSocket");

    bob.replace_peer().await?;
    bob.wait_connected(SOON).await?;
    hear(&mut bob).await.context("on a new peer connection")?;
    println!("replaced the peer connection");

    bob.cut_network(true);
    bob.skip_packets();
    ensure!(bob.packets_for(Duration::from_millis(200)).await.is_empty(), "heard through a cut network");
    bob.cut_network(false);
    hear(&mut bob).await.context("after the network was mended")?;
    println!("cut and mended the network");

    println!("{} messages of signalling recorded", bob.signalling().recorded().len());
    println!("left: {:?}, {:?}", ada.leave().await?, bob.leave().await?);
    Ok(())
}

async fn join(server: ServerUrl, room: &str, name: &str) -> anyhow::Result<Client> {
    let token = token::fetch(&server, room, name, Role::Speaker).await?;
    let mut options = JoinOptions::new(server, token.token);
    options.record = true;
    let mut client = Client::join(options).await?;
    client.wait_connected(SOON).await?;
    Ok(client)
}

/// The next packet that arrives from now on, if it is the publisher's.
async fn hear(client: &mut Client) -> anyhow::Result<ReceivedPacket> {
    client.skip_packets();
    let packet = client.next_packet(SOON).await?;
    let frame = packet.frame().and_then(SyntheticFrame::decode).context("not a frame of ours")?;
    ensure!(frame.publisher == PUBLISHER, "heard publisher {}", frame.publisher);
    Ok(packet)
}
