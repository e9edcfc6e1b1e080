//! Tokens, versions, first messages and full rooms.

use tercet_loadtest::Signalling;
use tercet_loadtest::token::Claims;
use tercet_protocol::{ErrorCode, MESSAGE_BYTES_MAX, Request, Role, ServerMessage, VERSION};
use tercet_tests::{SECRET, SOON, Server};
use tokio::time::timeout;

use crate::{
    closed_with, join_message, joined, next_error, participants, refusal, refused_at_the_door, token,
    wait_for_participants,
};

/// `{"alg":"HS256"}`, `{"sub":"ada","role":"speaker","exp":4102444800}`, signed with [`SECRET`].
const TOKEN_WITHOUT_ROOM: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJzdWIiOiJhZGEiLCJyb2xlIjoic3BlYWtlciIsImV4cCI6NDEwMjQ0NDgwMH0.\
    59TN9WrV-EwWhUvND0waUb3ptdiucGAWXeyvQ9AiM6o";

/// `{"alg":"none","typ":"JWT"}` (RFC 7519, section 6).
const HEADER_ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

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
    let join = Request::Join {
        version: VERSION,
        token: token("elsewhere", "ben")?,
        name: None,
        may_redirect: false,
    };
    let resume = Request::Resume {
        version: VERSION,
        session: welcome.session.id.clone(),
        secret: welcome.session.secret.clone(),
        may_redirect: false,
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
