//! A room in which not everybody is listed: who is told of whom, and that it makes no difference to what they hear.

use std::time::Duration;

use tercet_loadtest::{Channel, Client, Voice};
use tercet_protocol::{
    DataFrameIn, LeaveReason, Request, Role, ServerMessage, TrackOrigin, Welcome, WireParticipant,
};
use tercet_tests::listening::assert_settles_on;
use tercet_tests::{SOON, Server};

/// A moderator and two listeners, of whom the first is listed.
struct Hall {
    server: Server,
    moderator: Client,
    listed: Client,
    unlisted: Client,
}

impl Hall {
    async fn open() -> anyhow::Result<Hall> {
        let server = Server::start_with(&["--listed-listeners-max", "1"])?;
        let moderator = server.join("r", "moderator", Role::Moderator).await?;
        let listed = server.join("r", "listed", Role::Listener).await?;
        let unlisted = server.join("r", "unlisted", Role::Listener).await?;
        Ok(Hall { server, moderator, listed, unlisted })
    }
}

fn ids(welcome: &Welcome) -> Vec<&str> {
    welcome.participants.iter().map(|participant| participant.id.as_str()).collect()
}

/// What a client is told of participants from now on, for some time, in short.
async fn told(client: &mut Client, time: Duration) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    let end = tokio::time::Instant::now() + time;
    while let Ok(message) = tokio::time::timeout_at(end, client.signalling().next()).await {
        told.extend(short(&message?));
    }
    Ok(told)
}

fn short(message: &ServerMessage) -> Option<String> {
    match message {
        ServerMessage::ParticipantJoined { participant: WireParticipant { id, role, .. } } => {
            Some(format!("{id} joined as {role:?}"))
        }
        ServerMessage::ParticipantUpdated { participant: WireParticipant { id, role, .. } } => {
            Some(format!("{id} is {role:?}"))
        }
        ServerMessage::ParticipantLeft { participant, .. } => Some(format!("{participant} left")),
        ServerMessage::TrackPublished { participant, .. } => Some(format!("{participant} publishes")),
        ServerMessage::Slots { slots } => {
            let mut heard = slots.iter().filter_map(|slot| slot.participant.as_ref());
            heard.next().map(|id| format!("{id} is in a slot"))
        }
        _ => None,
    }
}

