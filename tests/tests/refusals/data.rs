//! Data frames.

use std::time::Duration;

use tercet_loadtest::token::{Claims, Grants};
use tercet_loadtest::{Channel, Client};
use tercet_protocol::{DATA_BYTES_MAX, DataFrameIn, ErrorCode, Role};
use tercet_tests::{SECRET, SOON, Server};

use crate::next_error;

/// A pair with open data channels: one who sends, one who looks on.
async fn data_pair(server: &Server, grants: Option<Grants>) -> anyhow::Result<(Client, Client)> {
    let mut ticket = server.ticket("r", "ada", Role::Speaker)?;
    ticket.token = Claims { grants, ..Claims::new("r", "ada", Role::Speaker) }.sign(SECRET.as_bytes())?;
    let (mut ada, mut ben) = (server.join_with(ticket).await?, server.join("r", "ben", Role::Speaker).await?);
    ada.wait_data_channels(SOON).await?;
    ben.wait_data_channels(SOON).await?;
    Ok((ada, ben))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_frame_that_breaks_a_rule_is_refused_and_not_passed_on() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, None).await?;
    let frame_of = |bytes: usize| format!("{{\"data\":\"{}\"}}", "x".repeat(bytes - r#"{"data":""}"#.len()));
    let wrong = [
        frame_of(DATA_BYTES_MAX + 1),
        frame_of(60_000),
        "not JSON".to_owned(),
        r#"{"to":["ben"]}"#.to_owned(),
        r#"{"to":"ben","data":1}"#.to_owned(),
        "[]".to_owned(),
    ];
    for frame in wrong {
        let shown = format!("{frame:.40}");
        assert!(ada.send_data_text(Channel::Reliable, frame).await?, "{shown}: sent");
        let error = next_error(ada.signalling()).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::BadMessage, false), "{shown}");
        // Frames that are too large are told of once a second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    // Frames to nobody, to oneself and to strangers go nowhere; one of the largest size passes.
    for to in [vec![], vec!["ada"; 1_000], vec!["nobody"]] {
        let to = Some(to.into_iter().map(str::to_owned).collect());
        ada.send_data(Channel::Reliable, &DataFrameIn { to, data: "lost".into() }).await?;
    }
    ada.send_data_text(Channel::Reliable, frame_of(DATA_BYTES_MAX)).await?;
    let received = ben.next_data(SOON).await?.frame()?;
    assert_eq!(
        (received.from.as_str(), received.data.as_str().map(str::len)),
        ("ada", Some(DATA_BYTES_MAX - 11))
    );
    assert!(server.metric("tercet_data_frames_dropped_total", "").await? >= 2.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn data_frames_beyond_the_rate_are_refused_and_the_others_arrive() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, None).await?;
    for number in 0..200 {
        ada.send_data(Channel::Reliable, &DataFrameIn { to: None, data: number.into() }).await?;
    }
    let error = next_error(ada.signalling()).await?;
    assert_eq!((error.code, error.fatal), (ErrorCode::RateLimited, false));
    let mut arrived = Vec::new();
    while let Ok(message) = ben.next_data(Duration::from_secs(1)).await {
        arrived.extend(message.frame()?.data.as_u64());
    }
    assert!((100..200).contains(&arrived.len()), "{} frames arrived", arrived.len());
    assert!(arrived.is_sorted());
    assert!(server.metric("tercet_data_frames_dropped_total", "").await? >= 1.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_grant_sends_no_data() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, Some(Grants { data: false })).await?;
    for channel in [Channel::Reliable, Channel::Lossy] {
        ada.send_data(channel, &DataFrameIn { to: None, data: "psst".into() }).await?;
        let error = next_error(ada.signalling()).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::Forbidden, false));
    }
    assert!(ben.next_data(Duration::from_millis(500)).await.is_err());
    ben.send_data(Channel::Reliable, &DataFrameIn { to: None, data: "hello".into() }).await?;
    assert_eq!(ada.next_data(SOON).await?.frame()?.data, "hello");
    server.assert_serves().await
}
