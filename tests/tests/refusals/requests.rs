//! Requests of those who are in: offers, rights, secrets, rates, silence.

use std::time::{Duration, Instant};

use tercet_loadtest::{Peer, PeerOptions, Signalling, SignallingError};
use tercet_protocol::{ErrorCode, LeaveReason, Request, Role, ServerMessage, Standing, TrackOrigin, VERSION};
use tercet_tests::{SOON, Server};
use tokio::time::timeout;

use crate::{
    close_code, closed_with, config_file, joined, next_error, participants, path, refusal,
    refused_at_the_door, wait_for_participants,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_cannot_be_used_leaves_the_session_to_a_right_one() -> anyhow::Result<()> {
    let server = Server::start()?;
    let ticket = server.ticket("r", "ada", Role::Speaker)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    socket.join(&ticket.token, None).await?;
    let mut peer = Peer::new(Instant::now(), "127.0.0.1:9".parse()?, PeerOptions::default())?;
    let good = peer.offer(3);
    let lines = |kept: &dyn Fn(&str) -> bool| -> String {
        good.lines().filter(|line| kept(line)).map(|line| format!("{line}\r\n")).collect()
    };
    let cases = [
        (String::new(), ErrorCode::BadSdp),
        ("garbage".to_owned(), ErrorCode::BadSdp),
        ("v=0\r\n".to_owned(), ErrorCode::BadSdp),
        ("\0".repeat(1_000), ErrorCode::BadSdp),
        ("m=".repeat(20_000), ErrorCode::BadSdp),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(1_500), ErrorCode::BadSdp),
        (good.clone() + &audio_lines(100), ErrorCode::BadSdp),
        (good[..good.len() / 2].to_owned(), ErrorCode::BadSdp),
        (lines(&|line| !line.starts_with("a=ice-")), ErrorCode::BadSdp),
        (lines(&|line| !line.starts_with("a=fingerprint")), ErrorCode::BadSdp),
        (good.replace("a=mid:", "a=mid:same-"), ErrorCode::BadSdp),
        (good.replace("sha-256 ", "sha-256 zz:"), ErrorCode::BadSdp),
        (
            good.replace("111 opus/48000/2", "111 PCMU/8000").replace("a=fmtp:111", "a=x-fmtp:111"),
            ErrorCode::UnsupportedCodec,
        ),
    ];
    let mut answered = Vec::new();
    for (number, (sdp, code)) in cases.into_iter().enumerate() {
        match socket.request(Request::Offer { sdp, fresh: true }).await {
            Err(SignallingError::Refused(error)) => {
                assert_eq!((error.code, error.fatal), (code, false), "case {number}: {}", error.message);
                // A sentence of ours, not what a parser says of its pointers.
                assert!(!error.message.contains('\n') && !error.message.contains("0x"), "{}", error.message);
            }
            // Some of these are only odd.
            Ok(_) => answered.push(number),
            Err(other) => return Err(other.into()),
        }
    }
    assert!(answered.is_empty(), "answered: {answered:?}");
    socket.offer(good, true).await?;
    assert_eq!(server.metric("tercet_peer_panics_total", "").await?, 0.0);
    server.assert_serves().await
}

