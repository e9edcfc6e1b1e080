//! HTTP requests.

use std::time::Duration;

use anyhow::Context;
use tercet_loadtest::Signalling;
use tercet_protocol::Role;
use tercet_tests::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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
    server.assert_serves().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_who_have_a_demo_token_whoever_enters_first_moderates() -> anyhow::Result<()> {
    let server = Server::start_with(&["--demo"])?;
    let url = server.url()?;
    let mut tokens = Vec::new();
    for name in ["ada", "ben"] {
        tokens.push(tercet_loadtest::token::fetch(&url, "r", name, Role::Speaker).await?.token);
    }
    let mut entered = Vec::new();
    // In the other order than that of the tokens.
    for token in tokens.into_iter().rev() {
        let mut socket = Signalling::connect(&url).await?;
        let welcome = socket.join(&token, None).await?;
        let own = welcome.participants.iter().find(|p| p.id == welcome.participant);
        entered.push((own.map(|own| own.role), socket));
    }
    let roles: Vec<_> = entered.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, [Some(Role::Moderator), Some(Role::Speaker)]);
    Ok(())
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

/// Sends this much of a request, and waits for the server to close the connection.
async fn closed_after(server: &Server, head: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server.http).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut said = String::new();
    let closed = timeout(Duration::from_secs(30), stream.read_to_string(&mut said)).await;
    closed.with_context(|| format!("still open after {head:?} and {said:?}"))??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_whole_request_is_closed() -> anyhow::Result<()> {
    let server = Server::start()?;
    tokio::try_join!(
        closed_after(&server, ""),
        closed_after(&server, "GET /healthz HTTP/1.1\r\nHost: a\r\n"),
        closed_after(&server, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    )?;
    server.assert_serves().await
}
