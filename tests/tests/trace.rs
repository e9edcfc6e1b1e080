//! The levels of a live room, recorded over HTTP and replayed.

use std::collections::BTreeSet;
use std::time::Duration;

use selector::{Level, Observation, Params, Selector, SourceId};
use tercet_loadtest::Voice;
use tercet_loadtest::token::Claims;
use tercet_protocol::{Request, Role, Standing, TrackOrigin};
use tercet_tests::listening::assert_settles_on;
use tercet_tests::{SECRET, Server};

fn token(room: &str, identity: &str, role: Role) -> anyhow::Result<String> {
    Ok(Claims::new(room, identity, role).sign(SECRET.as_bytes())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_records_what_every_worker_of_a_room_ranks() -> anyhow::Result<()> {
    let server = Server::start_with(&["--workers", "2"])?;
    let mut clients = Vec::new();
    for (n, level_dbov) in [-20, -40].into_iter().enumerate() {
        let client = server.join("r", &format!("speaker-{n}"), Role::Speaker).await?;
        client.speak(Voice::new(n as u32, level_dbov)).await?;
        clients.push(client);
    }
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0, 1]).await;
    let token = token("r", "somebody-else", Role::Moderator)?;
    let (status, csv) = server.get_as("/v1/rooms/r/trace?seconds=2", Some(&token)).await?;
    assert_eq!(status, 200, "{csv}");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("t_ms,source,level_dbov,vad"));
    let (mut before, mut selector, mut sent) = (0.0, Selector::new(Params::default()), BTreeSet::new());
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let &[t_ms, source, level_dbov, vad] = fields.as_slice() else {
            anyhow::bail!("not four fields: {line:?}");
        };
        let (t_ms, source): (f64, u32) = (t_ms.parse()?, source.parse()?);
        assert!((before..=2_000.0).contains(&t_ms), "{line:?} after {before} ms");
        assert_eq!(vad, "1");
        let level = Level::from_dbov(level_dbov.parse()?);
        sent.insert((source, level.dbov()));
        let now = Duration::from_secs_f64(t_ms / 1000.0);
        selector.observe(now, SourceId(source), Observation::Packet { level, voice: Some(true) });
        before = t_ms;
    }
    assert!(before > 1_500.0, "the last packet is of {before} ms");
    let sources: Vec<u32> = sent.iter().map(|&(source, _)| source).collect();
    assert_eq!(sent.iter().map(|&(_, dbov)| dbov).collect::<Vec<_>>(), [-20, -40]);
    let heard: BTreeSet<u32> = selector.positions()[..3].iter().flatten().map(|source| source.0).collect();
    assert_eq!(heard, sources.into_iter().collect());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_notes_what_else_decides() -> anyhow::Result<()> {
    let config = concat!(env!("CARGO_TARGET_TMPDIR"), "/trace-notes.toml");
    std::fs::write(config, "[rooms.r]\nslots = 1\nselector = { release_after_ms = 4000 }")?;
    let server = Server::start_with(&["--config", config])?;
    let mut moderator = server.join("r", "moderator", Role::Moderator).await?;
    let mut speakers = Vec::new();
    for (n, level_dbov) in [-20, -40].into_iter().enumerate() {
        let client = server.join("r", &format!("speaker-{n}"), Role::Speaker).await?;
        client.speak(Voice::new(n as u32, level_dbov)).await?;
        speakers.push(client);
    }
    assert_settles_on(&mut moderator, [0]).await;
    let stand =
        |participant: &str, standing| Request::SetStanding { participant: participant.into(), standing };
    moderator.request(stand("speaker-1", Standing::Priority)).await?;
    let token = token("r", "moderator", Role::Moderator)?;
    let tracing = server.get_as("/v1/rooms/r/trace?seconds=2", Some(&token));
    let moderating = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        moderator.request(stand("speaker-1", Standing::Pinned)).await?;
        let mute =
            Request::MuteParticipant { participant: "speaker-0".into(), track: TrackOrigin::Microphone };
        moderator.request(mute).await?;
        let speaker = speakers.pop().expect("there are two");
        tokio::time::sleep(Duration::from_millis(200)).await;
        speaker.leave().await
    };
    let (traced, moderated) = tokio::join!(tracing, moderating);
    moderated?;
    let (_, csv) = traced?;
    let notes: Vec<&str> = csv.lines().filter_map(|line| line.strip_prefix('#')).collect();
    assert_eq!(notes[..2], ["k,1", "release_after_ms,4000"]);
    let happened: Vec<&str> = notes[2..].iter().filter_map(|note| Some(note.split_once(',')?.1)).collect();
    // Each participant has four sources, the microphone first.
    assert_eq!(happened, ["9,priority", "9,pinned", "5,silent", "9,silent"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_for_moderators_of_a_room_that_somebody_is_in() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = server.join("r", "moderator", Role::Moderator).await?;
    let _speaker = server.join("r", "speaker", Role::Speaker).await?;
    let trace = "/v1/rooms/r/trace?seconds=1";
    let speaker = token("r", "speaker", Role::Speaker)?;
    let elsewhere = token("elsewhere", "moderator", Role::Moderator)?;
    let expired =
        Claims { exp: 1_000_000_000, ..Claims::new("r", "m", Role::Moderator) }.sign(SECRET.as_bytes())?;
    for (path, token, status, code) in [
        (trace, None, 401, "unauthorized"),
        (trace, Some("garbage"), 401, "unauthorized"),
        (trace, Some(expired.as_str()), 401, "token_expired"),
        (trace, Some(&speaker), 403, "forbidden"),
        (trace, Some(&elsewhere), 403, "forbidden"),
        ("/v1/rooms/elsewhere/trace", Some(&elsewhere), 404, "no_such_room"),
        ("/v1/rooms/r/trace?seconds=0", Some(&speaker), 400, "bad_message"),
        ("/v1/rooms/r/trace?seconds=3601", Some(&speaker), 400, "bad_message"),
        ("/v1/rooms/r/trace?seconds=x", Some(&speaker), 400, "bad_message"),
    ] {
        let (got, body) = server.get_as(path, token).await?;
        assert_eq!(got, status, "{path}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body)?;
        assert_eq!(body["code"], code, "{path}");
    }
    // Who was made a moderator in the room needs no other token.
    let promote = Request::SetRole { participant: "speaker".into(), role: Role::Moderator };
    moderator.request(promote).await?;
    assert_eq!(server.get_as(trace, Some(&speaker)).await?.0, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_ends_with_its_room() -> anyhow::Result<()> {
    let server = Server::start()?;
    let moderator = server.join("r", "moderator", Role::Moderator).await?;
    let token = token("r", "moderator", Role::Moderator)?;
    let tracing = server.get_as("/v1/rooms/r/trace?seconds=3600", Some(&token));
    let leaving = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        moderator.leave().await
    };
    let (traced, left) = tokio::join!(tracing, leaving);
    left?;
    assert_eq!(traced?, (200, "t_ms,source,level_dbov,vad\n".to_owned()));
    Ok(())
}
