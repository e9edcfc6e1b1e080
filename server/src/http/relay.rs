//! A request that another node serves: passed on with its body, and the answer back.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, LINK, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use axum::response::Response;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tercet_core::NodeId;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::Node;
use super::routing::{FORWARDED_FOR, PASSED_ON};

/// How long the other node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A node that is there answers within two round trips.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Another node, and where its HTTP is reached from here and from outside.
pub(super) struct Other<'a> {
    pub(super) node: NodeId,
    pub(super) inside: Option<SocketAddr>,
    pub(super) http: &'a str,
}

/// What is passed on.
pub(super) struct Posted<'a> {
    /// Path and query.
    pub(super) target: &'a Uri,
    pub(super) token: &'a str,
    /// Where it comes from: the other node counts it there.
    pub(super) source: IpAddr,
    pub(super) content_type: HeaderValue,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) body: &'a str,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It didn't get there: another node may be asked.
    Unreached,
    /// It may have been carried out.
    Silent,
}

/// Posts to another node. What it made is at a URL of its own, so that all that follows goes there.
pub(super) async fn post(
    node: &Node,
    other: &Other<'_>,
    posted: &Posted<'_>,
) -> Result<Response, Unanswered> {
    let began = Instant::now();
    let to = other.inside.ok_or(Unanswered::Unreached)?;
    let unanswered = match timeout(CONNECT_WITHIN, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => match timeout(ANSWER_WITHIN, post_on(stream, to, other.http, posted)).await {
            Ok(Some(response)) => return Ok(response),
            _ => Unanswered::Silent,
        },
        _ => Unanswered::Unreached,
    };
    if let Some(cluster) = &node.cluster {
        cluster.doubt(other.node, began).await;
    }
    debug!(node = %other.node, %to, ?unanswered, "another node's HTTP doesn't answer");
    Err(unanswered)
}

async fn post_on(stream: TcpStream, to: SocketAddr, http: &str, posted: &Posted<'_>) -> Option<Response> {
    let Posted { target, token, source, content_type, user_agent, body } = posted;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the answer, which nobody reads once the client is gone.
    tokio::spawn(connection);
    let path = target.path_and_query()?.as_str();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, to.to_string())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, content_type)
        .header(FORWARDED_FOR, source.to_string())
        .header(PASSED_ON, "1");
    if let Some(agent) = user_agent {
        request = request.header(USER_AGENT, agent);
    }
    let response = sender.send_request(request.body(Body::from((*body).to_owned())).ok()?).await.ok()?;
    let mut response = response.map(Body::new);
    for name in [LOCATION, LINK] {
        make_absolute(response.headers_mut(), &name, http);
    }
    Some(response)
}

/// Paths in a header's values are those of the other node.
fn make_absolute(headers: &mut HeaderMap, name: &HeaderName, http: &str) {
    let absolute = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        let absolute = match text.strip_prefix("</") {
            Some(rest) => format!("<{http}/{rest}"),
            None if text.starts_with('/') => format!("{http}{text}"),
            None => return None,
        };
        HeaderValue::from_str(&absolute).ok()
    };
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in values {
        headers.append(name, absolute(&value).unwrap_or(value));
    }
}
