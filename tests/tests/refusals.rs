//! Bad input of clients and of operators: whatever is refused is refused with a code and a sentence,
//! never by a silent close, and the server goes on serving.

use std::io::Write;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use tercet_loadtest::token::{Claims, Grants};
use tercet_loadtest::{Channel, Client, Peer, PeerOptions, Signalling, SignallingError};
use tercet_protocol::{
    DATA_BYTES_MAX, DataFrameIn, ErrorCode, LeaveReason, MESSAGE_BYTES_MAX, ProtocolError, Request, Role,
    ServerMessage, VERSION,
};
use tercet_tests::{SECRET, SOON, Server, server_command};
use tokio::time::timeout;

/// RFC 6455, section 7.4.1: the other side broke a rule.
const CLOSE_POLICY: u16 = 1008;

/// `{"alg":"HS256"}`, `{"sub":"ada","role":"speaker","exp":4102444800}`, signed with [`SECRET`].
const TOKEN_WITHOUT_ROOM: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJhZGEiLCJyb2xlIjoic3BlYWtlciIsImV4cCI6NDEwMjQ0NDgwMH0.\
    59TN9WrV-EwWhUvND0waUb3ptdiucGAWXeyvQ9AiM6o";

/// `{"alg":"none","typ":"JWT"}` (RFC 7519, section 6).
const HEADER_ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

async fn next_error(socket: &mut Signalling) -> anyhow::Result<ProtocolError> {
    let error = socket.wait_for(SOON, |message| match message {
        ServerMessage::Error(error) => Some(error.clone()),
        _ => None,
    });
    let error = error.await?;
    assert!(error.message.contains(' '), "{:?} is no sentence", error.message);
    Ok(error)
}

/// Waits for an error that ends the socket, and for the end.
async fn closed_with(socket: &mut Signalling, code: ErrorCode) -> anyhow::Result<ProtocolError> {
    let error = next_error(socket).await?;
    assert_eq!((error.code, error.fatal), (code, true), "{}", error.message);
    assert_eq!(close_code(socket).await?, Some(CLOSE_POLICY));
    Ok(error)
}

/// Reads on to the end of the socket.
async fn close_code(socket: &mut Signalling) -> anyhow::Result<Option<u16>> {
    loop {
        match timeout(SOON, socket.next()).await? {
            Ok(_) => {}
            Err(SignallingError::Closed { code, .. }) => return Ok(code),
            Err(other) => return Err(other.into()),
        }
    }
}

/// Sends a first message that has to be refused.
async fn refused_at_the_door(server: &Server, first: &str, code: ErrorCode) -> anyhow::Result<ProtocolError> {
    let mut socket = Signalling::connect(&server.url()?).await?;
    socket.send_text(first.to_owned()).await?;
    closed_with(&mut socket, code).await
}

fn join_message(version: u32, token: &str) -> String {
    serde_json::json!({"type": "join", "id": 7, "version": version, "token": token}).to_string()
}

fn token(room: &str, identity: &str) -> anyhow::Result<String> {
    Ok(Claims::new(room, identity, Role::Speaker).sign(SECRET.as_bytes())?)
}

/// What a refused request was refused with.
async fn refusal(socket: &mut Signalling, request: Request) -> anyhow::Result<ProtocolError> {
    match socket.request(request).await {
        Err(SignallingError::Refused(error)) => {
            assert!(error.message.contains(' '), "{:?} is no sentence", error.message);
            Ok(error)
        }
        other => anyhow::bail!("{other:?} in place of a refusal"),
    }
}

/// A session without a peer connection.
async fn joined(server: &Server, room: &str, identity: &str, role: Role) -> anyhow::Result<Signalling> {
    let ticket = server.ticket(room, identity, role)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    socket.join(&ticket.token, None).await?;
    Ok(socket)
}

