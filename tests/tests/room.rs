//! A room from the wire's side: who hears whom, and what becomes of their packets.

use std::collections::BTreeSet;
use std::time::Duration;

use tercet_loadtest::{Audio, Channel, Client, Codec, JoinOptions, PeerOptions, ReceivedPacket, Voice};
use tercet_protocol::{DataFrameIn, LeaveReason, Request, Role, ServerMessage, Standing, TrackOrigin};
use tercet_tests::listening::{A_WHILE, assert_continuous, assert_settles_on, hears, voices};
use tercet_tests::{SOON, Server};

/// Everybody speaks under the number of their index in `voices`, at the level given.
async fn speakers(server: &Server, room: &str, levels_dbov: &[i8]) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for (n, &level_dbov) in levels_dbov.iter().enumerate() {
        let client = server.join(room, &format!("speaker-{n}"), Role::Speaker).await?;
        client.speak(Voice::new(n as u32, level_dbov)).await?;
        clients.push(client);
    }
    Ok(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_the_three_loudest_others_and_nobody_themselves() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut clients = speakers(&server, "r", &[-10, -20, -30, -40, -50]).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0, 1, 2]).await;
    let expected = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]];
    for (client, expected) in clients.iter_mut().zip(expected) {
        assert_settles_on(client, expected).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_arrives_byte_for_byte_with_its_level_and_its_speaker() -> anyhow::Result<()> {
    let server = Server::start()?;
    let speaker = server.join("r", "speaker", Role::Speaker).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let source = own_source(&speaker);
    let sent: Vec<Vec<u8>> = (0..50u8).map(|n| (0..=n).map(|b| b.wrapping_mul(37) ^ n).collect()).collect();
    for payload in &sent {
        speaker.send_audio(Audio { voice: false, ..Audio::new(payload.as_slice(), -17) }).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let packets = listener.packets_for(Duration::from_secs(1)).await;
    let received: Vec<Vec<u8>> = packets.iter().map(|packet| packet.payload.to_vec()).collect();
    assert_eq!(received, sent);
    for packet in &packets {
        assert_eq!((packet.level_dbov, packet.voice), (Some(-17), Some(false)));
        assert_eq!(packet.csrc, [source]);
    }
    assert_continuous(&packets);
    Ok(())
}

fn mute(muted: bool) -> Request {
    Request::Mute { muted, track: TrackOrigin::Microphone }
}

fn own_source(client: &Client) -> u32 {
    let own = client.welcome().participants.iter().find(|p| p.id == client.participant());
    own.expect("a welcome lists the client itself").source
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_sees_one_continuous_stream_through_every_switch() -> anyhow::Result<()> {
    let server = Server::start_with(&["--slots", "1"])?;
    let clients = speakers(&server, "r", &[-127, -127, -127]).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    listener.skip_packets();
    for turn in 0..9 {
        for (n, client) in clients.iter().enumerate() {
            let level_dbov = if n == turn % 3 { -20 } else { -90 };
            client.speak(Voice::new(n as u32, level_dbov)).await?;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let packets = listener.packets_for(Duration::from_millis(200)).await;
    assert_eq!(voices(&packets), [0, 1, 2].into());
    let ssrcs: BTreeSet<u32> = packets.iter().map(|packet| packet.ssrc).collect();
    assert_eq!(ssrcs.len(), 1);
    assert_continuous(&packets);
    let switches: Vec<&[ReceivedPacket]> = packets.windows(2).filter(|p| p[0].csrc != p[1].csrc).collect();
    assert!(switches.len() >= 8, "only {} switches", switches.len());
    assert!(switches.iter().all(|pair| pair[1].marker), "the first packet of a speaker carries the marker");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_fewer_slots_than_the_room_and_no_more() -> anyhow::Result<()> {
    let server = Server::start()?;
    let _speakers = speakers(&server, "r", &[-10, -20, -30]).await?;
    for (slots, heard) in [(1, 1), (6, 3)] {
        let ticket = server.ticket("r", &format!("listener-{slots}"), Role::Listener)?;
        let mut listener = server.join_with(JoinOptions { slots: Some(slots), ..ticket }).await?;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(hears(&mut listener).await.len(), heard);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_keeps_its_own_payload_types() -> anyhow::Result<()> {
    let server = Server::start()?;
    let join = async |identity: &str, pt| {
        let ticket = server.ticket("r", identity, Role::Speaker)?;
        let peer = PeerOptions {
            codec: Codec::Opus(pt),
            level_extension_id: (pt % 14) + 1,
            ..PeerOptions::default()
        };
        server.join_with(JoinOptions { peer, ..ticket }).await
    };
    let (mut chromium, mut firefox, mut aiortc) =
        (join("c", 111).await?, join("f", 109).await?, join("a", 96).await?);
    for (n, client) in [&chromium, &firefox, &aiortc].into_iter().enumerate() {
        client.speak(Voice::new(n as u32, -20)).await?;
    }
    assert_settles_on(&mut aiortc, [0, 1]).await;
    for (client, pt, others) in
        [(&mut chromium, 111, [1, 2]), (&mut firefox, 109, [0, 2]), (&mut aiortc, 96, [0, 1])]
    {
        client.skip_packets();
        let packets = client.packets_for(A_WHILE).await;
        assert_eq!(voices(&packets), others.into());
        assert!(packets.iter().all(|packet| packet.payload_type == pt && packet.level_dbov == Some(-20)));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redundant_audio_passes_to_those_who_take_it_and_its_newest_frame_to_the_others() -> anyhow::Result<()>
{
    let server = Server::start()?;
    let join = async |identity: &str, codec| {
        let ticket = server.ticket("r", identity, Role::Speaker)?;
        let peer = PeerOptions { codec, ..PeerOptions::default() };
        server.join_with(JoinOptions { peer, ..ticket }).await
    };
    let speaker = join("speaker", Codec::OpusAndRed).await?;
    let (mut red, mut plain) =
        (join("red", Codec::OpusAndRed).await?, join("plain", Codec::Opus(111)).await?);
    let mut other_number = join("other-number", Codec::Opus(109)).await?;
    speaker.speak(Voice::new(7, -20)).await?;
    assert_settles_on(&mut other_number, [7]).await;
    for (client, is_red) in [(&mut red, true), (&mut plain, false), (&mut other_number, false)] {
        client.skip_packets();
        let packets = client.packets_for(A_WHILE).await;
        assert_eq!(voices(&packets), [7].into());
        assert!(packets.iter().all(|packet| packet.is_red == is_red));
        assert_continuous(&packets);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_silence_that_dtx_left_out_is_kept() -> anyhow::Result<()> {
    let server = Server::start()?;
    let speaker = server.join("r", "speaker", Role::Speaker).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    speaker.send_audio(Audio::new(&b"before"[..], -20)).await?;
    speaker.pause_frames(19).await?;
    tokio::time::sleep(Duration::from_millis(380)).await;
    speaker.send_audio(Audio { marker: true, ..Audio::new(&b"after"[..], -20) }).await?;
    let packets = listener.packets_for(Duration::from_millis(500)).await;
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[1].sequence, packets[0].sequence + 1);
    assert_eq!(packets[1].timestamp.wrapping_sub(packets[0].timestamp), 20 * 960);
    assert!(packets[1].marker);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_muted_holders_do_not_keep_a_fourth_from_speaking() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut clients = speakers(&server, "r", &[-10, -10, -10, -127]).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0, 1, 2]).await;
    for client in &mut clients[..3] {
        client.request(mute(true)).await?;
    }
    clients[3].speak(Voice::new(3, -40)).await?;
    assert_settles_on(&mut listener, [3]).await;
    clients[0].request(mute(false)).await?;
    assert_settles_on(&mut listener, [0, 3]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_speaker_changed_while_a_listener_joined_is_told_as_it_is() -> anyhow::Result<()> {
    let server = Server::start_with(&["--slots", "1"])?;
    let clients = speakers(&server, "r", &[-20, -127]).await?;
    let joining = Client::join(server.ticket("r", "listener", Role::Listener)?);
    let switching = async {
        clients[0].speak(Voice::new(0, -127)).await?;
        clients[1].speak(Voice::new(1, -20)).await
    };
    let (listener, switched) = tokio::join!(joining, switching);
    switched?;
    let mut listener = listener?;
    listener.wait_connected(SOON).await?;
    assert_eq!(hears(&mut listener).await.last(), Some(&1));
    let speaker = clients[1].participant().to_owned();
    wait_for_slot(&mut listener, Some(&speaker)).await?;
    Ok(())
}

/// Waits until the first slot is told to have this speaker.
async fn wait_for_slot(client: &mut Client, speaker: Option<&str>) -> anyhow::Result<()> {
    let wanted = speaker.map(str::to_owned);
    let told = client.wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } if slots[0].participant == wanted => Some(slots.clone()),
        _ => None,
    });
    let slots = told.await?;
    anyhow::ensure!(slots[0].mid.is_some(), "a slot is told by its m-line");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_who_leaves_while_speaking_frees_the_slot() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut clients = speakers(&server, "r", &[-20, -30]).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    tokio::time::sleep(A_WHILE).await;
    let leaver = clients.remove(0);
    let id = leaver.participant().to_owned();
    leaver.leave().await?;
    let left = listener.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, .. } if *participant == id => Some(()),
        _ => None,
    });
    left.await?;
    assert_settles_on(&mut listener, [1]).await;
    assert_eq!(server.metric("tercet_participants", "").await?, 2.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_listener_is_heard_and_a_demoted_one_no_more() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = server.join("r", "moderator", Role::Moderator).await?;
    let mut guest = server.join("r", "guest", Role::Listener).await?;
    guest.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut moderator, []).await;
    guest.request(Request::RaiseHand { raised: true }).await?;
    let set_role = |role| Request::SetRole { participant: "guest".into(), role };
    moderator.request(set_role(Role::Speaker)).await?;
    let promoted = guest.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } if participant.role == Role::Speaker => {
            Some(participant.clone())
        }
        _ => None,
    });
    assert!(!promoted.await?.hand_raised, "a promotion answers the raised hand");
    assert_settles_on(&mut moderator, [1]).await;
    let track = TrackOrigin::Microphone;
    moderator.request(Request::MuteParticipant { participant: "guest".into(), track }).await?;
    assert_settles_on(&mut moderator, []).await;
    guest.request(mute(false)).await?;
    assert_settles_on(&mut moderator, [1]).await;
    moderator.request(set_role(Role::Listener)).await?;
    assert_settles_on(&mut moderator, []).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_participant_is_heard_whoever_speaks_on_every_worker() -> anyhow::Result<()> {
    let server = Server::start_with(&["--slots", "1", "--workers", "2"])?;
    let clients = speakers(&server, "r", &[-10, -80]).await?;
    let mut moderator = server.join("r", "moderator", Role::Moderator).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0]).await;
    let pin = |standing| Request::SetStanding { participant: clients[1].participant().to_owned(), standing };
    moderator.request(pin(Standing::Pinned)).await?;
    for client in [&mut listener, &mut moderator] {
        assert_settles_on(client, [1]).await;
    }
    moderator.request(pin(Standing::Ordinary)).await?;
    assert_settles_on(&mut listener, [0]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_who_chose_whom_to_hear_hears_them_on_every_worker() -> anyhow::Result<()> {
    let server = Server::start_with(&["--slots", "2", "--workers", "2"])?;
    let clients = speakers(&server, "r", &[-10, -20, -30, -40]).await?;
    let mut choosers = Vec::new();
    for n in 0..2 {
        // One on each worker: half of those who are named send to the other.
        choosers.push(server.join("r", &format!("chooser-{n}"), Role::Listener).await?);
    }
    let ids = |numbers: &[usize]| numbers.iter().map(|&n| clients[n].participant().to_owned()).collect();
    for chooser in &mut choosers {
        assert_settles_on(chooser, [0, 1]).await;
        chooser.request(Request::Listen { only: Some(ids(&[2, 3])), except: ids(&[]) }).await?;
        assert_settles_on(chooser, [2, 3]).await;
        chooser.request(Request::Listen { only: None, except: ids(&[0]) }).await?;
        assert_settles_on(chooser, [1, 2]).await;
    }
    // Somebody who comes later is heard by those who named them, and told to be in their slot.
    choosers[0].request(Request::Listen { only: Some(["late".to_owned()].into()), except: ids(&[]) }).await?;
    assert_settles_on(&mut choosers[0], []).await;
    let late = server.join("r", "late", Role::Speaker).await?;
    late.speak(Voice::new(9, -45)).await?;
    assert_settles_on(&mut choosers[0], [9]).await;
    let told = choosers[0].wait_for(SOON, |message| match message {
        ServerMessage::Slots { slots } => {
            slots.iter().any(|slot| slot.participant.as_deref() == Some("late")).then_some(())
        }
        _ => None,
    });
    told.await?;
    choosers[0].request(Request::Listen { only: None, except: ids(&[]) }).await?;
    assert_settles_on(&mut choosers[0], [0, 1]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_reaches_those_it_is_for_on_the_channel_it_came_on() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut clients = Vec::new();
    for identity in ["ada", "ben", "cyd"] {
        let mut client = server.join("r", identity, Role::Listener).await?;
        client.wait_data_channels(SOON).await?;
        clients.push(client);
    }
    let frame = |to: Option<&str>, data| DataFrameIn { to: to.map(|to| vec![to.to_owned()]), data };
    for channel in [Channel::Reliable, Channel::Lossy] {
        clients[0].send_data(channel, &frame(None, serde_json::json!({"n": [1, 2.5, "three"]}))).await?;
        for client in &mut clients[1..] {
            let message = client.next_data(SOON).await?;
            assert_eq!(message.channel, channel);
            let received = message.frame()?;
            assert_eq!(
                (received.from.as_str(), received.data),
                ("ada", serde_json::json!({"n": [1, 2.5, "three"]}))
            );
        }
    }
    clients[0].send_data(Channel::Reliable, &frame(Some("cyd"), "for cyd".into())).await?;
    assert_eq!(clients[2].next_data(SOON).await?.frame()?.data, "for cyd");
    assert!(clients[1].next_data(Duration::from_millis(300)).await.is_err(), "ben was not meant");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_and_slots_are_told_at_most_ten_times_a_second() -> anyhow::Result<()> {
    let server = Server::start()?;
    let _speakers = speakers(&server, "r", &[-20, -25, -30, -35, -40]).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let end = tokio::time::Instant::now() + Duration::from_secs(3);
    let (mut levels, mut slots) = (0, 0);
    while let Ok(message) = tokio::time::timeout_at(end, listener.signalling().next()).await {
        match message? {
            ServerMessage::Speakers { levels: speakers } => {
                levels += 1;
                assert!(speakers.len() <= 4);
            }
            ServerMessage::Slots { .. } => slots += 1,
            _ => {}
        }
    }
    assert!((15..=31).contains(&levels), "{levels} times in 3 s");
    assert!(slots <= 31, "{slots} times in 3 s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_ipv6_serves_as_one_on_ipv4() -> anyhow::Result<()> {
    let server = Server::start_with(&["--http", "[::1]:0", "--media-udp", "[::1]:0"])?;
    assert!(server.media.iter().all(|address| address.is_ipv6()));
    let speaker = server.join("r", "speaker", Role::Speaker).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    speaker.speak(Voice::new(5, -20)).await?;
    assert_settles_on(&mut listener, [5]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_nat_announces_its_public_address() -> anyhow::Result<()> {
    let server = Server::start_with(&["--media-udp", "0.0.0.0:0", "--public-ip", "127.0.0.1"])?;
    let speaker = server.join("r", "speaker", Role::Speaker).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    speaker.speak(Voice::new(5, -20)).await?;
    assert_settles_on(&mut listener, [5]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_hand_is_lowered_and_what_changes_nothing_is_told_to_nobody() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = server.join("r", "moderator", Role::Moderator).await?;
    let mut guest = server.join("r", "guest", Role::Listener).await?;
    let whom = || "guest".to_owned();
    for _ in 0..3 {
        guest.request(Request::RaiseHand { raised: true }).await?;
        guest.request(mute(true)).await?;
    }
    moderator.request(Request::LowerHand { participant: whom() }).await?;
    moderator.request(Request::LowerHand { participant: whom() }).await?;
    moderator.request(Request::RemoveParticipant { participant: whom() }).await?;
    let mut told = Vec::new();
    loop {
        match tokio::time::timeout(SOON, moderator.signalling().next()).await?? {
            ServerMessage::ParticipantUpdated { participant } if participant.id == "guest" => {
                told.push((participant.hand_raised, participant.muted));
            }
            ServerMessage::ParticipantLeft { reason, .. } => {
                assert_eq!(reason, LeaveReason::Removed);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(told, [(true, false), (true, true), (false, true)]);
    let reason = guest.signalling().wait_for(SOON, |message| match message {
        ServerMessage::Left { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await?, LeaveReason::Removed);
    Ok(())
}
