//! Nodes that die, stop, come back, or don't belong: what those notice who are in a room.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::NamedTempFile;
use tercet_loadtest::token::Claims;
use tercet_loadtest::{Client, JoinOptions, Signalling, SignallingError, Voice};
use tercet_protocol::{ErrorCode, LeaveReason, Request, Role, ServerMessage, SessionInfo};
use tercet_tests::cluster::{CLUSTER_SECRET, Cluster, seed, start_node, wait_for_metric};
use tercet_tests::listening::{assert_continuous, assert_settles_on, voices};
use tercet_tests::{SECRET, SOON, Server};

/// What the issue promises: whoever was on a dead node is back in the room by then.
const BACK_WITHIN: Duration = Duration::from_secs(5);

const MEDIA: [&str; 2] = ["--role", "media"];

async fn speaker(server: &Server, number: u32) -> anyhow::Result<Client> {
    let client = server.join("r", &format!("speaker-{number}"), Role::Speaker).await?;
    client.speak(Voice::new(number, -20)).await?;
    Ok(client)
}

/// Joins anew by one of the URLs that the server gave.
async fn join_by(urls: &[String], identity: &str, role: Role) -> anyhow::Result<Client> {
    let url = urls.first().context("the server names other nodes")?;
    let token = Claims::new("r", identity, role).sign(SECRET.as_bytes())?;
    let mut client = Client::join(JoinOptions::new(url.parse()?, token)).await?;
    client.wait_connected(SOON).await?;
    Ok(client)
}

