//! What is too much, too slow, or wrong in every way: refused in time, and nobody else notices.

use std::collections::BTreeMap;
use std::time::Duration;

use tercet_protocol::Role;
use tercet_tests::Server;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::wire::{Ask, ROOM, publish, published, read, token};

#[tokio::test]
async fn of_a_thousand_requests_that_come_to_nothing_most_are_told_to_wait() -> anyhow::Result<()> {
    let server = Server::start()?;
    // Who has no token takes nothing from the others behind the same address.
    for _ in 0..70 {
        let reply = Ask::new("POST", format!("/whip/{ROOM}")).sdp(&published()).send(&server).await?;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    let mut asks = tokio::task::JoinSet::new();
    let mut statuses = BTreeMap::new();
    for n in 0..1_000 {
        let token = token(&format!("flood-{n}"), Role::Speaker)?;
        let head = Ask::new("POST", format!("/whip/{ROOM}")).token(&token).sdp(&published()).head(&server);
        let request = format!(
            "{head}connection: close\r\ncontent-length: {}\r\n\r\n{}",
            published().len(),
            published()
        );
        let address = server.http;
        asks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            read(&mut stream, Duration::from_secs(60)).await
        });
    }
    while let Some(reply) = asks.join_next().await {
        let reply = reply??;
        if reply.status == 429 {
            let wait: u64 = reply.header("retry-after").unwrap_or_default().parse()?;
            assert!((1..=60).contains(&wait), "{wait}");
        }
        *statuses.entry(reply.status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(201, 60), (429, 940)]));
    server.assert_serves().await
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() -> anyhow::Result<()> {
    let server = Server::start()?;
    let token = token("ada", Role::Speaker)?;
    let head = Ask::new("POST", format!("/whip/{ROOM}")).token(&token).sdp("").head(&server);
    let mut stream = TcpStream::connect(server.http).await?;
    stream
        .write_all(format!("{head}connection: close\r\ncontent-length: 1000\r\n\r\nv=0\r\n").as_bytes())
        .await?;
    let reply = read(&mut stream, Duration::from_secs(20)).await?;
    assert_eq!(reply.status, 408, "{reply:?}");
    server.assert_serves().await
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() -> anyhow::Result<()> {
    let server = Server::start()?;
    let token = token("ada", Role::Speaker)?;
    let head = Ask::new("POST", format!("/whip/{ROOM}")).token(&token).sdp("").head(&server);
    let mut stream = TcpStream::connect(server.http).await?;
    stream
        .write_all(format!("{head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())
        .await?;
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    for _ in 0..5 {
        stream.write_all(chunk.as_bytes()).await?;
    }
    let reply = read(&mut stream, Duration::from_secs(5)).await?;
    assert_eq!(reply.status, 413, "{reply:?}");
    server.assert_serves().await
}

#[tokio::test]
async fn offers_cut_short_or_garbled_end_nothing_but_themselves() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (begun, token) = publish(&server, "ada").await?;
    let good = published();
    // Sixty requests that come to nothing are let through in a minute.
    let cut = (0..40).map(|n| good[..good.len() * n / 40].to_owned());
    let garbled =
        (0..12).map(|n| good.replace(['a', 'm', '=', ':', '1', '\r'][n % 6], ["", "\u{FFFD}"][n / 6]));
    let mut session = begun.session()?;
    let unknown = good.replace("opus/48000/2", "L16/48000/2");
    for offer in cut.chain(garbled).chain([unknown]) {
        let ask = Ask::new("POST", format!("/whip/{ROOM}")).token(&token).sdp(&offer);
        let reply = ask.send(&server).await?;
        assert!([201, 400, 422].contains(&reply.status), "{reply:?}: {offer}");
        if reply.status == 201 {
            session = reply.session()?;
        }
        // Who is refused had a session before, and has it still.
        let look = Ask::new("GET", &session).token(&token).send(&server).await?;
        assert_eq!(look.status, 204, "{look:?} after {offer}");
    }
    server.assert_serves().await
}
