//! ICE restarts, and how sessions end.

use std::time::{Duration, Instant};

use tercet_protocol::{LeaveReason, Request, Role, ServerMessage, Transport};
use tercet_tests::{SOON, Server};

use crate::wire::{Ask, ROOM, publish};

fn restart(ufrag: &str) -> String {
    format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:efghefghefghefghefghefgh\r\n")
}

fn value<'a>(sdp: &'a str, name: &str) -> Vec<&'a str> {
    sdp.lines().filter_map(|line| line.strip_prefix(name)).collect()
}

#[tokio::test]
async fn a_restart_brings_new_credentials_and_a_new_tag_and_a_failure_leaves_the_session()
-> anyhow::Result<()> {
    let server = Server::start()?;
    let (begun, token) = publish(&server, "ada").await?;
    let (path, first) = (begun.session()?, begun.etag()?);
    let patch = |fragment: &str, tag: &str| {
        Ask::new("PATCH", &path).token(&token).fragment(fragment).header("if-match", tag)
    };
    let restarted = patch(&restart("efgh"), "*").send(&server).await?;
    assert_eq!(restarted.status, 200, "RFC 9725, 4.3.3: {restarted:?}");
    assert_eq!(restarted.header("content-type"), Some("application/trickle-ice-sdpfrag"));
    let second = restarted.etag()?;
    assert_ne!(first, second);
    let former = value(&begun.body, "a=ice-ufrag:");
    assert_eq!(value(&restarted.body, "a=ice-ufrag:").len(), 1, "{}", restarted.body);
    assert!(!former.contains(&value(&restarted.body, "a=ice-ufrag:")[0]), "{}", restarted.body);
    for part in
        ["a=group:BUNDLE 0", "m=audio 9", "a=mid:0", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"]
    {
        assert!(restarted.body.contains(part), "{part}: {}", restarted.body);
    }
    assert_eq!(patch("a=ice-ufrag:efgh\r\na=end-of-candidates\r\n", &first).send(&server).await?.status, 412);
    assert_eq!(
        patch("a=ice-ufrag:efgh\r\na=end-of-candidates\r\n", &second).send(&server).await?.status,
        204
    );
    // A restart that can't be: everything is as it was.
    assert_eq!(patch("a=ice-ufrag:ijkl\r\n", "*").send(&server).await?.status, 422);
    assert_eq!(patch("a=end-of-candidates\r\n", &second).send(&server).await?.status, 204);
    assert_eq!(patch(&restart("ijkl"), "*").send(&server).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_publisher_is_on_the_list_with_its_transport_and_a_moderator_removes_it() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = server.join(ROOM, "mod", Role::Moderator).await?;
    let (begun, token) = publish(&server, "ada").await?;
    let joined = moderator.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.id == "ada" => {
            Some(participant.clone())
        }
        _ => None,
    });
    assert_eq!(joined.await?.transport, Transport::Whip);
    moderator.signalling().request(Request::RemoveParticipant { participant: "ada".into() }).await?;
    let left = moderator.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } if participant == "ada" => Some(*reason),
        _ => None,
    });
    assert_eq!(left.await?, LeaveReason::Removed);
    assert_eq!(Ask::new("GET", begun.session()?).token(&token).send(&server).await?.status, 404);
    moderator.leave().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_whose_media_never_came_ends_after_the_time_that_connecting_may_take() -> anyhow::Result<()>
{
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, "session.resume_ms = 2000\n")?;
    let server = Server::start_with(&["--config", file.path().to_str().unwrap_or_default()])?;
    let (begun, token) = publish(&server, "ada").await?;
    let (began, connecting) = (Instant::now(), Duration::from_secs(15));
    let look = Ask::new("GET", begun.session()?).token(&token);
    while look.send(&server).await?.status == 204 {
        assert!(began.elapsed() < connecting + SOON, "the session goes on and on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        began.elapsed() >= connecting,
        "however short a time it outlives its media: {:?}",
        began.elapsed()
    );
    assert_eq!(server.metric("tercet_participants", "").await?, 0.0);
    Ok(())
}

#[tokio::test]
async fn a_newer_session_of_the_same_participant_takes_the_place() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (first, token) = publish(&server, "ada").await?;
    let (second, _) = publish(&server, "ada").await?;
    let status =
        async |path: String| anyhow::Ok(Ask::new("GET", path).token(&token).send(&server).await?.status);
    let deadline = Instant::now() + SOON;
    while status(first.session()?).await? != 404 {
        assert!(Instant::now() < deadline, "the former session goes on");
    }
    assert_eq!(status(second.session()?).await?, 204);
    Ok(())
}
