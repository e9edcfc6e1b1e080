//! A room on several nodes, from the wire's side: as on one.

use std::time::Duration;

use tercet_loadtest::{Channel, Client, Voice};
use tercet_protocol::{DataFrameIn, LeaveReason, Request, Role, ServerMessage, Standing, TrackOrigin};
use tercet_tests::cluster::Cluster;
use tercet_tests::listening::{A_WHILE, assert_continuous, assert_settles_on, hears, voices};
use tercet_tests::{SOON, Server};

async fn speaker(server: &Server, number: u32, level_dbov: i8) -> anyhow::Result<Client> {
    let client = server.join("r", &format!("speaker-{number}"), Role::Speaker).await?;
    client.speak(Voice::new(number, level_dbov)).await?;
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_the_three_loudest_others_on_whatever_node() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(3, &["--role", "media"]).await?;
    let mut clients = Vec::new();
    for (number, level_dbov) in [-10, -20, -30, -40, -50].into_iter().enumerate() {
        clients.push(speaker(&cluster.nodes[number % 3], number as u32, level_dbov).await?);
    }
    let expected = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]];
    for (client, expected) in clients.iter_mut().zip(expected) {
        assert_settles_on(client, expected).await;
    }
    for node in &cluster.nodes {
        let mut listener = node.join("r", &format!("listener-{}", node.pid()), Role::Listener).await?;
        assert_settles_on(&mut listener, [0, 1, 2]).await;
        listener.skip_packets();
        let packets = listener.packets_for(A_WHILE).await;
        assert_continuous(&packets);
        assert!(packets.len() > 3 * 50 && voices(&packets).len() == 3, "{}", packets.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_see_who_is_there_and_what_they_do() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [one, two] = &cluster.nodes[..] else { unreachable!("two were started") };
    let mut ada = one.join("r", "ada", Role::Moderator).await?;
    let mut ben = two.join("r", "ben", Role::Listener).await?;
    let joined = |message: &ServerMessage| match message {
        ServerMessage::ParticipantJoined { participant } => Some(participant.clone()),
        _ => None,
    };
    let seen = ada.wait_for(SOON, joined).await?;
    assert_eq!((seen.id.as_str(), seen.role), ("ben", Role::Listener));
    let seen = ben.wait_for(SOON, joined).await?;
    assert_eq!((seen.id.as_str(), seen.role), ("ada", Role::Moderator));
    // Whoever comes later is told of both at once.
    let late = two.join("r", "cyd", Role::Speaker).await?;
    let ids: Vec<&str> = late.welcome().participants.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["ada", "ben", "cyd"]);
    // A hand is raised, and answered from another node.
    ben.request(Request::RaiseHand { raised: true }).await?;
    let updated = |message: &ServerMessage| match message {
        ServerMessage::ParticipantUpdated { participant } if participant.id == "ben" => {
            Some(participant.clone())
        }
        _ => None,
    };
    assert!(ada.wait_for(SOON, updated).await?.hand_raised);
    let promoted = Request::SetRole { participant: "ben".to_owned(), role: Role::Speaker };
    assert!(matches!(ada.request(promoted).await?, ServerMessage::Ok { .. }));
    ben.speak(Voice::new(7, -20)).await?;
    assert_settles_on(&mut ada, [7]).await;
    let told = ada.wait_for(SOON, |message| match message {
        ServerMessage::TrackPublished { participant, .. } => Some(participant.clone()),
        _ => None,
    });
    assert_eq!(told.await?, "ben");
    let slots = ada.wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } => slots.iter().find_map(|slot| slot.participant.clone()),
        _ => None,
    });
    assert_eq!(slots.await?, "ben");
    let standing = Request::SetStanding { participant: "ben".to_owned(), standing: Standing::Priority };
    assert!(matches!(ada.request(standing).await?, ServerMessage::Ok { .. }));
    let mute = Request::MuteParticipant { participant: "ben".to_owned(), track: TrackOrigin::Microphone };
    assert!(matches!(ada.request(mute).await?, ServerMessage::Ok { .. }));
    assert_settles_on(&mut ada, []).await;
    let remove = |whom: &str| Request::RemoveParticipant { participant: whom.to_owned() };
    assert!(ada.request(remove("nobody")).await.is_err());
    assert!(matches!(ada.request(remove("ben")).await?, ServerMessage::Ok { .. }));
    let left = |message: &ServerMessage| match message {
        ServerMessage::ParticipantLeft { participant, reason } => Some((participant.clone(), *reason)),
        _ => None,
    };
    assert_eq!(ada.wait_for(SOON, left).await?, ("ben".to_owned(), LeaveReason::Removed));
    late.leave().await?;
    assert_eq!(ada.wait_for(SOON, left).await?, ("cyd".to_owned(), LeaveReason::Left));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_again_on_another_node_is_there_once() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [one, two] = &cluster.nodes[..] else { unreachable!("two were started") };
    let mut watcher = one.join("r", "watcher", Role::Listener).await?;
    let mut first = one.join("r", "ada", Role::Speaker).await?;
    let _second = two.join("r", "ada", Role::Speaker).await?;
    let reason = first.wait_for(SOON, |message| match message {
        ServerMessage::Left { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await?, LeaveReason::Replaced);
    let back = watcher.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } => Some((participant.clone(), *reason)),
        _ => None,
    });
    assert_eq!(back.await?, ("ada".to_owned(), LeaveReason::Replaced));
    let late = one.join("r", "late", Role::Listener).await?;
    let ids: Vec<&str> = late.welcome().participants.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["ada", "late", "watcher"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_reaches_all_nodes_or_one_participant() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [one, two] = &cluster.nodes[..] else { unreachable!("two were started") };
    let mut ada = one.join("r", "ada", Role::Speaker).await?;
    let mut ben = two.join("r", "ben", Role::Speaker).await?;
    let mut cyd = two.join("r", "cyd", Role::Speaker).await?;
    for client in [&mut ada, &mut ben, &mut cyd] {
        client.wait_data_channels(SOON).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let large = serde_json::Value::String("x".repeat(12_000));
    let frame = DataFrameIn { to: None, data: large.clone() };
    assert!(ada.send_data(Channel::Reliable, &frame).await?);
    for client in [&mut ben, &mut cyd] {
        let frame = client.next_data(SOON).await?.frame()?;
        assert_eq!((frame.from.as_str(), &frame.data), ("ada", &large));
    }
    let frame = DataFrameIn { to: Some(vec!["ada".to_owned()]), data: 7.into() };
    assert!(cyd.send_data(Channel::Reliable, &frame).await?);
    assert_eq!(ada.next_data(SOON).await?.frame()?.from, "cyd");
    assert!(ben.next_data(A_WHILE).await.is_err(), "it was not for ben");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_whom_they_chose_on_another_node() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [one, two] = &cluster.nodes[..] else { unreachable!("two were started") };
    let mut speakers = Vec::new();
    for (number, level_dbov) in [-10, -20, -30, -40, -45].into_iter().enumerate() {
        speakers.push(speaker(one, number as u32, level_dbov).await?);
    }
    let mut listener = two.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0, 1, 2]).await;
    let only = Some(["speaker-4".to_owned()].into());
    listener.request(Request::Listen { only, except: [].into() }).await?;
    assert_settles_on(&mut listener, [4]).await;
    listener.request(Request::Listen { only: None, except: [].into() }).await?;
    assert_settles_on(&mut listener, [0, 1, 2]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_one_node_reaches_no_other_room() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [one, two] = &cluster.nodes[..] else { unreachable!("two were started") };
    let ada = one.join("a-room", "ada", Role::Speaker).await?;
    ada.speak(Voice::new(1, -10)).await?;
    let mut ben = two.join("another-room", "ben", Role::Speaker).await?;
    assert_eq!(hears(&mut ben).await, [].into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_too_large_for_its_node_goes_on_on_another() -> anyhow::Result<()> {
    // Of role `all`, which look where a room is before they open it.
    let cluster = Cluster::start_with(2, &["--sessions-max", "2"]).await?;
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(speaker(&cluster.nodes[0], number, -20).await?);
        // What a node says of its sessions is two seconds old at most.
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    for node in &cluster.nodes {
        assert_eq!(node.metric("tercet_participants", "").await?, 2.0);
    }
    let heard = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]];
    for (client, heard) in clients.iter_mut().zip(heard) {
        assert_settles_on(client, heard).await;
    }
    Ok(())
}
