//! Which node serves somebody, and how they get there: sent on, or passed on message by message.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures_util::{SinkExt, StreamExt};
use tercet_cluster::NodeInfo;
use tercet_core::{NodeId, SessionId};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};
use tracing::debug;

use super::Node;
use super::listener::Sender;
use crate::cluster::{Asking, ClusterCommand, Located, Placement, place};
use crate::config::ClusterRole;

/// RFC 7239 has a better one, which few proxies send.
pub(super) const FORWARDED_FOR: &str = "x-forwarded-for";

/// A node that passes a client on says so: the next one serves it, or refuses.
pub(super) const PASSED_ON: HeaderName = HeaderName::from_static("tercet-passed-on");

/// A node that is there answers within two round trips. One that doesn't is as good as gone.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What is known of a client before it says anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Where it is, for the choice of its zone: what it says itself is believed, and gets it nothing else.
    pub(super) address: Option<IpAddr>,
    /// Another node passes it on.
    pub(super) is_passed_on: bool,
}

impl Caller {
    /// Reads the head of a request.
    pub(super) fn of(headers: &HeaderMap, sender: Option<&Sender>) -> Caller {
        let forwarded = headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok());
        let forwarded = forwarded.and_then(|list| list.split(',').next()?.trim().parse().ok());
        let sender = sender.map(|sender| sender.0.ip());
        Caller { address: forwarded.or(sender), is_passed_on: headers.contains_key(PASSED_ON) }
    }
}

/// Which node serves a room to somebody who may be sent on, or not. `tried`: those that were not reached.
pub(super) async fn of_room(
    node: &Node,
    room: &str,
    caller: Caller,
    may_redirect: bool,
    tried: &[NodeId],
) -> Placement {
    let Some(cluster) = &node.cluster else {
        return Placement::Here;
    };
    let role = node.config.cluster.role;
    if caller.is_passed_on && !role.has_sessions() {
        return Placement::Nowhere;
    }
    let is_draining = node.is_draining();
    if caller.is_passed_on || (role == ClusterRole::Media && !is_draining) {
        return Placement::Here;
    }
    let located = cluster.ask(|reply| ClusterCommand::Locate { room: room.into(), reply }).await;
    let Located { is_here, elsewhere } = located.unwrap_or_default();
    let zone = caller.address.and_then(|address| node.zones.zone_of(address));
    let snapshot = cluster.snapshot();
    let own = NodeInfo { is_draining, is_strained: node.control.is_at_limit(), ..snapshot.own.clone() };
    place(&snapshot, &own, &elsewhere, is_here, Asking { zone, is_passed_on: !may_redirect, tried })
}

/// Whether a room is open on another node.
pub(super) async fn is_elsewhere(node: &Node, room: &str) -> bool {
    let Some(cluster) = &node.cluster else {
        return false;
    };
    let located = cluster.ask(|reply| ClusterCommand::Locate { room: room.into(), reply }).await;
    located.is_some_and(|located| !located.elsewhere.is_empty())
}

/// Which node has a session, by its id: this one, if it is not another's that is there.
pub(super) fn of_session(node: &Node, session: &str, caller: Caller) -> Placement {
    let (Some(cluster), Some(id)) = (&node.cluster, SessionId::from_hex(session)) else {
        return Placement::Here;
    };
    let there = id.node().filter(|there| *there != cluster.node && !caller.is_passed_on);
    let Some(there) = there else {
        return Placement::Here;
    };
    let snapshot = cluster.snapshot();
    let info = snapshot.others.get(&there).and_then(|state| state.info.as_ref());
    info.map_or(Placement::Here, |info| Placement::There {
        node: there,
        http: info.http.clone(),
        inside: info.inside,
    })
}

/// Whether a node may be gone: nobody is sent there who then has to find out.
pub(super) fn is_doubted(node: &Node, other: NodeId) -> bool {
    node.cluster.as_ref().is_some_and(|cluster| cluster.snapshot().doubted.contains(&other))
}

