//! The pictures of shared screens from the wire's side: who sees them, in which slot, and who doesn't.

use std::time::Duration;

use tercet_loadtest::{Client, PeerOptions, VideoOffer, picture_in};
use tercet_protocol::{
    Request, Role, ServerMessage, TrackKind, TrackOrigin, VideoOrigin, WireParticipant, WireVideoSlot,
};
use tercet_tests::cluster::Cluster;
use tercet_tests::{SOON, Server};

const SLOTS: u8 = 3;
/// Long enough for some pictures.
const A_WHILE: Duration = Duration::from_millis(600);
/// A picture that stops without a word is over after three seconds.
const STOPPED: Duration = Duration::from_secs(3);

/// Somebody who has a camera and a screen, and watches others.
async fn join(server: &Server, identity: &str, role: Role) -> anyhow::Result<Client> {
    let mut ticket = server.ticket("r", identity, role)?;
    let video = VideoOffer { camera: true, slots: SLOTS, is_simulcast: false };
    ticket.peer = PeerOptions { screen: true, video: Some(video), ..PeerOptions::default() };
    server.join_with(ticket).await
}

fn mute(muted: bool) -> Request {
    Request::Mute { muted, track: TrackOrigin::ScreenVideo }
}

/// Whose camera or screen is in a slot.
type Seen<'a> = Option<(&'a str, VideoOrigin)>;

const fn camera(of: &str) -> Seen<'_> {
    Some((of, VideoOrigin::Camera))
}

const fn screen(of: &str) -> Seen<'_> {
    Some((of, VideoOrigin::ScreenVideo))
}

fn seen(slot: &WireVideoSlot) -> Seen<'_> {
    Some((slot.participant.as_deref()?, slot.origin))
}