fn updated(id: &'static str) -> impl FnMut(&ServerMessage) -> Option<Role> {
    move |message| match message {
        ServerMessage::ParticipantUpdated { participant } if participant.id == id => Some(participant.role),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_on_a_dead_node_is_back_with_their_role_and_others_go_on_unbroken() -> anyhow::Result<()>
{
    let mut cluster = Cluster::start_with(3, &MEDIA).await?;
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Moderator).await?;
    let _near = speaker(&cluster.nodes[2], 3).await?;
    let ben = cluster.nodes[1].join("r", "ben", Role::Listener).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let promote = Request::SetRole { participant: "ben".to_owned(), role: Role::Speaker };
    ada.request(promote).await?;
    ben.speak(Voice::new(7, -20)).await?;
    assert_settles_on(&mut ada, [3, 7]).await;
    // What is known after a death is told twice a second.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let others = ben.welcome().nodes.clone();
    assert_eq!(others.len(), 2);
    ada.skip_packets();
    let died = Instant::now();
    cluster.nodes[1].kill()?;
    let mut ben = join_by(&others, "ben", Role::Listener).await?;
    let role = ben.wait_for(SOON, updated("ben")).await?;
    let back = died.elapsed();
    assert_eq!(role, Role::Speaker, "as they were promoted");
    assert!(back < BACK_WITHIN, "{back:?}");
    ben.speak(Voice::new(8, -20)).await?;
    let heard = ada.packets_for(Duration::from_secs(4)).await;
    assert!(voices(&heard).contains(&8), "{:?}", voices(&heard));
    assert_continuous(&heard);
    let of_near = heard.iter().filter(|packet| tercet_tests::listening::publisher(packet) == Some(3)).count();
    let expected = died.elapsed().as_millis() as usize / 20;
    assert!(
        of_near >= expected - 25,
        "{of_near} of {expected} packets of one who was elsewhere all the time"
    );
    // Nobody left: ben was only somewhere else.
    let left = ada.wait_for(Duration::from_secs(9), |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } => Some((participant.clone(), *reason)),
        _ => None,
    });
    let left = left.await.ok();
    assert_eq!(left, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_come_back_from_a_dead_node_has_left() -> anyhow::Result<()> {
    let mut cluster = Cluster::start_with(2, &MEDIA).await?;
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Listener).await?;
    let _ben = speaker(&cluster.nodes[1], 1).await?;
    assert_settles_on(&mut ada, [1]).await;
    cluster.nodes[1].kill()?;
    let left = ada.wait_for(Duration::from_secs(20), |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } => Some((participant.clone(), *reason)),
        _ => None,
    });
    assert_eq!(left.await?, ("speaker-1".to_owned(), LeaveReason::TimedOut));
    assert_settles_on(&mut ada, []).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_hands_its_people_over_without_a_gap() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &MEDIA).await?;
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Listener).await?;
    let ben = speaker(&cluster.nodes[1], 1).await?;
    let _other = speaker(&cluster.nodes[1], 2).await?;
    assert_settles_on(&mut ada, [1, 2]).await;
    cluster.nodes[0].signal("TERM")?;
    let nodes = ada.wait_for(SOON, |message| match message {
        ServerMessage::Closing { nodes, .. } => Some(nodes.clone()),
        _ => None,
    });
    let nodes = nodes.await?;
    ada.skip_packets();
    let began = Instant::now();
    let mut moved = join_by(&nodes, "ada", Role::Listener).await?;
    moved.next_packet(SOON).await?;
    let overlap = began.elapsed();
    let heard = ada.packets_for(Duration::from_millis(200)).await;
    let expected = 2 * (overlap.as_millis() as usize + 200) / 20;
    assert!(
        heard.len() + 20 > expected,
        "{} of {expected} packets until media flowed elsewhere",
        heard.len()
    );
    assert_continuous(&heard);
    assert_settles_on(&mut moved, [1, 2]).await;
    let left = ada.wait_for(SOON, |message| match message {
        ServerMessage::Left { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(left.await?, LeaveReason::Replaced);
    drop(ben);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_is_what_they_were_and_is_heard_once_and_not_by_themselves() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &MEDIA).await?;
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Listener).await?;
    let mut ben = cluster.nodes[1].join("r", "ben", Role::Moderator).await?;
    ben.wait_for(SOON, |message| matches!(message, ServerMessage::ParticipantJoined { .. }).then_some(()))
        .await?;
    ben.request(Request::SetRole { participant: "ada".to_owned(), role: Role::Speaker }).await?;
    ada.speak(Voice::new(5, -20)).await?;
    assert_settles_on(&mut ben, [5]).await;
    cluster.nodes[0].signal("TERM")?;
    let nodes = ada.wait_for(SOON, |message| match message {
        ServerMessage::Closing { nodes, .. } => Some(nodes.clone()),
        _ => None,
    });
    let mut moved = join_by(&nodes.await?, "ada", Role::Listener).await?;
    let began = Instant::now();
    assert_eq!(moved.wait_for(SOON, updated("ada")).await?, Role::Speaker);
    assert!(began.elapsed() < Duration::from_secs(1), "while the former node is still there");
    // For a moment they speak on both: the former is not heard any more once the new one is.
    moved.speak(Voice::new(6, -20)).await?;
    assert_settles_on(&mut ben, [6]).await;
    let own: Vec<_> =
        [&mut ada, &mut moved].into_iter().map(|it| it.packets_for(Duration::from_millis(100))).collect();
    for packets in own {
        assert_eq!(voices(&packets.await), [].into(), "nobody hears themselves");
    }
    Ok(())
}

/// The node on which all the participants are, and the others.
async fn apart(cluster: &mut Cluster) -> anyhow::Result<(Server, Vec<Server>)> {
    let mut nodes = std::mem::take(&mut cluster.nodes);
    for index in 0..nodes.len() {
        if nodes[index].metric("tercet_participants", "").await? > 0.0 {
            return Ok((nodes.swap_remove(index), nodes));
        }
    }
    anyhow::bail!("nobody is on any node")
}

