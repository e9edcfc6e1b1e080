//! Softphones on a network that loses packets. In a network namespace that the test makes.

use std::time::Duration;

use tercet_tests::namespace::{enter, lose_on_loopback, raise_loopback};
use tercet_tests::softphone::{PhoneCodec, Softphone};
use tercet_tests::{SOON, Server};

/// Where calls have their sound at the server, by default.
const SERVER_PORTS: &str = "40000-49999";

#[tokio::test(flavor = "multi_thread")]
async fn five_percent_of_loss_leave_no_holes_in_a_voice() -> anyhow::Result<()> {
    if !enter("five_percent_of_loss_leave_no_holes_in_a_voice")? {
        return Ok(());
    }
    raise_loopback()?;
    lose_on_loopback(SERVER_PORTS, 5)?;
    let server = Server::start_with(&["--sip", "127.0.0.1:0"])?;
    let speakers = [
        ("ada", PhoneCodec::Pcmu, 440.0),
        ("ben", PhoneCodec::G722, 700.0),
        ("cyd", PhoneCodec::Opus, 1000.0),
    ];
    let mut pairs = Vec::new();
    for (name, codec, hz) in speakers {
        let speaker = Softphone::start(name, codec, hz, "").await?;
        let listener = Softphone::start(&format!("{name}s-friend"), PhoneCodec::G722, 0.0, "").await?;
        for phone in [&speaker, &listener] {
            phone.dial(&server.sip_uri(name)?).await?;
            phone.wait_for_log("Call established", SOON).await?;
        }
        pairs.push((speaker, listener, codec, hz));
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut found = Vec::new();
    for (_, listener, codec, hz) in &pairs {
        let heard = listener.heard()?.last(Duration::from_secs(10));
        found.push((*codec, heard.level_dbfs(*hz), heard.holes(*hz)));
    }
    let packets = server.metric("tercet_phone_packets_in_total", "").await?;
    for (speaker, listener, ..) in &pairs {
        speaker.hang_up().await?;
        listener.hang_up().await?;
    }
    let deadline = tokio::time::Instant::now() + SOON;
    while server.metric("tercet_phone_lines", "").await? > 0.0 {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "calls that were hung up go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lost = server.metric("tercet_phone_packets_lost_total", "").await? / packets;
    println!("lost {lost:.3}, codec, level and holes {found:?}");
    assert!((0.03..0.07).contains(&lost), "{lost} were lost");
    for (codec, level_dbfs, holes) in found {
        assert!(level_dbfs > -35.0, "{codec:?}: {level_dbfs}");
        // Each lost packet is a hole if nothing is put in its place. Where several in a row are lost there is one all the same, and
        // where the machine stands still for a moment.
        let packets_lost = 500.0 * lost;
        assert!(
            (holes.len() as f64) < packets_lost / 2.0,
            "{codec:?}: holes at {holes:?} where {packets_lost:.0} packets were lost"
        );
    }
    Ok(())
}