fn config_file(text: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn path(file: &NamedTempFile) -> anyhow::Result<&str> {
    file.path().to_str().ok_or_else(|| anyhow::anyhow!("the temporary folder is not UTF-8"))
}

async fn participants(server: &Server) -> anyhow::Result<f64> {
    server.metric("tercet_participants", "").await
}

/// The session count is told by the control plane a moment after the fact.
async fn wait_for_participants(server: &Server, count: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while participants(server).await? != count {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} participants, not {count}",
            participants(server).await?
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_opens_nothing_is_refused_with_the_reason() -> anyhow::Result<()> {
    let server = Server::start()?;
    let claims = Claims::new("r", "ada", Role::Moderator);
    let good = claims.sign(SECRET.as_bytes())?;
    let (_, rest) = good.split_once('.').expect("a token has three parts");
    let (payload, signature) = rest.split_once('.').expect("a token has three parts");
    let signed = |claims: Claims| claims.sign(SECRET.as_bytes());
    let in_an_hour = claims.exp;
    let cases = [
        ("", ErrorCode::Unauthorized, "cannot be read"),
        ("garbage", ErrorCode::Unauthorized, "cannot be read"),
        ("a.b.c", ErrorCode::Unauthorized, "cannot be read"),
        (&"x".repeat(5_000), ErrorCode::Unauthorized, "longer than"),
        (&claims.sign(b"another-secret-that-is-long-enough-too")?, ErrorCode::Unauthorized, "not valid"),
        (&good[..good.len() - 4], ErrorCode::Unauthorized, "not valid"),
        (&format!("{HEADER_ALG_NONE}.{payload}."), ErrorCode::Unauthorized, "HS256"),
        (&format!("{HEADER_ALG_NONE}.{payload}.{signature}"), ErrorCode::Unauthorized, "HS256"),
        (TOKEN_WITHOUT_ROOM, ErrorCode::Unauthorized, "room"),
        (&signed(Claims { room: String::new(), ..claims.clone() })?, ErrorCode::Unauthorized, "room"),
        (&signed(Claims { sub: "a\nb".into(), ..claims.clone() })?, ErrorCode::Unauthorized, "sub"),
        (&signed(Claims { sub: "x".repeat(129), ..claims.clone() })?, ErrorCode::Unauthorized, "sub"),
        (&signed(Claims { exp: 1_000_000_000, ..claims.clone() })?, ErrorCode::TokenExpired, "expired"),
        (&signed(Claims { nbf: Some(in_an_hour), ..claims.clone() })?, ErrorCode::Unauthorized, "not valid"),
    ];
    for (token, code, words) in cases {
        let error = refused_at_the_door(&server, &join_message(VERSION, token), code).await?;
        assert_eq!(error.re, Some(7));
        assert!(error.message.contains(words), "{token:.60}: {:?} says nothing of {words:?}", error.message);
    }
    assert_eq!(participants(&server).await?, 0.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_refused_by_the_number_that_is_spoken() -> anyhow::Result<()> {
    let server = Server::start()?;
    let token = token("r", "ada")?;
    for version in [0, 2, u32::MAX] {
        let first = join_message(version, &token);
        let error = refused_at_the_door(&server, &first, ErrorCode::UnsupportedVersion).await?;
        assert!(error.message.contains(&format!("version {VERSION}")), "{}", error.message);
    }
    assert_eq!(participants(&server).await?, 0.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_has_to_enter() -> anyhow::Result<()> {
    let server = Server::start()?;
    let requests = [
        serde_json::json!({"type": "ping", "id": 7}),
        serde_json::json!({"type": "leave", "id": 7}),
        serde_json::json!({"type": "offer", "id": 7, "sdp": "v=0"}),
        serde_json::json!({"type": "set_role", "id": 7, "participant": "ada", "role": "moderator"}),
    ];
    for request in requests {
        let error = refused_at_the_door(&server, &request.to_string(), ErrorCode::NotJoined).await?;
        assert_eq!(error.re, Some(7));
        assert!(error.message.contains("join"), "{}", error.message);
    }
    server.assert_serves().await
}

/// Texts that are no request.
fn no_requests() -> Vec<String> {
    let texts = [
        "",
        "{",
        "null",
        "[]",
        "42",
        "\"join\"",
        "{}",
        r#"{"type":"surprise"}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"join","version":"1","token":"x"}"#,
        r#"{"type":"join","version":-1,"token":"x"}"#,
        r#"{"type":"join","version":1e99,"token":"x"}"#,
        r#"{"type":"ping","id":-1}"#,
        r#"{"type":"ping","id":4294967296}"#,
        r#"{"type":["ping"]}"#,
        r#"{"type":"mute","muted":"yes"}"#,
        r#"{"type":"set_role","participant":"x","role":"emperor"}"#,
        "\u{feff}{\"type\":\"ping\"}",
        "{\"type\":\"ping\"}{\"type\":\"ping\"}",
    ];
    let mut texts: Vec<String> = texts.map(str::to_owned).into();
    // A parser that recurses has to stop before its stack does.
    texts.push("[".repeat(60_000));
    texts.push(format!("{{\"type\":\"ping\",\"x\":{}", "{\"x\":".repeat(10_000)));
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_ends_a_socket_before_it_joined_and_only_itself_after() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut client = joined(&server, "r", "ada", Role::Speaker).await?;
    for text in no_requests() {
        refused_at_the_door(&server, &text, ErrorCode::BadMessage).await?;
        client.send_text(text.clone()).await?;
        let error = next_error(&mut client).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::BadMessage, false), "{text:.60}");
    }
    client.send_text(r#"{"type":"surprise","id":99}"#.to_owned()).await?;
    assert_eq!(next_error(&mut client).await?.re, Some(99));
    assert!(matches!(client.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    assert_eq!(participants(&server).await?, 1.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_largest_size_is_read_and_a_larger_one_is_refused_with_a_last_word()
-> anyhow::Result<()> {
    let server = Server::start()?;
    let filled = |length: usize| {
        let frame = r#"{"type":"ping","id":1,"x":""}"#;
        frame.replace("\"\"}", &format!("{:?}}}", "y".repeat(length - frame.len())))
    };
    let mut client = joined(&server, "r", "ada", Role::Speaker).await?;
    client.send_text(filled(MESSAGE_BYTES_MAX)).await?;
    let pong = client.wait_for(SOON, |message| matches!(message, ServerMessage::Pong { .. }).then_some(()));
    pong.await?;
    // Sizes that the kernel holds back for a server that reads no further.
    for length in [MESSAGE_BYTES_MAX + 1, 2 * MESSAGE_BYTES_MAX, 100 * MESSAGE_BYTES_MAX] {
        for has_joined in [false, true] {
            let mut socket = if has_joined {
                joined(&server, "r", "ada", Role::Speaker).await?
            } else {
                Signalling::connect(&server.url()?).await?
            };
            // The server may close before it has read all of it.
            let _ = timeout(SOON, socket.send_text(filled(length))).await?;
            let error = next_error(&mut socket).await;
            let error = error.map_err(|error| anyhow::anyhow!("{length} bytes: no last word but {error}"))?;
            assert_eq!((error.code, error.fatal), (ErrorCode::BadMessage, true));
            assert!(error.message.contains(&MESSAGE_BYTES_MAX.to_string()), "{}", error.message);
        }
    }
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_frame_is_refused_with_a_last_word() -> anyhow::Result<()> {
    let server = Server::start()?;
    let stranger = Signalling::connect(&server.url()?).await?;
    let participant = joined(&server, "r", "ada", Role::Speaker).await?;
    for mut socket in [stranger, participant] {
        socket.send_binary(vec![0xff; 100]).await?;
        let error = closed_with(&mut socket, ErrorCode::BadMessage).await?;
        assert!(error.message.contains("text"), "{}", error.message);
    }
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_join_or_resume_is_refused_and_the_session_goes_on() -> anyhow::Result<()> {
    let server = Server::start()?;
    let ticket = server.ticket("r", "ada", Role::Speaker)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    let welcome = socket.join(&ticket.token, None).await?;
    let join = Request::Join { version: VERSION, token: token("elsewhere", "ben")?, name: None };
    let resume = Request::Resume {
        version: VERSION,
        session: welcome.session.id.clone(),
        secret: welcome.session.secret.clone(),
    };
    for request in [join, resume] {
        let error = refusal(&mut socket, request).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::AlreadyJoined, false));
    }
    assert!(matches!(socket.request(Request::Ping).await?, ServerMessage::Pong { .. }));
    assert_eq!((participants(&server).await?, server.metric("tercet_rooms", "").await?), (1.0, 1.0));
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_room_takes_one_more_only_when_somebody_has_left() -> anyhow::Result<()> {
    let server = Server::start_with(&["--participants-max", "2"])?;
    let mut ada = joined(&server, "r", "ada", Role::Speaker).await?;
    let _ben = joined(&server, "r", "ben", Role::Speaker).await?;
    let third = join_message(VERSION, &token("r", "cyd")?);
    refused_at_the_door(&server, &third, ErrorCode::RoomFull).await?;
    assert_eq!(participants(&server).await?, 2.0);
    // A second session of the same participant needs no second place.
    let _ben = joined(&server, "r", "ben", Role::Speaker).await?;
    ada.request(Request::Leave).await?;
    let _cyd = joined(&server, "r", "cyd", Role::Speaker).await?;
    assert_eq!(participants(&server).await?, 2.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_takes_one_more_only_when_somebody_has_left() -> anyhow::Result<()> {
    let server = Server::start_with(&["--sessions-max", "2"])?;
    let mut ada = joined(&server, "r", "ada", Role::Speaker).await?;
    let mut ben = joined(&server, "s", "ben", Role::Speaker).await?;
    let third = join_message(VERSION, &token("t", "cyd")?);
    refused_at_the_door(&server, &third, ErrorCode::Overloaded).await?;
    assert_eq!(participants(&server).await?, 2.0);
    ada.request(Request::Leave).await?;
    ben.request(Request::Leave).await?;
    wait_for_participants(&server, 0.0).await?;
    server.assert_serves().await
}

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
                assert_eq!((error.code, error.fatal), (code, false), "case {number}: {}", error.message)
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
            Request::MuteParticipant { participant: participant.clone() },
            Request::LowerHand { participant: participant.clone() },
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

/// A pair with open data channels: one who sends, one who looks on.
async fn data_pair(server: &Server, grants: Option<Grants>) -> anyhow::Result<(Client, Client)> {
    let mut ticket = server.ticket("r", "ada", Role::Speaker)?;
    ticket.token = Claims { grants, ..Claims::new("r", "ada", Role::Speaker) }.sign(SECRET.as_bytes())?;
    let (mut ada, mut ben) = (server.join_with(ticket).await?, server.join("r", "ben", Role::Speaker).await?);
    ada.wait_data_channels(SOON).await?;
    ben.wait_data_channels(SOON).await?;
    Ok((ada, ben))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_frame_that_breaks_a_rule_is_refused_and_not_passed_on() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, None).await?;
    let frame_of = |bytes: usize| format!("{{\"data\":\"{}\"}}", "x".repeat(bytes - r#"{"data":""}"#.len()));
    let wrong = [
        frame_of(DATA_BYTES_MAX + 1),
        frame_of(60_000),
        "not JSON".to_owned(),
        r#"{"to":["ben"]}"#.to_owned(),
        r#"{"to":"ben","data":1}"#.to_owned(),
        "[]".to_owned(),
    ];
    for frame in wrong {
        let shown = format!("{frame:.40}");
        assert!(ada.send_data_text(Channel::Reliable, frame).await?, "{shown}: sent");
        let error = next_error(ada.signalling()).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::BadMessage, false), "{shown}");
    }
    // Frames to nobody, to oneself and to strangers go nowhere; one of the largest size passes.
    for to in [vec![], vec!["ada"; 1_000], vec!["nobody"]] {
        let to = Some(to.into_iter().map(str::to_owned).collect());
        ada.send_data(Channel::Reliable, &DataFrameIn { to, data: "lost".into() }).await?;
    }
    ada.send_data_text(Channel::Reliable, frame_of(DATA_BYTES_MAX)).await?;
    let received = ben.next_data(SOON).await?.frame()?;
    assert_eq!(
        (received.from.as_str(), received.data.as_str().map(str::len)),
        ("ada", Some(DATA_BYTES_MAX - 11))
    );
    assert!(server.metric("tercet_data_frames_dropped_total", "").await? >= 2.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn data_frames_beyond_the_rate_are_refused_and_the_others_arrive() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, None).await?;
    for number in 0..200 {
        ada.send_data(Channel::Reliable, &DataFrameIn { to: None, data: number.into() }).await?;
    }
    let error = next_error(ada.signalling()).await?;
    assert_eq!((error.code, error.fatal), (ErrorCode::RateLimited, false));
    let mut arrived = Vec::new();
    while let Ok(message) = ben.next_data(Duration::from_secs(1)).await {
        arrived.extend(message.frame()?.data.as_u64());
    }
    assert!((100..200).contains(&arrived.len()), "{} frames arrived", arrived.len());
    assert!(arrived.is_sorted());
    assert!(server.metric("tercet_data_frames_dropped_total", "").await? >= 1.0);
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_grant_sends_no_data() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut ada, mut ben) = data_pair(&server, Some(Grants { data: false })).await?;
    for channel in [Channel::Reliable, Channel::Lossy] {
        ada.send_data(channel, &DataFrameIn { to: None, data: "psst".into() }).await?;
        let error = next_error(ada.signalling()).await?;
        assert_eq!((error.code, error.fatal), (ErrorCode::Forbidden, false));
    }
    assert!(ben.next_data(Duration::from_millis(500)).await.is_err());
    ben.send_data(Channel::Reliable, &DataFrameIn { to: None, data: "hello".into() }).await?;
    assert_eq!(ada.next_data(SOON).await?.frame()?.data, "hello");
    server.assert_serves().await
}

fn code_and_message(body: &str) -> anyhow::Result<(String, String)> {
    let body: serde_json::Value = serde_json::from_str(body)?;
    let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Ok((field("code"), field("message")))
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_tokens_are_refused_where_they_are_off() -> anyhow::Result<()> {
    let off_by_secret = Server::start()?;
    let off_by_flag = Server::start_with(&["--demo=false"])?;
    for server in [&off_by_secret, &off_by_flag] {
        assert!(server.get("/v1/demo").await?.1.contains(r#""open":false"#));
        for body in [r#"{"room":"r","name":"Ada"}"#, "nonsense"] {
            let (status, body) = server.post("/v1/demo/token", body).await?;
            let (code, message) = code_and_message(&body)?;
            assert_eq!((status, code.as_str()), (403, "forbidden"));
            assert!(message.contains("tercet token"), "{message}");
        }
        server.assert_serves().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_for_a_demo_token_is_refused_with_the_reason() -> anyhow::Result<()> {
    let server = Server::start_with(&["--demo"])?;
    let long = "x".repeat(200);
    let cases = [
        ("".to_owned(), ""),
        ("nonsense".to_owned(), ""),
        ("{}".to_owned(), "room"),
        (r#"{"room":"r"}"#.to_owned(), "name"),
        (r#"{"room":"","name":"Ada"}"#.to_owned(), "room"),
        (r#"{"room":"a\nb","name":"Ada"}"#.to_owned(), "room"),
        (format!(r#"{{"room":"{long}","name":"Ada"}}"#), "room"),
        (r#"{"room":"r","name":" \t "}"#.to_owned(), "name"),
        (r#"{"room":"r","name":"Ada","role":"moderator"}"#.to_owned(), "role"),
        (r#"{"room":"r","name":"Ada","role":"emperor"}"#.to_owned(), "role"),
        (r#"{"room":7,"name":"Ada"}"#.to_owned(), "room"),
    ];
    for (body, words) in cases {
        let (status, answer) = server.post("/v1/demo/token", &body).await?;
        let (code, message) = code_and_message(&answer)?;
        assert_eq!((status, code.as_str()), (400, "bad_message"), "{body:.60}");
        assert!(message.contains(' ') && message.contains(words), "{body:.60}: {message:?}");
    }
    let (status, token) = server.post("/v1/demo/token", r#"{"room":"r","name":"Ada"}"#).await?;
    assert!(status == 200 && token.contains(r#""role":"moderator""#), "{token}");
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_told_apart() -> anyhow::Result<()> {
    let server = Server::start()?;
    for path in
        ["/nowhere", "/v1", "/v1/ws/x", "/sdk/nowhere.js", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"]
    {
        assert_eq!(server.get(path).await?.0, 404, "{path}");
    }
    for path in ["/metrics", "/healthz", "/v1/demo", "/v1/ws"] {
        assert_eq!(server.post(path, "{}").await?.0, 405, "{path}");
    }
    assert_eq!(server.get("/v1/demo/token").await?.0, 405);
    let (status, message) = server.get("/v1/ws").await?;
    assert!((400..500).contains(&status) && !message.is_empty(), "{status} {message:?}");
    server.assert_serves().await
}

/// Starts a server that has to refuse: its exit code and what it says.
fn refused_start(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = server_command()?;
    command.arg("serve").args(arguments).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success() && status.code().is_some(), "{arguments:?} started: {status}, {said}");
    assert!(stdout.is_empty(), "nothing is announced that isn't there");
    Ok(said)
}

#[test]
fn a_server_that_others_could_reach_does_not_start_without_a_secret() -> anyhow::Result<()> {
    let (http, media) = (["--http", "0.0.0.0:0"], ["--http", "127.0.0.1:0", "--media-udp", "0.0.0.0:0"]);
    for arguments in [&http[..], &media, &["--http", "[::]:0"], &["--public-ip", "203.0.113.7"]] {
        let said = refused_start(arguments, &[])?;
        assert!(said.starts_with("error: ") && said.contains("TERCET_SECRET"), "{said}");
    }
    let said = refused_start(&http, &[("TERCET_SECRET", "short")])?;
    assert!(said.contains("at least 32"), "{said}");
    let said = refused_start(&http, &[("TERCET_SECRET", "tercet-development-secret-known-to-everybody")])?;
    assert!(said.contains("everybody knows"), "{said}");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_by_name() -> anyhow::Result<()> {
    let cases = [
        ("htpp = '127.0.0.1:0'\n", "htpp"),
        ("[session]\nidle_s = 3\n", "idle_s"),
        ("[room]\nslots = 9\n", "room.slots"),
        ("[room]\nslots = 'three'\n", "invalid type"),
        ("[limits]\nsessions_max = 0\n", "limits.sessions_max"),
        ("[rooms.\"a\\nb\"]\nslots = 1\n", "rooms"),
        ("http = [\n", ":1:"),
    ];
    for (text, name) in cases {
        let file = config_file(text)?;
        let said = refused_start(&["--config", path(&file)?], &[])?;
        assert!(said.starts_with("error: ") && said.contains(name), "{text:?}: {said}");
    }
    let said = refused_start(&["--config", "/nowhere/tercet.toml"], &[])?;
    assert!(said.contains("/nowhere/tercet.toml"), "{said}");
    Ok(())
}

#[test]
fn an_unknown_variable_or_flag_is_refused_by_name() -> anyhow::Result<()> {
    let said = refused_start(&[], &[("TERCET_SECERT", "x")])?;
    assert!(said.contains("TERCET_SECERT") && said.contains("TERCET_SECRET"), "{said}");
    let said = refused_start(&["--htpp", "127.0.0.1:0"], &[])?;
    assert!(said.contains("--htpp"), "{said}");
    let said = refused_start(&[], &[("TERCET_WORKERS", "many")])?;
    assert!(said.contains("many"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (http, media) = (server.http.to_string(), server.media[0].to_string());
    let taken = [
        vec!["--http", &http, "--media-udp", "127.0.0.1:0"],
        vec!["--http", "127.0.0.1:0", "--workers", "1", "--media-udp", &media],
    ];
    for (arguments, address) in taken.into_iter().zip([&http, &media]) {
        let said = refused_start(&arguments, &[])?;
        assert!(said.contains(address.as_str()), "{said}");
    }
    server.assert_serves().await
}
