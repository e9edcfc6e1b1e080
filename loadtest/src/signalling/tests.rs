//! The client's end against a server that says what it is told to.

use tercet_protocol::{ErrorCode, LeaveReason, TrackOrigin};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

type ServerEnd = WebSocketStream<TcpStream>;

/// A connected client, and a server that does `script` with its end.
async fn connected<F>(script: impl FnOnce(ServerEnd) -> F) -> Signalling
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = ServerUrl::new(listener.local_addr().unwrap()).unwrap();
    let (client, server_end) = tokio::join!(Signalling::connect(&server), async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    });
    tokio::spawn(script(server_end));
    client.unwrap()
}

async fn tell(socket: &mut ServerEnd, message: &ServerMessage) {
    socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
}

async fn asked(socket: &mut ServerEnd) -> ClientMessage {
    let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn closing(deadline_ms: u64) -> ServerMessage {
    ServerMessage::Closing { deadline_ms, nodes: Vec::new() }
}

#[tokio::test]
async fn events_before_the_reply_are_kept_in_order() {
    let mut client = connected(async |mut socket| {
        let request = asked(&mut socket).await;
        tell(&mut socket, &closing(1)).await;
        tell(&mut socket, &closing(2)).await;
        tell(&mut socket, &ServerMessage::Pong { re: request.id }).await;
        tell(&mut socket, &closing(3)).await;
    })
    .await;
    client.record();
    let reply = client.request(Request::Ping).await.unwrap();
    assert_eq!(reply, ServerMessage::Pong { re: Some(1) });
    for deadline_ms in 1..=3 {
        assert_eq!(client.next().await.unwrap(), closing(deadline_ms));
    }
    let recorded = client.recorded();
    assert_eq!(recorded.len(), 5);
    assert_eq!(recorded[0].direction, Direction::ToServer);
    assert_eq!(recorded[0].text, r#"{"id":1,"type":"ping"}"#);
    assert_eq!(recorded[3].text, r#"{"type":"pong","re":1}"#);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_code() {
    let mut client = connected(async |mut socket| {
        let request = asked(&mut socket).await;
        let error = ProtocolError {
            re: request.id,
            code: ErrorCode::Forbidden,
            message: "no".to_owned(),
            fatal: false,
            retry_after_ms: None,
        };
        tell(&mut socket, &ServerMessage::Error(error)).await;
    })
    .await;
    let refused = client.request(Request::Mute { muted: true, track: TrackOrigin::Screen }).await;
    assert!(matches!(refused, Err(SignallingError::Refused(error)) if error.code == ErrorCode::Forbidden));
}

#[tokio::test]
async fn left_answers_a_leave() {
    let mut client = connected(async |mut socket| {
        asked(&mut socket).await;
        tell(&mut socket, &ServerMessage::Left { re: None, reason: LeaveReason::Left }).await;
    })
    .await;
    let reply = client.request(Request::Leave).await.unwrap();
    assert_eq!(reply, ServerMessage::Left { re: None, reason: LeaveReason::Left });
}

#[tokio::test]
async fn the_close_code_is_told() {
    let mut client = connected(async |mut socket| {
        let frame = CloseFrame { code: 1008.into(), reason: "policy".into() };
        socket.close(Some(frame)).await.unwrap();
    })
    .await;
    let closed = client.next().await;
    assert!(
        matches!(closed, Err(SignallingError::Closed { code: Some(1008), reason }) if reason == "policy")
    );
}

#[tokio::test]
async fn what_is_no_message_is_told_with_its_text() {
    let mut client = connected(async |mut socket| {
        socket.send(Message::text(r#"{"type":"weather"}"#)).await.unwrap();
    })
    .await;
    let malformed = client.next().await;
    assert!(
        matches!(malformed, Err(SignallingError::Malformed { text, .. }) if text == r#"{"type":"weather"}"#)
    );
}
