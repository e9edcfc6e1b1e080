//! What a player is told while it plays.

use anyhow::Context;
use tercet_loadtest::Voice;
use tercet_protocol::Role;
use tercet_tests::{SOON, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{Ask, ROOM, Reply, played, token};

/// A stream of events, as it comes.
pub(crate) struct Stream {
    stream: TcpStream,
    text: String,
}

impl Stream {
    pub(crate) async fn open(server: &Server, path: &str) -> anyhow::Result<Stream> {
        let mut stream = TcpStream::connect(server.http).await?;
        let ask = Ask::new("GET", path).header("accept", "text/event-stream").header("connection", "close");
        stream.write_all(format!("{}\r\n", ask.head(server)).as_bytes()).await?;
        Ok(Stream { stream, text: String::new() })
    }

    /// What came up to the next such event, with it.
    pub(crate) async fn until(&mut self, event: &str) -> anyhow::Result<String> {
        let wanted = format!("event: {event}\n");
        let mut buffer = [0; 1024];
        loop {
            let ends = self.text.find(&wanted).and_then(|at| Some(at + self.text[at..].find("\n\n")? + 2));
            if let Some(ends) = ends {
                let rest = self.text.split_off(ends);
                return Ok(std::mem::replace(&mut self.text, rest));
            }
            let read = timeout(SOON, self.stream.read(&mut buffer)).await;
            let count = read.with_context(|| format!("no {event} after {:?}", self.text))??;
            anyhow::ensure!(count > 0, "the stream ended with {:?}", self.text);
            self.text.push_str(std::str::from_utf8(&buffer[..count])?);
        }
    }

    async fn ends(mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        timeout(SOON, self.stream.read_to_end(&mut rest)).await.context("the stream goes on")??;
        Ok(())
    }
}

/// A player of ada's, as soon as she publishes.
pub(crate) async fn play(server: &Server, player: &str, offer: &str) -> anyhow::Result<Reply> {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let post = Ask::new("POST", format!("/whep/{ROOM}?participant=ada")).token(player).sdp(offer);
        let reply = post.send(server).await?;
        if reply.status == 201 {
            return Ok(reply);
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{reply:?}");
    }
}

#[tokio::test]
async fn a_player_is_told_when_its_broadcast_ends_and_how_many_watch() -> anyhow::Result<()> {
    let server = Server::start()?;
    let publisher = server.join(ROOM, "ada", Role::Speaker).await?;
    publisher.speak(Voice::new(1, -20)).await?;
    let (own, other) = (token("ben", Role::Listener)?, token("eve", Role::Listener)?);
    let begun = play(&server, &own, &played()).await?;
    let session = begun.session()?;
    let link = begun.header("link").context("no Link")?;
    let events = format!("{session}/events");
    let begins = format!("<{events}>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"");
    assert!(link.starts_with(&begins), "{link}");

    let ask = |body: &str| Ask::new("POST", &events).header("content-type", "application/json").body(body);
    let all = r#"["active","inactive","layers","viewercount"]"#;
    for (why, ask, status) in [
        ("no token", ask(all), 401),
        ("somebody else's", ask(all).token(&other), 403),
        ("another type", Ask::new("POST", &events).token(&own).body(all), 415),
        ("no array", ask("{}").token(&own), 400),
        ("none that there are", ask(r#"["scte35"]"#).token(&own), 422),
        ("of an encoder: it has none", Ask::new("POST", events.replace("/whep/", "/whip/")).token(&own), 405),
        ("a stream that nobody asked for", Ask::new("GET", format!("{events}/{:032x}", 7)), 404),
    ] {
        let reply = ask.send(&server).await?;
        assert_eq!(reply.status, status, "{why}: {reply:?}");
    }
    let followed = ask(all).token(&own).send(&server).await?;
    assert_eq!(followed.status, 201, "{followed:?}");
    let mut stream = Stream::open(&server, &followed.session()?).await?;
    let head = stream.until("active").await?;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(stream.until("viewercount").await?.contains(r#"{"viewercount":2}"#));
    assert!(stream.until("layers").await?.contains("data: {}\n"), "no line has video");

    let listener = server.join(ROOM, "cyd", Role::Listener).await?;
    assert!(stream.until("viewercount").await?.contains(r#"{"viewercount":3}"#));
    publisher.leave().await?;
    stream.until("inactive").await?;
    let publisher = server.join(ROOM, "ada", Role::Speaker).await?;
    publisher.speak(Voice::new(1, -20)).await?;
    stream.until("active").await?;

    // Whoever asks anew has another stream, and the one of before ends.
    let again = ask(r#"["inactive"]"#).token(&own).send(&server).await?;
    assert_ne!(again.session()?, followed.session()?);
    stream.ends().await?;
    let gone = Ask::new("GET", followed.session()?).send(&server).await?;
    assert_eq!(gone.status, 404, "{gone:?}");
    let stream = Stream::open(&server, &again.session()?).await?;
    let ended = Ask::new("DELETE", &session).token(&own).send(&server).await?;
    assert_eq!(ended.status, 200, "{ended:?}");
    stream.ends().await?;
    listener.leave().await?;
    publisher.leave().await?;
    Ok(())
}
