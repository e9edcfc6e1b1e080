//! Phones, with real softphones: who hears whom, and never themselves.

use std::time::Duration;

use anyhow::Context;
use tercet_protocol::{Request, Role, ServerMessage, TrackOrigin, Transport, WireParticipant};
use tercet_tests::cluster::Cluster;
use tercet_tests::softphone::{PhoneCodec, Recording, Softphone};
use tercet_tests::{SOON, Server};

/// What is heard of a tone: it left at -13 dBFS, and levels are evened out.
const HEARD_DBFS: f64 = -35.0;

/// What is not.
const UNHEARD_DBFS: f64 = -55.0;

fn start(arguments: &[&str]) -> anyhow::Result<Server> {
    Server::start_with(&[&["--sip", "127.0.0.1:0"], arguments].concat())
}

fn assert_hears(heard: &Recording, tones_hz: &[f64], others_hz: &[f64]) {
    let levels = |tones: &[f64]| tones.iter().map(|hz| (*hz, heard.level_dbfs(*hz))).collect::<Vec<_>>();
    let (heard, unheard) = (levels(tones_hz), levels(others_hz));
    assert!(heard.iter().all(|(_, level)| *level > HEARD_DBFS), "heard {heard:?}, unheard {unheard:?}");
    assert!(unheard.iter().all(|(_, level)| *level < UNHEARD_DBFS), "heard {heard:?}, unheard {unheard:?}");
}