async fn resumed(node: &Server, session: &SessionInfo) -> anyhow::Result<Option<ErrorCode>> {
    let mut socket = Signalling::connect(&node.url()?).await?;
    match socket.resume(&session.id, &session.secret).await {
        Ok(_) => Ok(None),
        Err(SignallingError::Refused(error)) => Ok(Some(error.code)),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_only_node_died_takes_people_again_within_a_second() -> anyhow::Result<()> {
    const WITHIN: Duration = Duration::from_secs(1);
    let mut cluster = Cluster::start(3).await?;
    let ada = cluster.nodes[0].join("r", "ada", Role::Speaker).await?;
    let (mut only, others) = apart(&mut cluster).await?;
    // The others are told that the room is there, and nobody of them has a part of it.
    let ben = others[0].join("r", "ben", Role::Speaker).await?;
    assert_eq!(only.metric("tercet_participants", "").await?, 2.0, "a small room is together");
    only.kill()?;
    let died = Instant::now();
    let resumed_as = resumed(&others[0], &ada.welcome().session).await?;
    let resumed_after = died.elapsed();
    // By way of the other, which has yet to find out, and by the first, which sends nobody there any more.
    let mut cyd = others[1].join("r", "cyd", Role::Listener).await?;
    let joined_after = died.elapsed();
    let ticket = others[0].ticket("r", "dan", Role::Listener)?;
    let mut dan = Signalling::connect(&ticket.server).await?;
    dan.join(&ticket.token, None).await?;
    let passed_on_after = died.elapsed();
    println!("resumed after {resumed_after:?}, joined {joined_after:?}, passed on {passed_on_after:?}");
    assert_eq!(resumed_as, Some(ErrorCode::NoSuchSession));
    assert!(passed_on_after < WITHIN, "{resumed_after:?}, {joined_after:?}, {passed_on_after:?}");
    // Those who were there come back, and it is one room.
    let back = join_by(&ada.welcome().nodes, "ada", Role::Speaker).await?;
    back.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut cyd, [1]).await;
    drop(ben);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_node_whose_links_fell_silent() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let ada = cluster.nodes[0].join("r", "ada", Role::Speaker).await?;
    let (only, others) = apart(&mut cluster).await?;
    // It stands still: its connections are accepted by the system, and nothing comes on them.
    only.signal("STOP")?;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let stood = Instant::now();
    let _ben = others[0].join("r", "ben", Role::Listener).await?;
    assert!(stood.elapsed() < Duration::from_millis(700), "{:?}", stood.elapsed());
    assert_eq!(resumed(&others[1], &ada.welcome().session).await?, Some(ErrorCode::NoSuchSession));
    only.signal("CONT")?;
    // It is as good as any other again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(resumed(&others[1], &ada.welcome().session).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_again_with_its_id_takes_part_again() -> anyhow::Result<()> {
    let mut cluster = Cluster::start_with(2, &MEDIA).await?;
    let address = seed(&cluster.nodes[1])?;
    let mut ada = speaker(&cluster.nodes[0], 1).await?;
    for life in 2..4 {
        cluster.nodes[1].kill()?;
        let first = seed(&cluster.nodes[0])?;
        let again = start_node(2, Some(&first), &["--role", "media", "--cluster-udp", &address])?;
        cluster.nodes[1] = again;
        let began = Instant::now();
        let ben = cluster.nodes[1].join("r", "ben", Role::Speaker).await?;
        ben.speak(Voice::new(life, -20)).await?;
        assert_settles_on(&mut ada, [life]).await;
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_sends_people_on_or_passes_them_on_and_nobody_depends_on_it() -> anyhow::Result<()> {
    let mut cluster = Cluster { nodes: Vec::new() };
    cluster.add(&["--role", "gateway"])?;
    cluster.add(&["--role", "gateway"])?;
    cluster.add(&MEDIA)?;
    cluster.add(&MEDIA)?;
    cluster.wait_whole().await?;
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Speaker).await?;
    ada.speak(Voice::new(1, -20)).await?;
    let mut ben = cluster.nodes[1].join("r", "ben", Role::Listener).await?;
    assert_settles_on(&mut ben, [1]).await;
    let sessions = async |node: &Server| node.metric("tercet_participants", "").await;
    assert_eq!(sessions(&cluster.nodes[0]).await? + sessions(&cluster.nodes[1]).await?, 0.0);
    let on_media = [sessions(&cluster.nodes[2]).await?, sessions(&cluster.nodes[3]).await?];
    assert!(on_media == [2.0, 0.0] || on_media == [0.0, 2.0], "a small room is together: {on_media:?}");
    // One that doesn't understand a redirect speaks through the gateway.
    let ticket = cluster.nodes[0].ticket("r", "cyd", Role::Listener)?;
    let mut cyd = Signalling::connect(&ticket.server).await?;
    let welcome = cyd.join(&ticket.token, None).await?;
    assert_eq!(welcome.participants.len(), 3);
    cyd.request(Request::RaiseHand { raised: true }).await?;
    let raised = ada.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantUpdated { participant } => Some(participant.hand_raised),
        _ => None,
    });
    assert!(raised.await?);
    // The gateway dies: whoever was sent on does not notice, and who spoke through it comes back through another.
    cluster.nodes[0].kill()?;
    let mut again = Signalling::connect(&cluster.nodes[1].url()?).await?;
    let resumed = again.resume(&welcome.session.id, &welcome.session.secret).await?;
    assert_eq!(resumed.participant, "cyd");
    assert_settles_on(&mut ben, [1]).await;
    ada.request(Request::Ping).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_passed_on_by_a_node_that_stops_is_told_and_comes_back_by_another() -> anyhow::Result<()> {
    let mut cluster = Cluster { nodes: Vec::new() };
    cluster.add(&["--role", "gateway", "--shutdown-ms", "1500"])?;
    cluster.add(&MEDIA)?;
    cluster.add(&MEDIA)?;
    cluster.wait_whole().await?;
    let ticket = cluster.nodes[0].ticket("r", "ada", Role::Speaker)?;
    let mut ada = Signalling::connect(&ticket.server).await?;
    let session = ada.join(&ticket.token, None).await?.session;
    let media = [format!("http://{}", cluster.nodes[1].http), format!("http://{}", cluster.nodes[2].http)];
    cluster.nodes[0].signal("TERM")?;
    let (deadline_ms, nodes) = ada
        .wait_for(SOON, |message| match message {
            ServerMessage::Closing { deadline_ms, nodes } => Some((*deadline_ms, nodes.clone())),
            _ => None,
        })
        .await?;
    assert!(deadline_ms > 500 && deadline_ms <= 1500, "{deadline_ms}");
    assert_eq!(nodes, media);
    // Until then it goes on.
    ada.request(Request::RaiseHand { raised: true }).await?;
    let end = ada.wait_for::<()>(SOON, |_| None).await.expect_err("the gateway is gone");
    assert!(matches!(end, SignallingError::Closed { code: Some(1001), .. }), "{end}");
    assert_eq!(cluster.nodes[0].exit_code(SOON).await?, 0);
    assert_eq!(resumed(&cluster.nodes[1], &session).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_gets_nobody_new() -> anyhow::Result<()> {
    let cluster = Cluster::start(2).await?;
    let staying = cluster.nodes[0].join("r", "ada", Role::Speaker).await?;
    let (on, other) = match cluster.nodes[0].metric("tercet_participants", "").await? {
        1.0 => (&cluster.nodes[0], &cluster.nodes[1]),
        _ => (&cluster.nodes[1], &cluster.nodes[0]),
    };
    on.signal("TERM")?;
    // The other is told within a moment; the one that stops knows at once.
    for server in [on, other] {
        let _ben = server.join("r", &format!("ben-{}", server.pid()), Role::Speaker).await?;
        assert_eq!(on.metric("tercet_participants", "").await?, 1.0);
    }
    drop(staying);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_forged_datagrams_get_nowhere() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &MEDIA).await?;
    let first = seed(&cluster.nodes[0])?;
    let mut stranger = Server::start_with(&[
        "--cluster-secret",
        "another-secret-that-is-just-as-long-as-it",
        "--node-id",
        "9",
        "--cluster-udp",
        "127.0.0.1:0",
        "--seed",
        &first,
        "--role",
        "media",
    ])?;
    let spoofer = UdpSocket::bind("127.0.0.1:0")?;
    for kind in 0..=255u8 {
        for length in [0, 1, 5, 12, 13, 40, 100, 1400] {
            let mut datagram = vec![kind; length];
            if let Some(first) = datagram.first_mut() {
                *first = kind % 8;
            }
            spoofer.send_to(&datagram, first.as_str())?;
        }
    }
    let mut ada = cluster.nodes[0].join("r", "ada", Role::Speaker).await?;
    let ben = speaker(&cluster.nodes[1], 2).await?;
    let eve = stranger.join("r", "eve", Role::Speaker).await?;
    eve.speak(Voice::new(9, -10)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_settles_on(&mut ada, [2]).await;
    for node in &cluster.nodes {
        wait_for_metric(node, "tercet_cluster_nodes", "", 2.0).await?;
    }
    assert_eq!(stranger.metric("tercet_cluster_nodes", "").await?, 1.0);
    assert!(cluster.nodes[0].metric("tercet_cluster_forged_total", "").await? > 1000.0);
    assert_eq!(stranger.get("/readyz").await?.0, 503, "it has yet to find the cluster");
    assert_eq!(cluster.nodes[0].get("/readyz").await?.0, 200);
    assert!(stranger.is_running());
    drop(ben);
    Ok(())
}

/// Waits until a log has such a line; returns it.
async fn logged(log: &NamedTempFile, wanted: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let text = std::fs::read_to_string(log.path())?;
        if let Some(line) = text.lines().find(|line| line.contains(wanted)) {
            return Ok(line.to_owned());
        }
        anyhow::ensure!(Instant::now() < deadline, "no {wanted:?} in:\n{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_seed_answers_says_so_once_and_when_one_does() -> anyhow::Result<()> {
    let log = NamedTempFile::new()?;
    let place = UdpSocket::bind("127.0.0.2:0")?;
    let address = place.local_addr()?.to_string();
    let mut command = tercet_tests::server_command()?;
    command.stderr(log.reopen()?);
    let udp = ["--cluster-udp", "127.0.0.2:0", "--node-id", "2", "--seed", &address, "--log", "info"];
    let _late = Server::start_as(command, &[&["--cluster-secret", CLUSTER_SECRET], &udp[..]].concat())?;
    let warning = logged(&log, "is the secret the same").await?;
    assert!(warning.contains("WARN") && warning.contains(&address), "{warning}");
    drop(place);
    let _seed = start_node(1, None, &["--cluster-udp", &address])?;
    assert!(logged(&log, "a seed has answered").await?.contains("INFO"));
    assert_eq!(std::fs::read_to_string(log.path())?.matches("is the secret the same").count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_one_id_ends_and_says_why() -> anyhow::Result<()> {
    let mut cluster = Cluster::start_with(2, &MEDIA).await?;
    let first = seed(&cluster.nodes[0])?;
    let mut second = start_node(2, Some(&first), &MEDIA)?;
    assert_eq!(second.exit_code(SOON).await?, 78);
    assert!(cluster.nodes.iter_mut().all(Server::is_running));
    cluster.wait_whole().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_it_sees_the_cluster_and_nobody_else_does() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(2, &MEDIA).await?;
    let _ada = speaker(&cluster.nodes[0], 1).await?;
    let _ben = speaker(&cluster.nodes[1], 2).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let node = &cluster.nodes[0];
    assert_eq!(node.get("/v1/cluster").await?.0, 401);
    let token = Claims::new("r", "ada", Role::Moderator).sign(SECRET.as_bytes())?;
    assert_eq!(node.get_as("/v1/cluster", Some(&token)).await?.0, 403);
    let minted = tercet_tests::server_command()?
        .args(["token", "--admin", "--identity", "ops", "--secret", SECRET])
        .output()?;
    let token = String::from_utf8(minted.stdout)?;
    let (status, body) = node.get_as("/v1/cluster", Some(token.trim())).await?;
    assert_eq!(status, 200, "{body}");
    let view: serde_json::Value = serde_json::from_str(&body)?;
    assert_eq!(view["node"], "0.1");
    assert_eq!(view["nodes"].as_array().map(Vec::len), Some(2));
    let link = view["links"].as_array().and_then(|links| links.iter().find(|link| link["from"] == "0.1"));
    let rtt = link.and_then(|link| link["rtt_ms"].as_f64()).context("the link was measured")?;
    assert!(rtt > 0.0 && rtt < 50.0, "{rtt}");
    assert!(
        view["routes"].as_array().is_some_and(|routes| routes.iter().any(|r| r["to"] == "0.2")),
        "{body}"
    );
    let room = &view["rooms"][0];
    assert_eq!((&room["room"], &room["participants"], &room["tracks"]), (&"r".into(), &2.into(), &2.into()));
    assert_eq!(room["nodes"], serde_json::json!(["0.1", "0.2"]));
    let (_, metrics) = node.get("/metrics").await?;
    let names = metrics.lines().filter_map(|line| line.split(['{', ' ']).next());
    for name in names.filter(|name| name.starts_with("tercet_cluster_")) {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    // An admin's token is no ticket.
    let mut socket = Signalling::connect(&node.url()?).await?;
    assert!(socket.join(token.trim(), None).await.is_err());
    Ok(())
}
