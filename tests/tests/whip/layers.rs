//! How much of a picture a player gets, as it chooses. What it sees of that is tested in `tests/browser/whip.test.js`.

use tercet_loadtest::Voice;
use tercet_protocol::Role;
use tercet_tests::Server;

use crate::events::{Stream, play};
use crate::wire::{Ask, ROOM, line, offer, token};

/// One audio track and a picture to play.
fn seen() -> String {
    let video = line("video", 1, "VP8/90000", "recvonly").replace("111", "96");
    offer(&[line("audio", 0, "opus/48000/2", "recvonly"), video])
}

#[tokio::test]
async fn a_player_chooses_layers_by_the_rules() -> anyhow::Result<()> {
    let server = Server::start()?;
    let publisher = server.join(ROOM, "ada", Role::Speaker).await?;
    publisher.speak(Voice::new(1, -20)).await?;
    let (own, other) = (token("ben", Role::Listener)?, token("eve", Role::Listener)?);
    let begun = play(&server, &own, &seen()).await?;
    let session = begun.session()?;
    let layer = format!("{session}/layer");
    let link = format!("link: <{layer}>; rel=\"urn:ietf:params:whep:ext:core:layer\"");
    assert!(begun.head.to_lowercase().contains(&link.to_lowercase()), "{}", begun.head);

    let ask = |method, path: &str| Ask::new(method, path).header("content-type", "application/json");
    let post = |body: &str| ask("POST", &layer).body(body);
    let chosen = r#"{"mediaId": "1", "encodingId": "0"}"#;
    for (rule, ask, status) in [
        ("WHEP, layer selection: 200", post(chosen).token(&own), 200),
        ("the first m-line with video", post(r#"{"spatialLayerId": 1}"#).token(&own), 200),
        ("a layer as an event has it", post(r#"{"encodingId": "1", "bitrate": 9}"#).token(&own), 200),
        ("WHEP, layer selection: an empty object", post("{}").token(&own), 200),
        ("a constraint less", post(r#"{"mediaId": "1"}"#).token(&own), 200),
        ("medooze's player: DELETE", Ask::new("DELETE", &layer).token(&own), 200),
        ("an m-line of audio", post(r#"{"mediaId": "0", "encodingId": "0"}"#).token(&own), 422),
        ("no m-line", post(r#"{"mediaId": "2"}"#).token(&own), 422),
        ("no encoding", post(r#"{"encodingId": "huge"}"#).token(&own), 422),
        ("a size in pixels", post(r#"{"maxHeight": 360}"#).token(&own), 422),
        ("no object", post("[]").token(&own), 400),
        ("no JSON", post("{encodingId: 0}").token(&own), 400),
        ("nothing", post("").token(&own), 400),
        ("not a layer's number", post(r#"{"spatialLayerId": 256}"#).token(&own), 400),
        ("RFC 9110, 15.5.16: another type", Ask::new("POST", &layer).token(&own).sdp(chosen), 415),
        ("RFC 9110, 15.5.16: no type", Ask::new("POST", &layer).token(&own).body(chosen), 415),
        ("RFC 9725, 4.7: no token", post(chosen), 401),
        ("RFC 9725, 4.7: no token", Ask::new("DELETE", &layer), 401),
        ("RFC 9725, 4.7: no token of ours", post(chosen).token("a.b.c"), 401),
        ("somebody else's", post(chosen).token(&other), 403),
        ("another session", ask("POST", &format!("/whep/{ROOM}/{:032x}/layer", 7)).token(&own), 404),
        ("an encoder's: it has none", ask("POST", &layer.replace("/whep/", "/whip/")).token(&own), 405),
        ("RFC 9110, 15.5.6: GET", ask("GET", &layer).token(&own), 405),
        ("RFC 9110, 15.5.6: PATCH", post(chosen).token(&own).method("PATCH"), 405),
        ("RFC 9110, 15.5.14: too large", post(&" ".repeat(70_000)).token(&own), 413),
    ] {
        let reply = ask.send(&server).await?;
        assert_eq!(reply.status, status, "{rule}: {reply:?}");
    }
    let preflight = ask("OPTIONS", &layer).header("origin", "https://example.com");
    let preflight = preflight.header("access-control-request-method", "DELETE").send(&server).await?;
    assert_eq!((preflight.status, preflight.header("accept-post")), (200, Some("application/json")));

    // So far there were ten that were read; of more than a burst in a second some have to wait.
    let mut waits = 0;
    for _ in 0..20 {
        let reply = post(chosen).token(&own).send(&server).await?;
        assert!([200, 429].contains(&reply.status), "{reply:?}");
        waits += usize::from(reply.status == 429 && reply.header("retry-after") == Some("1"));
    }
    assert!(waits > 0, "five a second");

    let events = format!("{session}/events");
    let followed = ask("POST", &events).token(&own).body(r#"["layers"]"#).send(&server).await?;
    let mut stream = Stream::open(&server, &followed.session()?).await?;
    let told = stream.until("layers").await?;
    assert!(told.contains(r#"data: {"1":{"active":[],"inactive":[],"layers":[]}}"#), "{told}");

    let ended = Ask::new("DELETE", &session).token(&own).send(&server).await?;
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(post(chosen).token(&own).send(&server).await?.status, 404, "it is over");
    publisher.leave().await?;
    Ok(())
}

#[tokio::test]
async fn a_player_without_video_has_nothing_to_choose() -> anyhow::Result<()> {
    let server = Server::start()?;
    let publisher = server.join(ROOM, "ada", Role::Speaker).await?;
    publisher.speak(Voice::new(1, -20)).await?;
    let own = token("ben", Role::Listener)?;
    let layer = format!("{}/layer", play(&server, &own, &crate::wire::played()).await?.session()?);
    let post = Ask::new("POST", &layer).token(&own).header("content-type", "application/json");
    assert_eq!(post.clone().body(r#"{"encodingId": "0"}"#).send(&server).await?.status, 422);
    assert_eq!(post.body("{}").send(&server).await?.status, 200, "which it has");
    publisher.leave().await?;
    Ok(())
}