async fn joined(client: &mut tercet_loadtest::Client) -> anyhow::Result<WireParticipant> {
    let phone = client.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.transport == Transport::Sip => {
            Some(participant.clone())
        }
        _ => None,
    });
    Ok(phone.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_of_all_codecs_hear_each_other_and_never_themselves() -> anyhow::Result<()> {
    let server = start(&[])?;
    let kinds = [
        ("ada", PhoneCodec::Pcmu, 440.0, ";mediaenc=srtp-mand"),
        ("ben", PhoneCodec::Pcma, 700.0, ""),
        ("cyd", PhoneCodec::G722, 1000.0, ""),
        ("dan", PhoneCodec::Opus, 1500.0, ""),
    ];
    let mut phones = Vec::new();
    for (name, codec, hz, account) in kinds {
        let phone = Softphone::start(name, codec, hz, account).await?;
        phone.dial(&server.sip_uri("hall")?).await?;
        phones.push(phone);
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    for (phone, (name, _, own, _)) in phones.iter().zip(kinds) {
        println!("{name}");
        let heard = phone.heard()?.last(Duration::from_secs(4));
        let others: Vec<f64> = kinds.iter().map(|(.., hz, _)| *hz).filter(|hz| *hz != own).collect();
        assert_hears(&heard, &others, &[own]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_a_participant_like_any_other() -> anyhow::Result<()> {
    let server = start(&[])?;
    let mut moderator = server.join("hall", "ada", Role::Moderator).await?;
    let phone = Softphone::start("ben", PhoneCodec::Pcma, 440.0, "").await?;
    phone.dial(&server.sip_uri("hall")?).await?;
    let there = joined(&mut moderator).await?;
    assert_eq!((there.name.as_str(), there.role), ("ben", Role::Speaker));
    let id = there.id.clone();
    let heard = moderator.wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } => slots.iter().find_map(|slot| slot.participant.clone()),
        _ => None,
    });
    assert_eq!(heard.await?, id, "it is heard by its own level");

    phone.press("*6").await?;
    assert!(updated(&mut moderator, &id, |it| it.muted).await?.muted);
    phone.press("*9").await?;
    assert!(updated(&mut moderator, &id, |it| it.hand_raised).await?.hand_raised);
    phone.press("*6").await?;
    updated(&mut moderator, &id, |it| !it.muted).await?;
    moderator
        .request(Request::MuteParticipant { participant: id.clone(), track: TrackOrigin::Microphone })
        .await?;
    updated(&mut moderator, &id, |it| it.muted).await?;
    moderator.request(Request::RemoveParticipant { participant: id.clone() }).await?;
    let left = moderator.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    assert_eq!(left.await?, id);
    phone.wait_for_log("session closed", SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_on_hold_is_not_heard_and_hears_nothing_until_they_come_back() -> anyhow::Result<()> {
    let server = start(&[])?;
    let ada = Softphone::start("ada", PhoneCodec::Pcmu, 440.0, "").await?;
    let ben = Softphone::start("ben", PhoneCodec::G722, 700.0, "").await?;
    for phone in [&ada, &ben] {
        phone.dial(&server.sip_uri("hall")?).await?;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_hears(&ada.heard()?.last(Duration::from_secs(2)), &[700.0], &[440.0]);
    ben.hold(true).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let to_one = packets_out_in_two_seconds(&server).await?;
    assert_hears(&ada.heard()?.last(Duration::from_secs(2)), &[], &[440.0, 700.0]);
    ben.hold(false).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // baresip records no more once it has held: what ben hears is known only by being sent.
    let to_both = packets_out_in_two_seconds(&server).await?;
    assert!(to_both > 1.5 * to_one && to_one > 0.0, "{to_one} packets to one, {to_both} to both");
    assert_hears(&ada.heard()?.last(Duration::from_secs(2)), &[700.0], &[440.0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_opens_the_room_and_music_plays_until_a_moderator_is_there() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tercet.toml");
    let route = r#"{ number = "4711", room = "board", pin = "1234", moderator_pin = "9999", wait_for_moderator = true }"#;
    std::fs::write(&file, format!("[sip]\nroute = [{route}]\n"))?;
    let server = start(&["--config", &file.display().to_string()])?;
    let mut listener = server.join("board", "web", Role::Listener).await?;
    let ada = Softphone::start("ada", PhoneCodec::Pcmu, 440.0, "").await?;
    ada.dial(&server.sip_uri("4711")?).await?;
    ada.wait_for_log("Call established", SOON).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ada.press("0000#").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ada.press("1234#").await?;
    let id = joined(&mut listener).await?.id;
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Music is no tone, and is there.
    let waiting = ada.heard()?.last(Duration::from_secs(2));
    assert!(waiting.rms_dbfs() > -50.0, "{}", waiting.rms_dbfs());
    assert_eq!(server.metric("tercet_phone_rooms", "").await?, 1.0);
    let ben = Softphone::start("ben", PhoneCodec::Pcma, 700.0, "").await?;
    ben.dial(&server.sip_uri("4711")?).await?;
    ben.wait_for_log("Call established", SOON).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ben.press("9999#").await?;
    assert_eq!(joined(&mut listener).await?.role, Role::Moderator);
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_hears(&ada.heard()?.last(Duration::from_secs(2)), &[700.0], &[440.0]);
    assert_hears(&ben.heard()?.last(Duration::from_secs(2)), &[440.0], &[700.0]);
    ada.press("*#").await?;
    let left = listener.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    assert_eq!(left.await?, id);
    ada.wait_for_log("session closed", SOON).await?;

    let cyd = Softphone::start("cyd", PhoneCodec::Pcma, 0.0, "").await?;
    cyd.dial(&server.sip_uri("4712")?).await?;
    cyd.wait_for_log("404 Not Found", SOON).await?;
    Ok(())
}

async fn packets_out_in_two_seconds(server: &Server) -> anyhow::Result<f64> {
    let before = server.metric("tercet_phone_packets_out_total", "").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(server.metric("tercet_phone_packets_out_total", "").await? - before)
}

async fn updated(
    client: &mut tercet_loadtest::Client,
    id: &str,
    is_so: impl Fn(&WireParticipant) -> bool,
) -> anyhow::Result<WireParticipant> {
    let updated = client.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } if participant.id == id && is_so(participant) => {
            Some(participant.clone())
        }
        _ => None,
    });
    Ok(updated.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_has_somebody_called_through_a_trunk_and_hangs_up() -> anyhow::Result<()> {
    let phone = Softphone::start("ben", PhoneCodec::Pcma, 440.0, "").await?;
    let uri = phone.uri("");
    let host = uri.trim_start_matches("sip:@");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("tercet.toml");
    let trunk = format!("{{ name = \"carrier\", host = \"{host}\", caller = \"+493012345\" }}");
    std::fs::write(&file, format!("[sip]\ntrunk = [{trunk}]\n"))?;
    let server = start(&["--config", &file.display().to_string()])?;
    let mut ada = server.join("hall", "ada", Role::Moderator).await?;
    let url = format!("http://{}/v1/rooms/hall/calls", server.http);
    let token = server.ticket("hall", "ada", Role::Moderator)?.token;
    let listener = server.ticket("hall", "cyd", Role::Speaker)?.token;

    let body = r#"{"to": "ben", "name": "Ben"}"#;
    assert_eq!(post(&url, "nonsense", body)?.0, 401);
    assert_eq!(post(&url, &listener, body)?.0, 403);
    assert_eq!(post(&url.replace("hall", "elsewhere"), &token, body)?.0, 403);
    assert_eq!(post(&url, &token, r#"{"to": "sip:ben@192.0.2.1"}"#)?.0, 400);
    assert_eq!(post(&url, &token, r#"{"to": "ben", "trunk": "other"}"#)?.0, 404);
    let (status, answer) = post(&url, &token, body)?;
    assert_eq!((status, answer["state"].as_str()), (201, Some("dialling")), "{answer}");
    let call = answer["call"].as_u64().expect("a call has a number");
    let state = async |wanted: &str| -> anyhow::Result<serde_json::Value> {
        for _ in 0..100 {
            let calls = get(&url, &token)?;
            if calls[0]["state"] == wanted {
                return Ok(calls[0].clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("never {wanted}: {}", get(&url, &token)?);
    };
    state("ringing").await?;
    phone.accept().await?;
    let there = joined(&mut ada).await?;
    assert_eq!(there.name, "Ben");
    assert_eq!(state("talking").await?["participant"], there.id);
    assert_eq!(
        get(&url.replace("hall", "elsewhere"), &token).map_err(|error| error.to_string()),
        Err("403".to_owned())
    );
    let status = ureq::delete(format!("{url}/{call}"))
        .header("authorization", format!("Bearer {token}"))
        .call()?
        .status();
    assert_eq!(status, 204);
    phone.wait_for_log("session closed", SOON).await?;
    let ended = state("ended").await?;
    assert_eq!(ended["participant"], serde_json::Value::Null);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_sends_a_phone_to_another_room_once_it_is_asked_rightly() -> anyhow::Result<()> {
    let server = start(&[])?;
    let mut host = server.join("hall", "host", Role::Moderator).await?;
    let mut side = server.join("side", "side", Role::Listener).await?;
    let phone = Softphone::start("ben", PhoneCodec::Pcmu, 440.0, "").await?;
    phone.dial(&server.sip_uri("hall")?).await?;
    let id = joined(&mut host).await?.id;
    let token = server.ticket("hall", "host", Role::Moderator)?.token;
    let url = |room: &str, id: &str| -> anyhow::Result<String> {
        Ok(server.url()?.http(&format!("/v1/rooms/{room}/phones/{id}/transfer")))
    };
    let to_side = r#"{"to":"side"}"#;
    assert_eq!(post(&url("hall", "nobody")?, &token, to_side)?.0, 404);
    assert_eq!(post(&url("side", &id)?, &token, to_side)?.0, 403, "a token of another room");
    assert_eq!(post(&url("hall", &id)?, &token, r#"{"to":"sip:a@b"}"#)?.0, 400);
    let speaker = server.ticket("hall", "host", Role::Speaker)?.token;
    assert_eq!(post(&url("hall", &id)?, &speaker, to_side)?.0, 403);
    // The phone has yet to confirm that the call stands.
    let deadline = tokio::time::Instant::now() + SOON;
    while post(&url("hall", &id)?, &token, to_side)?.0 != 202 {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{}", phone.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let there = joined(&mut side).await.with_context(|| phone.log())?;
    assert_eq!(there.name, "ben");
    let left = host.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    assert_eq!(left.await?, id);
    Ok(())
}

fn post(url: &str, token: &str, body: &str) -> anyhow::Result<(u16, serde_json::Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(url).header("authorization", format!("Bearer {token}"));
    let mut response = request.header("content-type", "application/json").send(body)?;
    let text = response.body_mut().read_to_string()?;
    let json = if text.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&text)? };
    Ok((response.status().as_u16(), json))
}

fn get(url: &str, token: &str) -> anyhow::Result<serde_json::Value> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.get(url).header("authorization", format!("Bearer {token}")).call()?;
    let status = response.status().as_u16();
    anyhow::ensure!(status == 200, "{status}");
    Ok(serde_json::from_str(&response.body_mut().read_to_string()?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_on_a_node_for_phones_is_in_a_room_on_another() -> anyhow::Result<()> {
    let mut cluster = Cluster::start_with(1, &["--role", "media"]).await?;
    cluster.add(&["--role", "sip", "--sip", "127.0.0.1:0"])?;
    cluster.wait_whole().await?;
    let mut ada = cluster.nodes[0].join("hall", "ada", Role::Speaker).await?;
    let ben = Softphone::start("ben", PhoneCodec::Pcmu, 440.0, "").await?;
    ben.dial(&cluster.nodes[1].sip_uri("hall")?).await?;
    let there = joined(&mut ada).await?;
    let heard = ada.wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } => slots.iter().find_map(|slot| slot.participant.clone()),
        _ => None,
    });
    assert_eq!(heard.await?, there.id);
    // Whoever has a browser is sent on from there.
    let cyd = cluster.nodes[1].join("hall", "cyd", Role::Listener).await?;
    assert_eq!(cyd.welcome().participants.len(), 3);
    assert_eq!(cluster.nodes[1].metric("tercet_participants", "").await?, 1.0);
    ben.hang_up().await?;
    let left = ada.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    assert_eq!(left.await?, there.id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_phones_stops_at_once_when_nobody_is_there_and_hangs_up_on_those_who_are()
-> anyhow::Result<()> {
    let mut server = start(&[])?;
    server.signal("TERM")?;
    assert_eq!(server.exit_code(Duration::from_secs(4)).await?, 0);

    let mut server = start(&[])?;
    let ben = Softphone::start("ben", PhoneCodec::Pcmu, 440.0, "").await?;
    ben.dial(&server.sip_uri("hall")?).await?;
    ben.wait_for_log("Call established", SOON).await?;
    server.signal("TERM")?;
    ben.wait_for_log("session closed", SOON).await?;
    assert_eq!(server.exit_code(SOON).await?, 0);
    Ok(())
}
