//! The published JSON Schema is the protocol's own, and real messages keep to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tercet_loadtest::{Client, Direction, Voice};
use tercet_protocol::{DialOrder, Request, Role, ServerMessage, TrackOrigin};
use tercet_tests::Server;

#[test]
fn the_published_schema_is_generated_from_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.schema.json");
    let generated = serde_json::to_string_pretty(&tercet_protocol::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        published, generated,
        "docs/protocol.schema.json is old: UPDATE_SCHEMA=1 cargo test -p tercet-tests --test schema"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_on_a_real_websocket_keeps_to_the_schema() -> anyhow::Result<()> {
    // Somebody who can be called, though no phone of theirs is there; and somebody who isn't listed.
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tercet.toml");
    std::fs::write(&file, "[[sip.user]]\nname = 'cyd'\npassword = 'a-long-password'\n")?;
    let file = file.display().to_string();
    let server =
        Server::start_with(&["--listed-listeners-max", "0", "--sip", "127.0.0.1:0", "--config", &file])?;
    let mut options = server.ticket("r", "ada", Role::Moderator)?;
    options.record = true;
    options.peer.screen = true;
    let mut ada = server.join_with(options).await?;
    ada.speak(Voice::new(1, -20)).await?;
    ada.share(Voice::new(2, -20)).await?;
    let ben = server.join("r", "ben", Role::Listener).await?;
    let promote = Request::SetRole { participant: "ben".into(), role: Role::Speaker };
    for request in [
        promote,
        Request::Mute { muted: true, track: TrackOrigin::Microphone },
        Request::RaiseHand { raised: true },
        Request::Ping,
    ] {
        ada.request(request).await?;
    }
    let nobody = Request::MuteParticipant { participant: "nobody".into(), track: TrackOrigin::Screen };
    assert!(ada.request(nobody).await.is_err());
    let dial =
        DialOrder { to: "cyd".into(), trunk: None, name: None, role: Some(Role::Listener), language: None };
    let ServerMessage::Dialled { call, .. } = ada.request(Request::Dial(dial)).await? else {
        anyhow::bail!("a call has a number");
    };
    ada.request(Request::HangUp { call }).await?;
    ben.speak(Voice::new(2, -20)).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ben.leave().await?;
    read_for(&mut ada, Duration::from_millis(500)).await;
    let mut frames = ada.signalling().recorded().to_vec();
    // The WebSocket of the resumed session is another one, with a record of its own.
    ada.resume().await?;
    assert_eq!(ada.welcome().calls.len(), 1);
    ada.request(Request::SetRole { participant: "ada".into(), role: Role::Speaker }).await?;
    read_for(&mut ada, Duration::from_millis(500)).await;
    frames.extend_from_slice(ada.signalling().recorded());

    let schema = tercet_protocol::schema();
    let validator = |definition: &str| {
        let mut schema = schema.clone();
        schema["$ref"] = format!("#/$defs/{definition}").into();
        for outer in ["properties", "required", "type", "title"] {
            schema.as_object_mut().map(|fields| fields.remove(outer));
        }
        jsonschema::validator_for(&schema)
    };
    let (client, from_server) = (validator("ClientMessage")?, validator("ServerMessage")?);
    let mut types = BTreeSet::new();
    for frame in frames {
        let message: serde_json::Value = serde_json::from_str(&frame.text)?;
        let validator = match frame.direction {
            Direction::ToServer => &client,
            Direction::FromServer => &from_server,
        };
        let errors: Vec<String> = validator.iter_errors(&message).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {message}");
        types.insert(message["type"].as_str().unwrap_or_default().to_owned());
    }
    for expected in [
        "offer",
        "answer",
        "ok",
        "pong",
        "error",
        "participant_joined",
        "participant_updated",
        "participant_left",
        "attendance",
        "track_published",
        "slots",
        "screen",
        "speakers",
        "resumed",
        "dial",
        "dialled",
        "call_updated",
        "hang_up",
        "dial_rights",
    ] {
        assert!(types.contains(expected), "{expected} was not seen among {types:?}");
    }
    // The schema refuses what is none of it.
    assert!(!client.is_valid(&serde_json::json!({"type": "join", "version": "one"})));
    assert!(!from_server.is_valid(&serde_json::json!({"type": "surprise"})));
    Ok(())
}

async fn read_for(client: &mut Client, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::timeout_at(end, client.signalling().next()).await.is_ok_and(|message| message.is_ok())
    {
    }
}
