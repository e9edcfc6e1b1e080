//! Shared screens from the wire's side: who hears their sound, beside the voices and never in place of one.

use std::time::Duration;

use tercet_loadtest::{Client, PeerOptions, Voice};
use tercet_protocol::{Request, Role, ServerMessage, TrackOrigin, WireParticipant};
use tercet_tests::listening::{A_WHILE, assert_continuous, assert_settles_on, voices};
use tercet_tests::{SOON, Server};

/// The numbers of shared sounds; voices have lower ones.
const SOUND: u32 = 100;

/// Somebody who can share sound, and hears what others share.
async fn join(server: &Server, identity: &str, role: Role) -> anyhow::Result<Client> {
    let mut ticket = server.ticket("r", identity, role)?;
    ticket.peer = PeerOptions { screen: true, ..PeerOptions::default() };
    server.join_with(ticket).await
}

fn sound(number: u32) -> Voice {
    Voice::new(SOUND + number, -60)
}

fn mute(track: TrackOrigin, muted: bool) -> Request {
    Request::Mute { muted, track }
}

/// Waits until a client is told that this screen is heard.
async fn wait_for_screen(client: &mut Client, sharer: Option<&str>) -> anyhow::Result<()> {
    let wanted = sharer.map(str::to_owned);
    let told = client.wait_for(SOON, |message| match message {
        ServerMessage::Screen { participant } if *participant == wanted => Some(()),
        _ => None,
    });
    Ok(told.await?)
}