fn audio_lines(count: usize) -> String {
    let line = |n: usize| {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:extra{n}\r\na=recvonly\r\n\
             a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
        )
    };
    (0..count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_moderators_moderate_and_only_those_who_are_there() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut guest = joined(&server, "r", "guest", Role::Speaker).await?;
    let mut moderator = joined(&server, "r", "moderator", Role::Moderator).await?;
    let _elsewhere = joined(&server, "s", "elsewhere", Role::Speaker).await?;
    let all = |participant: &str| {
        let participant = participant.to_owned();
        [
            Request::MuteParticipant { participant: participant.clone(), track: TrackOrigin::Microphone },
            Request::MuteParticipant { participant: participant.clone(), track: TrackOrigin::Screen },
            Request::LowerHand { participant: participant.clone() },
            Request::SetStanding { participant: participant.clone(), standing: Standing::Pinned },
            Request::SetRole { participant: participant.clone(), role: Role::Moderator },
            Request::RemoveParticipant { participant },
        ]
    };
    for request in all("moderator").into_iter().chain(all("guest")).chain(all("nobody")) {
        let error = refusal(&mut guest, request).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::Forbidden, false));
    }
    for request in all("nobody").into_iter().chain(all("elsewhere")).chain(all("")) {
        let error = refusal(&mut moderator, request).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::NoSuchParticipant, false));
    }
    assert_eq!(participants(&server).await?, 3.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_by_its_latest_secret_only() -> anyhow::Result<()> {
    let server = Server::start()?;
    let ticket = server.ticket("r", "ada", Role::Speaker)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    let session = socket.join(&ticket.token, None).await?.session;
    let resume = |session: &str, secret: &str| {
        serde_json::json!({"type": "resume", "id": 7, "version": VERSION, "session": session, "secret": secret})
            .to_string()
    };
    let unknown = "0".repeat(32);
    let longer = format!("{}0", session.id);
    let cases = [
        (session.id.as_str(), ""),
        (&session.id, "wrong"),
        (&session.id, &session.secret[1..]),
        (&unknown, &session.secret),
        (&longer, &session.secret),
        ("not hexadecimal", &session.secret),
        ("+0000000000000000000000000000000", &session.secret),
        ("", &session.secret),
    ];
    for (id, secret) in cases {
        let error = refused_at_the_door(&server, &resume(id, secret), ErrorCode::NoSuchSession).await?;
        assert_eq!(error.re, Some(7));
        assert!(!error.message.contains(&session.secret));
    }
    let mut resumed = Signalling::connect(&ticket.server).await?;
    resumed.resume(&session.id, &session.secret).await?;
    // The reply has arrived, which the next message shows.
    assert!(matches!(resumed.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    let again = resume(&session.id, &session.secret);
    refused_at_the_door(&server, &again, ErrorCode::NoSuchSession).await?;
    assert!(matches!(resumed.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_replaced_speaks_for_nobody() -> anyhow::Result<()> {
    let server = Server::start()?;
    let ticket = server.ticket("r", "ada", Role::Moderator)?;
    let mut former = Signalling::connect(&ticket.server).await?;
    let session = former.join(&ticket.token, None).await?.session;
    let _ben = joined(&server, "r", "ben", Role::Speaker).await?;
    let mut resumed = Signalling::connect(&ticket.server).await?;
    resumed.resume(&session.id, &session.secret).await?;
    // The server closes the socket, so these may not even be sent.
    let remove = Request::RemoveParticipant { participant: "ben".into() };
    for request in [remove, Request::Leave] {
        let _ = former.send(request).await;
    }
    assert_eq!(close_code(&mut former).await?, Some(1000));
    assert!(matches!(resumed.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    assert_eq!(participants(&server).await?, 2.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_refused_and_far_too_many_end_the_socket() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut socket = joined(&server, "r", "ada", Role::Speaker).await?;
    let mut bystander = joined(&server, "r", "ben", Role::Speaker).await?;
    for id in 0..160 {
        socket.send_text(serde_json::json!({"type": "ping", "id": id}).to_string()).await?;
    }
    let (mut pongs, mut limited) = (0, Vec::new());
    while pongs + limited.len() < 160 {
        match timeout(SOON, socket.next()).await?? {
            ServerMessage::Pong { .. } => pongs += 1,
            ServerMessage::Error(error) => {
                assert_eq!((error.code, error.fatal), (ErrorCode::RateLimited, false));
                limited.push(error.re);
            }
            _ => {}
        }
    }
    assert!(pongs >= 100 && limited.len() >= 20, "{pongs} pongs, {} refusals", limited.len());
    assert!(
        limited.iter().all(|re| re.is_some_and(|id| id >= 100)),
        "a refusal names its request: {limited:?}"
    );
    assert!(matches!(bystander.request(Request::Ping).await?, ServerMessage::Pong { .. }));

    for _ in 0..3_000 {
        if socket.send_text(r#"{"type":"ping"}"#.to_owned()).await.is_err() {
            break;
        }
    }
    loop {
        let error = next_error(&mut socket).await?;
        assert_eq!(error.code, ErrorCode::RateLimited);
        if error.fatal {
            break;
        }
    }
    assert!(matches!(bystander.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed_with_the_reason() -> anyhow::Result<()> {
    let config = config_file("[session]\njoin_ms = 300\nidle_ms = 700\nresume_ms = 300\n")?;
    let server = Server::start_with(&["--config", path(&config)?])?;
    let mut stranger = Signalling::connect(&server.url()?).await?;
    let begin = Instant::now();
    closed_with(&mut stranger, ErrorCode::IdleTimeout).await?;
    assert!(begin.elapsed() >= Duration::from_millis(250));

    let mut client = joined(&server, "r", "ada", Role::Speaker).await?;
    let mut witness = joined(&server, "r", "ben", Role::Speaker).await?;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.request(Request::Ping).await?;
        witness.request(Request::Ping).await?;
    }
    let begin = Instant::now();
    let (closed, left) = tokio::join!(closed_with(&mut client, ErrorCode::IdleTimeout), async {
        loop {
            witness.request(Request::Ping).await?;
            let left = witness.wait_for(Duration::from_millis(300), |message| match message {
                ServerMessage::ParticipantLeft { participant, reason } if participant == "ada" => {
                    Some(*reason)
                }
                _ => None,
            });
            match left.await {
                Err(SignallingError::TimedOut(_)) if begin.elapsed() < SOON => {}
                result => return result,
            }
        }
    });
    let error = closed?;
    assert!(error.message.contains("ping"), "{} says what to do", error.message);
    assert!(begin.elapsed() >= Duration::from_millis(600));
    assert_eq!(left?, LeaveReason::TimedOut);
    drop(witness);
    wait_for_participants(&server, 0.0).await?;
    server.assert_serves().await
}
