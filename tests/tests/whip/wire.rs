//! HTTP as bytes: what a client can send that no library would.

use std::time::Duration;

use anyhow::{Context, ensure};
use tercet_loadtest::token::Claims;
use tercet_protocol::Role;
use tercet_tests::{SECRET, SOON, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The room of the tests.
pub(crate) const ROOM: &str = "studio";

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The URL of the session that it tells of.
    pub(crate) fn session(&self) -> anyhow::Result<String> {
        Ok(self.header("location").with_context(|| format!("{self:?}"))?.to_owned())
    }

    pub(crate) fn etag(&self) -> anyhow::Result<String> {
        Ok(self.header("etag").with_context(|| format!("{self:?}"))?.to_owned())
    }
}

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Ask {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Ask {
        Ask { method, path: path.into(), headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn method(self, method: &'static str) -> Ask {
        Ask { method, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Ask {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Ask {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Ask {
        self.body = body.into();
        self
    }

    pub(crate) fn sdp(self, sdp: &str) -> Ask {
        self.header("content-type", "application/sdp").body(sdp)
    }

    pub(crate) fn fragment(self, fragment: &str) -> Ask {
        self.header("content-type", "application/trickle-ice-sdpfrag").body(fragment)
    }

    pub(crate) fn head(&self, server: &Server) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.path, server.http);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    pub(crate) async fn send(&self, server: &Server) -> anyhow::Result<Reply> {
        let mut stream = TcpStream::connect(server.http).await?;
        let head = self.head(server);
        let request =
            format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{}", self.body.len(), self.body);
        stream.write_all(request.as_bytes()).await?;
        read(&mut stream, SOON).await
    }
}

/// All that comes until the other side closes.
pub(crate) async fn read(stream: &mut TcpStream, within: Duration) -> anyhow::Result<Reply> {
    let mut bytes = Vec::new();
    // Whoever is refused before all was read may find the connection reset after the answer.
    let ended = timeout(within, stream.read_to_end(&mut bytes)).await.context("no answer in time")?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("{ended:?}: {text}"))?;
    let status = head.split(' ').nth(1).context("a status line")?.parse()?;
    ensure!(head.starts_with("HTTP/1.1 "), "{head}");
    Ok(Reply { status, head: head.to_owned(), body: body.to_owned() })
}

pub(crate) fn token(identity: &str, role: Role) -> anyhow::Result<String> {
    Ok(Claims::new(ROOM, identity, role).sign(SECRET.as_bytes())?)
}

/// An m-line of an offer.
pub(crate) fn line(kind: &str, mid: u8, format: &str, direction: &str) -> String {
    format!(
        "m={kind} 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefabcdefabcdefabcdef\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\na={direction}\r\n\
         a=rtcp-mux\r\na=rtcp-mux-only\r\na=rtpmap:111 {format}\r\n",
        ["AB"; 32].join(":")
    )
}

/// An offer of these lines.
pub(crate) fn offer(lines: &[String]) -> String {
    let mids: Vec<String> = (0..lines.len()).map(|mid| mid.to_string()).collect();
    let mids = mids.join(" ");
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n{}", lines.concat())
}

/// One audio track to publish.
pub(crate) fn published() -> String {
    offer(&[line("audio", 0, "opus/48000/2", "sendonly")])
}

/// One audio track to play.
pub(crate) fn played() -> String {
    offer(&[line("audio", 0, "opus/48000/2", "recvonly")])
}

/// A session of an encoder that never sends anything.
pub(crate) async fn publish(server: &Server, identity: &str) -> anyhow::Result<(Reply, String)> {
    let token = token(identity, Role::Speaker)?;
    let path = format!("/whip/{ROOM}");
    let reply = Ask::new("POST", path).token(&token).sdp(&published()).send(server).await?;
    ensure!(reply.status == 201, "{reply:?}");
    Ok((reply, token))
}