async fn wait_for_count(client: &mut Client, count: u32) -> anyhow::Result<()> {
    let told = client.wait_for(SOON, |message| match message {
        ServerMessage::Attendance { participant_count } if *participant_count == count => Some(()),
        _ => None,
    });
    Ok(told.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_listener_is_introduced_to_all_before_they_are_shown_and_heard() -> anyhow::Result<()> {
    let Hall { server, mut moderator, mut listed, mut unlisted } = Hall::open().await?;
    let mut other = server.join("r", "other", Role::Listener).await?;
    assert_eq!(ids(other.welcome()), ["listed", "moderator", "other"]);
    // They send already; the gate is shut.
    unlisted.speak(Voice::new(7, -20)).await?;
    assert_settles_on(&mut other, []).await;
    let promotion = Request::SetRole { participant: "unlisted".into(), role: Role::Speaker };
    moderator.signalling().send(promotion).await?;
    for client in [&mut moderator, &mut listed, &mut other] {
        assert_settles_on(client, [7]).await;
        let told = told(client, Duration::from_millis(200)).await?;
        let of_them: Vec<&String> = told.iter().filter(|told| told.starts_with("unlisted ")).collect();
        let expected = [
            "unlisted joined as Listener",
            "unlisted is Speaker",
            "unlisted publishes",
            "unlisted is in a slot",
        ];
        assert_eq!(of_them[..4], expected, "{told:?}");
    }
    let of_oneself = told(&mut unlisted, Duration::from_millis(200)).await?;
    assert_eq!(of_oneself[..2], ["unlisted is Speaker", "unlisted publishes"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_listed_comes_and_goes_as_a_number() -> anyhow::Result<()> {
    let Hall { server, mut moderator, mut listed, unlisted } = Hall::open().await?;
    let welcome = unlisted.welcome();
    assert_eq!((ids(welcome), welcome.participant_count), (vec!["listed", "moderator", "unlisted"], 3));
    wait_for_count(&mut moderator, 3).await?;
    let other = server.join("r", "other", Role::Listener).await?;
    let welcome = other.welcome();
    assert_eq!((ids(welcome), welcome.participant_count), (vec!["listed", "moderator", "other"], 4));
    wait_for_count(&mut moderator, 4).await?;
    assert_eq!(unlisted.leave().await?, LeaveReason::Left);
    assert_eq!(other.leave().await?, LeaveReason::Left);
    let of_others = told(&mut listed, Duration::from_millis(500)).await?;
    assert!(of_others.is_empty(), "{of_others:?}");
    wait_for_count(&mut moderator, 2).await?;
    // From here the list is the number.
    server.join("r", "speaker", Role::Speaker).await?;
    let counted = moderator.wait_for(Duration::from_millis(1600), |message| match message {
        ServerMessage::Attendance { participant_count } => Some(*participant_count),
        _ => None,
    });
    assert!(counted.await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_finds_the_list_and_the_number_of_now() -> anyhow::Result<()> {
    let Hall { server, mut moderator, listed: _listed, mut unlisted } = Hall::open().await?;
    let mut other = server.join("r", "other", Role::Listener).await?;
    unlisted.signalling().cut().await?;
    other.request(Request::RaiseHand { raised: true }).await?;
    let _last = server.join("r", "last", Role::Listener).await?;
    unlisted.resume().await?;
    let welcome = unlisted.welcome().clone();
    let expected = ["listed", "moderator", "other", "unlisted"];
    assert_eq!((ids(&welcome), welcome.participant_count), (expected.to_vec(), 5));
    unlisted.request(Request::RaiseHand { raised: true }).await?;
    let hand = moderator.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } if participant.id == "unlisted" => {
            Some(participant.hand_raised)
        }
        _ => None,
    });
    assert!(hand.await?);
    moderator.resume().await?;
    assert!(ids(moderator.welcome()).contains(&"unlisted"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_name_whoever_is_in_the_room_and_data_goes_through() -> anyhow::Result<()> {
    let Hall { server: _server, mut moderator, mut listed, mut unlisted } = Hall::open().await?;
    let (participant, track) = ("unlisted".to_owned(), TrackOrigin::Microphone);
    listed.request(Request::Listen { only: Some([participant.clone()].into()), except: [].into() }).await?;
    moderator.request(Request::MuteParticipant { participant: participant.clone(), track }).await?;
    let muted = unlisted.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } => Some(participant.muted),
        _ => None,
    });
    assert!(muted.await?);
    let of_others = told(&mut listed, Duration::from_millis(300)).await?;
    assert!(of_others.is_empty(), "{of_others:?}");

    for client in [&mut listed, &mut unlisted] {
        client.wait_data_channels(SOON).await?;
    }
    let frame = |to: Option<Vec<String>>| DataFrameIn { to, data: "hello".into() };
    unlisted.send_data(Channel::Reliable, &frame(None)).await?;
    assert_eq!(listed.next_data(SOON).await?.frame()?.from, "unlisted");
    listed.send_data(Channel::Reliable, &frame(Some(vec![participant.clone()]))).await?;
    assert_eq!(unlisted.next_data(SOON).await?.frame()?.from, "listed");

    unlisted.request(Request::Mute { muted: false, track }).await?;
    unlisted.speak(Voice::new(7, -20)).await?;
    let promotion = Request::SetRole { participant: participant.clone(), role: Role::Speaker };
    moderator.request(promotion).await?;
    assert_settles_on(&mut listed, [7]).await;
    moderator.request(Request::RemoveParticipant { participant }).await?;
    assert_settles_on(&mut listed, []).await;
    Ok(())
}