fn screen_source(client: &Client, of: &str) -> u32 {
    let of = client.welcome().participants.iter().find(|participant| participant.id == of);
    of.expect("a welcome lists everybody").screen_source
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_sound_is_heard_beside_three_voices_which_keep_their_slots() -> anyhow::Result<()> {
    // Two workers: whoever listens on one hears what is shared on the other.
    let server = Server::start()?;
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(join(&server, &format!("talker-{n}"), Role::Speaker).await?);
    }
    let mut listeners =
        [join(&server, "ada", Role::Listener).await?, join(&server, "ben", Role::Listener).await?];
    for (n, client) in clients[..3].iter().enumerate() {
        client.speak(Voice::new(n as u32, -20)).await?;
    }
    for listener in &mut listeners {
        assert_settles_on(listener, [0, 1, 2]).await;
    }
    // As loud as may be, and by somebody who doesn't speak: no voice makes way.
    clients[3].share(Voice::new(SOUND, 0)).await?;
    for listener in &mut listeners {
        wait_for_screen(listener, Some("talker-3")).await?;
        assert_settles_on(listener, [0, 1, 2, SOUND]).await;
        let packets = listener.packets_for(A_WHILE).await;
        assert_continuous(&packets);
        let source = screen_source(listener, "talker-3");
        for packet in packets {
            let is_shared = voices(std::slice::from_ref(&packet)).contains(&SOUND);
            assert_eq!(Some(packet.mid) == listener.screen_mid(), is_shared);
            assert_eq!(packet.csrc == [source], is_shared);
        }
    }
    for (talker, others) in clients.iter_mut().zip([[1, 2, SOUND], [0, 2, SOUND], [0, 1, SOUND], [0, 1, 2]]) {
        assert_settles_on(talker, others).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_share_waits_until_the_first_stops_and_neither_hears_itself() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut first = join(&server, "first", Role::Speaker).await?;
    let mut second = join(&server, "second", Role::Speaker).await?;
    let mut listener = join(&server, "listener", Role::Listener).await?;
    first.share(sound(1)).await?;
    assert_settles_on(&mut listener, [SOUND + 1]).await;
    second.share(Voice::new(SOUND + 2, 0)).await?;
    assert_settles_on(&mut second, [SOUND + 1]).await;
    // Two are never heard at once, so who shares first hears nobody.
    assert_settles_on(&mut first, []).await;
    assert_settles_on(&mut listener, [SOUND + 1]).await;
    first.share(None).await?;
    wait_for_screen(&mut listener, Some("second")).await?;
    for client in [&mut listener, &mut first] {
        assert_settles_on(client, [SOUND + 2]).await;
    }
    assert_settles_on(&mut second, []).await;
    let packets = listener.packets_for(Duration::from_millis(100)).await;
    assert!(packets.iter().all(|packet| Some(packet.mid) == listener.screen_mid()));
    // Who joins now is told in the welcome, and who leaves makes way.
    first.share(sound(1)).await?;
    assert_eq!(join(&server, "late", Role::Listener).await?.welcome().screen.as_deref(), Some("second"));
    second.leave().await?;
    assert_settles_on(&mut listener, [SOUND + 1]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_the_screen_slot_goes_on_through_a_change_of_sharers() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut sharers = Vec::new();
    for n in 0..2 {
        let sharer = join(&server, &format!("sharer-{n}"), Role::Speaker).await?;
        sharer.share(sound(n)).await?;
        sharers.push(sharer);
    }
    let mut listener = join(&server, "listener", Role::Listener).await?;
    tokio::time::sleep(A_WHILE).await;
    for _ in 0..2 {
        for sharer in &mut sharers {
            sharer.request(mute(TrackOrigin::Screen, true)).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            sharer.request(mute(TrackOrigin::Screen, false)).await?;
        }
    }
    let packets = listener.packets_for(A_WHILE).await;
    assert_eq!(voices(&packets), [SOUND, SOUND + 1].into());
    assert_continuous(&packets);
    let switches: Vec<_> = packets.windows(2).filter(|pair| pair[0].csrc != pair[1].csrc).collect();
    assert!(
        switches.len() >= 3 && switches.iter().all(|pair| pair[1].marker && pair[0].ssrc == pair[1].ssrc)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_microphone_and_the_screen_are_muted_apart() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = join(&server, "moderator", Role::Moderator).await?;
    let mut sharer = join(&server, "sharer", Role::Speaker).await?;
    sharer.speak(Voice::new(1, -20)).await?;
    sharer.share(sound(1)).await?;
    assert_settles_on(&mut moderator, [1, SOUND + 1]).await;
    for (track, heard) in [(TrackOrigin::Microphone, SOUND + 1), (TrackOrigin::Screen, 1)] {
        let whom = || "sharer".to_owned();
        let expected = (track == TrackOrigin::Microphone, track == TrackOrigin::Screen);
        sharer.request(mute(track, true)).await?;
        assert_settles_on(&mut moderator, [heard]).await;
        sharer.request(mute(track, false)).await?;
        assert_settles_on(&mut moderator, [1, SOUND + 1]).await;
        moderator.request(Request::MuteParticipant { participant: whom(), track }).await?;
        wait_for_mutes(&mut sharer, expected).await?;
        assert_settles_on(&mut moderator, [heard]).await;
        // Only the sharer undoes it, one by one.
        let refused = moderator.request(mute(track, false)).await;
        assert!(refused.is_ok(), "it is one's own that one unmutes");
        assert_settles_on(&mut moderator, [heard]).await;
        sharer.request(mute(track, false)).await?;
        wait_for_mutes(&mut sharer, (false, false)).await?;
        assert_settles_on(&mut moderator, [1, SOUND + 1]).await;
    }
    Ok(())
}

/// Waits until a client is told that its own microphone and screen are muted so.
async fn wait_for_mutes(client: &mut Client, wanted: (bool, bool)) -> anyhow::Result<()> {
    let id = client.participant().to_owned();
    let is_it = |p: &WireParticipant| p.id == id && (p.muted, p.screen_muted) == wanted;
    let told = client.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } if is_it(participant) => Some(()),
        _ => None,
    });
    Ok(told.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_speak_may_not_share_either() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = join(&server, "moderator", Role::Moderator).await?;
    let guest = join(&server, "guest", Role::Listener).await?;
    guest.share(sound(1)).await?;
    assert_settles_on(&mut moderator, []).await;
    let set_role = |role| Request::SetRole { participant: "guest".into(), role };
    moderator.request(set_role(Role::Speaker)).await?;
    assert_settles_on(&mut moderator, [SOUND + 1]).await;
    moderator.request(set_role(Role::Listener)).await?;
    assert_settles_on(&mut moderator, []).await;
    wait_for_screen(&mut moderator, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_screen_slot_hears_the_voices_as_ever() -> anyhow::Result<()> {
    let server = Server::start()?;
    let sharer = join(&server, "sharer", Role::Speaker).await?;
    sharer.speak(Voice::new(1, -20)).await?;
    sharer.share(sound(1)).await?;
    let mut plain = server.join("r", "plain", Role::Speaker).await?;
    assert_settles_on(&mut plain, [1]).await;
    // It is told all the same who shares.
    wait_for_screen(&mut plain, Some("sharer")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_published_and_unpublished_as_a_voice_is() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut listener = join(&server, "listener", Role::Listener).await?;
    let sharer = join(&server, "sharer", Role::Speaker).await?;
    sharer.share(sound(1)).await?;
    let published = listener.wait_for(SOON, |message| match message {
        ServerMessage::TrackPublished { participant, track } => Some((participant.clone(), track.clone())),
        _ => None,
    });
    let (participant, track) = published.await?;
    assert_eq!((participant.as_str(), track.origin), ("sharer", TrackOrigin::Screen));
    wait_for_screen(&mut listener, Some("sharer")).await?;
    listener.resume().await?;
    let welcome = listener.welcome();
    let tracks = welcome.participants.iter().filter(|p| p.id == "sharer").flat_map(|p| p.tracks.clone());
    assert_eq!((tracks.collect(), welcome.screen.as_deref()), (vec![track.clone()], Some("sharer")));
    sharer.share(None).await?;
    let unpublished = listener.wait_for(SOON, |message| match message {
        ServerMessage::TrackUnpublished { track, .. } => Some(track.clone()),
        _ => None,
    });
    assert_eq!(unpublished.await?, track.id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sharing_goes_on_over_a_new_peer_connection() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut sharer = join(&server, "sharer", Role::Speaker).await?;
    let mut listener = join(&server, "listener", Role::Listener).await?;
    sharer.share(sound(1)).await?;
    assert_settles_on(&mut listener, [SOUND + 1]).await;
    for client in [&mut sharer, &mut listener] {
        client.replace_peer().await?;
        client.wait_connected(SOON).await?;
    }
    sharer.share(sound(2)).await?;
    assert_settles_on(&mut listener, [SOUND + 2]).await;
    let packets = listener.packets_for(Duration::from_millis(100)).await;
    assert!(packets.iter().all(|packet| Some(packet.mid) == listener.screen_mid()));
    Ok(())
}
