//! Encoders that come to a node which doesn't serve them.

use tercet_protocol::{Role, ServerMessage};
use tercet_tests::cluster::Cluster;
use tercet_tests::{SOON, Server};

use crate::wire::{Ask, ROOM, publish};

#[tokio::test]
async fn a_gateway_has_another_node_serve_an_encoder_whose_session_is_there() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add(&["--role", "gateway"])?;
    cluster.wait_whole().await?;
    let (media, gateway) = (&cluster.nodes[0], &cluster.nodes[1]);
    let mut moderator = media.join(ROOM, "mod", Role::Moderator).await?;
    let (begun, token) = publish(gateway, "ada").await?;
    assert!(begun.body.contains("a=recvonly"), "{begun:?}");
    let session = begun.session()?;
    let base = format!("http://{}", media.http);
    let path = session.strip_prefix(&base).expect("its URL names the node that serves it").to_owned();
    moderator
        .wait_for(SOON, |message| match message {
            ServerMessage::ParticipantJoined { participant } if participant.id == "ada" => Some(()),
            _ => None,
        })
        .await?;
    assert_eq!(Ask::new("GET", &path).token(&token).send(gateway).await?.status, 404, "nothing is here");
    assert_eq!(Ask::new("GET", &path).token(&token).send(media).await?.status, 204);
    assert_eq!(Ask::new("DELETE", &path).token(&token).send(media).await?.status, 200);
    let refused = Ask::new("POST", format!("/whip/{ROOM}")).token("no token").sdp("").send(gateway).await?;
    assert_eq!(refused.status, 401, "it says no itself");
    Ok(())
}

#[tokio::test]
async fn an_encoder_is_told_of_relays_with_credentials_that_end() -> anyhow::Result<()> {
    let urls = ["turn:127.0.0.1:3478", "turns:relay.example.com:5349?transport=tcp"];
    let server =
        Server::start_with(&["--turn", urls[0], "--turn", urls[1], "--turn-secret", "north-of-the-wall"])?;
    let (begun, _) = publish(&server, "ada").await?;
    let links: Vec<&str> = begun.head.lines().filter_map(|line| line.strip_prefix("link: ")).collect();
    assert_eq!(links.len(), urls.len(), "{begun:?}");
    for (link, url) in links.into_iter().zip(urls) {
        let begins = format!("<{url}>; rel=\"ice-server\"; username=\"");
        assert!(link.starts_with(&begins) && link.ends_with("credential-type=\"password\""), "{link}");
    }
    Ok(())
}