/// Waits until a client is told that its first slots show these, and nobody in the others.
async fn wait_for_slots(client: &mut Client, wanted: &[Seen<'_>]) -> anyhow::Result<Vec<WireVideoSlot>> {
    let is_it = |slots: &[WireVideoSlot]| {
        let wanted = wanted.iter().copied().chain(std::iter::repeat(None));
        slots.iter().zip(wanted).all(|(slot, wanted)| seen(slot) == wanted)
    };
    let told = client.wait_for(SOON, |message| match message {
        ServerMessage::Video { slots } if is_it(slots) => Some(slots.clone()),
        _ => None,
    });
    Ok(told.await?)
}

/// The numbers of the pictures that come in each of a client's slots from now on, and under which CSRC.
async fn pictures(client: &mut Client, slots: &[WireVideoSlot]) -> Vec<Vec<(u8, u32)>> {
    // What was under way is of the slots as they were.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.skip_packets();
    let packets = client.packets_for(A_WHILE).await;
    let of_slot = |slot: &WireVideoSlot| {
        let packets = packets.iter().filter(|packet| packet.mid.to_string() == slot.mid);
        let mut pictures: Vec<(u8, u32)> =
            packets.filter_map(|packet| Some((picture_in(packet)?, *packet.csrc.first()?))).collect();
        pictures.dedup();
        pictures
    };
    slots.iter().map(of_slot).collect()
}

/// The numbers alone, slot by slot.
async fn numbers(client: &mut Client, slots: &[WireVideoSlot]) -> Vec<u8> {
    pictures(client, slots).await.into_iter().flatten().map(|(number, _)| number).collect()
}

/// Somebody as a client is told when it comes back.
async fn participant(client: &mut Client, id: &str) -> anyhow::Result<WireParticipant> {
    client.resume().await?;
    let found = client.welcome().participants.iter().find(|it| it.id == id).cloned();
    found.ok_or_else(|| anyhow::anyhow!("{id} is not listed"))
}

/// Two see the camera and the screen of a third, each on its own server or on the same, and the third sees neither.
async fn is_seen_beside_the_camera(here: &Server, there: &Server) -> anyhow::Result<()> {
    let mut sharer = join(here, "sharer", Role::Speaker).await?;
    let mut viewers = [join(here, "near", Role::Listener).await?, join(there, "far", Role::Listener).await?];
    sharer.film(VideoOrigin::Camera, 1).await?;
    for viewer in &mut viewers {
        wait_for_slots(viewer, &[camera("sharer")]).await?;
    }
    sharer.film(VideoOrigin::ScreenVideo, 2).await?;
    for viewer in &mut viewers {
        let slots = wait_for_slots(viewer, &[screen("sharer"), camera("sharer")]).await?;
        let sharer = participant(viewer, "sharer").await?;
        let origins: Vec<TrackOrigin> = sharer.tracks.iter().map(|track| track.origin).collect();
        assert_eq!(origins, [TrackOrigin::Camera, TrackOrigin::ScreenVideo]);
        assert!(sharer.tracks.iter().all(|track| track.kind == TrackKind::Video));
        let expected = [vec![(2, sharer.screen_video_source)], vec![(1, sharer.camera_source)], vec![]];
        assert_eq!(pictures(viewer, &slots).await, expected);
        assert_eq!(viewer.welcome().video, slots, "who comes back is told the same");
    }
    assert!(sharer.packets_for(A_WHILE).await.iter().all(|packet| picture_in(packet).is_none()));
    // Without a word, then with one.
    sharer.film(VideoOrigin::ScreenVideo, None).await?;
    for viewer in &mut viewers {
        wait_for_slots(viewer, &[camera("sharer")]).await?;
    }
    sharer.film(VideoOrigin::ScreenVideo, 3).await?;
    for viewer in &mut viewers {
        wait_for_slots(viewer, &[screen("sharer"), camera("sharer")]).await?;
    }
    sharer.request(mute(true)).await?;
    let muted_at = std::time::Instant::now();
    for viewer in &mut viewers {
        let slots = wait_for_slots(viewer, &[camera("sharer")]).await?;
        assert_eq!(numbers(viewer, &slots).await, [1]);
    }
    assert!(muted_at.elapsed() < STOPPED, "a mute says so");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_is_seen_in_the_first_slot_beside_the_camera_of_its_sharer() -> anyhow::Result<()> {
    // Two workers, and each takes one: what is shared on one is seen on the other.
    let server = Server::start()?;
    is_seen_beside_the_camera(&server, &server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_is_seen_on_another_node() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &["--role", "media"]).await?;
    let [here, there] = &cluster.nodes[..] else { unreachable!("two were started") };
    is_seen_beside_the_camera(here, there).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_screen_waits_until_the_first_is_shared_no_more() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut first = join(&server, "first", Role::Speaker).await?;
    let mut second = join(&server, "second", Role::Speaker).await?;
    let mut viewer = join(&server, "viewer", Role::Listener).await?;
    first.film(VideoOrigin::ScreenVideo, 1).await?;
    wait_for_slots(&mut viewer, &[screen("first")]).await?;
    wait_for_slots(&mut second, &[screen("first")]).await?;
    second.film(VideoOrigin::ScreenVideo, 2).await?;
    second.film(VideoOrigin::Camera, 3).await?;
    let slots = wait_for_slots(&mut viewer, &[screen("first"), camera("second")]).await?;
    assert_eq!(numbers(&mut viewer, &slots).await, [1, 3]);
    // Who is on the stage sees no other's screen in place of their own.
    wait_for_slots(&mut first, &[camera("second")]).await?;
    first.leave().await?;
    let slots = wait_for_slots(&mut viewer, &[screen("second"), camera("second")]).await?;
    assert_eq!(numbers(&mut viewer, &slots).await, [2, 3]);
    wait_for_slots(&mut second, &[]).await?;
    // A new connection of theirs is shared over as before.
    second.replace_peer().await?;
    second.wait_connected(SOON).await?;
    wait_for_slots(&mut viewer, &[]).await?;
    second.film(VideoOrigin::ScreenVideo, 4).await?;
    let slots = wait_for_slots(&mut viewer, &[screen("second")]).await?;
    assert_eq!(numbers(&mut viewer, &slots).await, [4]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_shares_a_screen_who_may_not_speak_and_a_moderator_withholds_one() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut moderator = join(&server, "moderator", Role::Moderator).await?;
    let mut guest = join(&server, "guest", Role::Listener).await?;
    guest.film(VideoOrigin::ScreenVideo, 1).await?;
    let none = moderator.wait_for(STOPPED, |message| match message {
        ServerMessage::Video { slots } => slots.iter().find_map(seen).map(|_| ()),
        ServerMessage::TrackPublished { .. } => Some(()),
        _ => None,
    });
    assert!(none.await.is_err(), "a listener's screen is nobody's to see");
    assert!(moderator.packets_for(Duration::ZERO).await.iter().all(|packet| picture_in(packet).is_none()));
    let set_role = |role| Request::SetRole { participant: "guest".into(), role };
    moderator.request(set_role(Role::Speaker)).await?;
    wait_for_slots(&mut moderator, &[screen("guest")]).await?;
    let track = TrackOrigin::ScreenVideo;
    moderator.request(Request::MuteParticipant { participant: "guest".into(), track }).await?;
    let slots = wait_for_slots(&mut moderator, &[]).await?;
    assert!(numbers(&mut moderator, &slots).await.is_empty(), "they send it all the same");
    let muted = participant(&mut moderator, "guest").await?;
    assert_eq!((muted.screen_video_muted, muted.screen_muted, muted.camera_muted), (true, false, false));
    guest.request(mute(false)).await?;
    wait_for_slots(&mut moderator, &[screen("guest")]).await?;
    moderator.request(set_role(Role::Listener)).await?;
    wait_for_slots(&mut moderator, &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_without_video_has_no_screens() -> anyhow::Result<()> {
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), "[room]\nvideo_slots = 0\n")?;
    let path = config.path().to_str().expect("a path of the tests");
    let server = Server::start_with(&["--config", path])?;
    let sharer = join(&server, "sharer", Role::Speaker).await?;
    let mut viewer = join(&server, "viewer", Role::Listener).await?;
    sharer.film(VideoOrigin::ScreenVideo, 1).await?;
    let told = viewer.wait_for(A_WHILE, |message| match message {
        ServerMessage::Video { .. } | ServerMessage::TrackPublished { .. } => Some(()),
        _ => None,
    });
    assert!(told.await.is_err());
    assert_eq!(viewer.welcome().room.video_slots, 0);
    Ok(())
}