/// Where a request comes from, to be counted there. Other than for the choice of a zone, what it says itself is not believed:
/// what a proxy adds is, if that is on this machine, another node, or one of `http_proxies`.
pub(super) fn source_of(node: &Node, headers: &HeaderMap, sender: Option<&Sender>) -> IpAddr {
    let sender = sender.map_or(IpAddr::from([0, 0, 0, 0]), |sender| sender.0.ip().to_canonical());
    let own = node.config.http.ip().to_canonical();
    let is_proxy = |ip: IpAddr| {
        ip.is_loopback()
            || ip == own
            || node.config.http_proxies.iter().any(|range| range.contains(&ip))
            || is_node(node, ip)
    };
    behind(sender, headers, is_proxy)
}

/// Who is behind the proxies that a request came through. Each adds whom it has it from at the end of the list.
fn behind(sender: IpAddr, headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> IpAddr {
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    // What a client puts before it need not be text.
    let mut added = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
    let mut source = sender;
    while is_proxy(source)
        && let Some(before) = added.next().and_then(address_in)
    {
        source = before.to_canonical();
    }
    source
}

/// An address, with a port or without.
fn address_in(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port)
}

/// Whether another node is at an address: with its HTTP, or its part in the cluster.
fn is_node(node: &Node, ip: IpAddr) -> bool {
    let Some(cluster) = &node.cluster else {
        return false;
    };
    let snapshot = cluster.snapshot();
    let infos = snapshot.others.values().filter_map(|state| state.info.as_ref());
    let mut addresses = infos.flat_map(|info| info.inside.into_iter().chain([info.cluster]));
    addresses.any(|address| address.ip().to_canonical() == ip)
}

/// A WebSocket of another node, on which a client's first message was said.
pub(super) type FarSocket = WebSocketStream<TcpStream>;

/// Why a client can't be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    /// The node may be gone.
    Gone,
    /// Its HTTP is not reached from here; the node itself is.
    Closed,
}

/// Connects to another node for a client, and passes its first message on.
pub(super) async fn pass_on(
    node: &Node,
    other: NodeId,
    inside: Option<SocketAddr>,
    caller: Caller,
    first: Utf8Bytes,
) -> Result<FarSocket, Unreached> {
    let began = Instant::now();
    let Some(to) = inside else {
        return Err(Unreached::Closed);
    };
    if let Some(far) = connect(to, caller, first).await {
        return Ok(far);
    }
    let is_gone = match &node.cluster {
        Some(cluster) => cluster.doubt(other, began).await,
        None => true,
    };
    debug!(node = %other, %to, is_gone, "another node's HTTP can't be reached");
    Err(if is_gone { Unreached::Gone } else { Unreached::Closed })
}

async fn connect(to: SocketAddr, caller: Caller, first: Utf8Bytes) -> Option<FarSocket> {
    let connected = async {
        let stream = TcpStream::connect(to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let mut request = format!("ws://{to}/v1/ws").into_client_request().ok()?;
        request.headers_mut().insert(PASSED_ON, HeaderValue::from_static("1"));
        if let Some(address) = caller.address.and_then(|ip| HeaderValue::from_str(&ip.to_string()).ok()) {
            request.headers_mut().insert(FORWARDED_FOR, address);
        }
        let (mut far, _) = client_async(request, stream).await.ok()?;
        far.send(Message::Text(first)).await.ok()?;
        Some(far)
    };
    timeout(CONNECT_WITHIN, connected).await.ok().flatten()
}

/// The next message of the other node that is for the client; `None` when it has hung up.
pub(super) async fn next_from(far: &mut FarSocket) -> Option<Message> {
    while let Some(Ok(message)) = far.next().await {
        if matches!(message, Message::Text(_) | Message::Close(_)) {
            return Some(message);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_whom_the_first_proxy_that_is_known_has_a_request_from() {
        let is_proxy = |ip: IpAddr| ip.is_loopback() || ip.to_string().starts_with("10.");
        let cases: &[(&str, &[&str], &str)] = &[
            ("192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.5, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["203.0.113.5", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("127.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["\u{ff}, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.5, 2001:db8::7"], "2001:db8::7"),
        ];
        for (sender, lists, source) in cases {
            let mut headers = HeaderMap::new();
            for list in *lists {
                headers.append(FORWARDED_FOR, HeaderValue::from_bytes(list.as_bytes()).unwrap());
            }
            let found = behind(sender.parse().unwrap(), &headers, is_proxy);
            assert_eq!(found.to_string(), *source, "{sender}, {lists:?}");
        }
    }
}
