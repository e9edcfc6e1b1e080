//! The boundary to `rsipstack`: its transactions (RFC 3261, section 17) and connections, behind inputs and outputs of ours.
//!
//! Nothing of it shows outside of this file, `udp.rs` and `stream.rs`. What it has more, its dialogs, its digests, its
//! registrations, isn't used: docs/adr says why. Each transaction is driven by a task of its own, because its `receive` may
//! not be given up half way; the tasks talk to the one task that has all calls through a bounded queue.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rsipstack::EndpointBuilder;
use rsipstack::sip::prelude::HeadersExt as _;
use rsipstack::sip::{Method as StackMethod, Request as StackRequest, Response as StackResponse, SipMessage};
use rsipstack::transaction::endpoint::{
    EndpointInner, EndpointInnerRef, EndpointOption, TransportEventInspector,
};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent, TransportLayer};
use tokio::sync::{mpsc, oneshot};

use super::Transport;
use super::calls::{ClientTx, Input, Output, ServerTx, Target};
use super::message::{Framing, Message, Method, Request, Response, parse};
use super::pending::{DialogKey, Pending};
use super::udp::Gate;

/// A final response to an INVITE waits so long for its ACK (64 times T1), and a little more; whatever is left then has lost
/// its connection.
const LINGER: Duration = Duration::from_secs(40);

/// What the tasks of transactions tell.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A new request, and how it is answered.
    Arrived { input: Input, responder: Box<Responder> },
    /// Anything else.
    Input(Input),
}

/// The other end of a request's transaction.
#[derive(Clone)]
pub(super) struct Responder {
    key: TransactionKey,
    events: TransactionEventSender,
    connection: SipConnection,
    source: SipAddr,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Responder({})", self.key)
    }
}

/// A connection of the stack's, and the address of ours that peers see.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) public: SocketAddr,
    pub(super) connection: SipConnection,
}

/// Opens connections for what we send.
#[async_trait]
pub(super) trait Links: Send + Sync + 'static {
    /// A connection to there: the same as before, if there is one.
    async fn connect(&self, transport: Transport, address: SocketAddr, name: Option<&str>) -> Option<Link>;

    /// The connection from there, if there is one.
    fn existing(&self, transport: Transport, address: SocketAddr) -> Option<Link>;
}

/// Everything that is sent and received.
pub(super) struct Stack {
    endpoint: EndpointInnerRef,
    links: Arc<dyn Links>,
    inbox: mpsc::Sender<Inbound>,
    responders: HashMap<ServerTx, Responder>,
    /// INVITEs of ours as they were sent, for their CANCEL.
    invites: HashMap<ClientTx, Arc<OnceLock<Sent>>>,
    order: Order,
    pending: Arc<Pending>,
}

/// A request on its way.
struct Sent {
    request: Request,
    link: Link,
    address: SocketAddr,
}

/// Requests of one call leave in the order in which the call made them: each waits for the one before it to be sent. Their
/// tasks would otherwise race, and a peer refuses a request whose number is lower than the last (section 12.2.2).
#[derive(Default)]
struct Order {
    last: HashMap<String, oneshot::Receiver<()>>,
    prune_at: usize,
}

impl Order {
    /// What to wait for, and what to drop when it is sent.
    fn next(&mut self, request: &Request) -> (Option<oneshot::Receiver<()>>, oneshot::Sender<()>) {
        if self.last.len() >= self.prune_at {
            self.last.retain(|_, sent| sent.try_recv() == Err(oneshot::error::TryRecvError::Empty));
            self.prune_at = (self.last.len() * 2).max(64);
        }
        let (sent, is_sent) = oneshot::channel();
        let call_id = request.headers.get("Call-ID").unwrap_or_default().to_owned();
        (self.last.insert(call_id, is_sent), sent)
    }
}

/// Looks at whatever the transports have received, before the stack does.
struct Inspector {
    gate: Arc<Gate>,
    inbox: mpsc::Sender<Inbound>,
    endpoint: Arc<OnceLock<Weak<EndpointInner>>>,
}

#[async_trait]
impl TransportEventInspector for Inspector {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let TransportEvent::Incoming(message, connection, source) = &event else { return Some(event) };
        let ip = source.get_socketaddr().ok()?.ip();
        let Some(endpoint) = self.endpoint.get().and_then(Weak::upgrade) else {
            self.gate.leave(ip);
            return Some(event);
        };
        match message {
            SipMessage::Request(request) => {
                let Ok(key) = TransactionKey::from_request(request, TransactionRole::Server) else {
                    self.gate.leave(ip);
                    return None;
                };
                if request.method == StackMethod::Ack || endpoint.transactions.contains_key(&key) {
                    self.gate.leave(ip);
                    return Some(event);
                }
                let said = endpoint.finished_transactions.get(&key).flatten();
                if said.is_some() || request.method == StackMethod::Cancel {
                    let (message, connection, source) = (message.clone(), connection.clone(), source.clone());
                    let gate = self.gate.clone();
                    // Nobody else waits for it, and it keeps its place until it is done.
                    tokio::spawn(async move {
                        answer_again(&message, said, &connection, &source).await;
                        gate.leave(ip);
                    });
                    return None;
                }
                self.gate.leave(ip);
                // Each request that is answered takes memory until it is.
                let may_enter = self.gate.pending.enter(ip, dialog_of(request).as_ref());
                if !may_enter {
                    self.gate.tally.dropped.add(1);
                }
                may_enter.then_some(event)
            }
            SipMessage::Response(response) => {
                self.gate.leave(ip);
                let is_answer = response.status_code.code() / 100 == 2;
                let key = TransactionKey::from_response(response, TransactionRole::Client).ok()?;
                if !is_answer || endpoint.transactions.get(&key).is_some() {
                    return Some(event);
                }
                // Its transaction ended with the first 2xx (RFC 6026, section 7.2): this one is for the call.
                let response = from_stack(message)?;
                if let Message::Response(response) = response
                    && response.headers.cseq().is_some_and(|(_, method)| method.name() == "INVITE")
                {
                    let _ = self.inbox.try_send(Inbound::Input(Input::StrayAnswer { response }));
                }
                None
            }
        }
    }
}

/// Answers a CANCEL of what isn't there any more (RFC 3261, section 9.2), and says again what was said to a request that comes
/// again. The stack does both too, but sends it where the `Via` says, which is anywhere; and asks for the address of a name
/// there, while everybody waits.
async fn answer_again(
    request: &SipMessage,
    said: Option<SipMessage>,
    connection: &SipConnection,
    source: &SipAddr,
) {
    let Some(Message::Request(request)) = from_stack(request) else { return };
    let response = if request.method == Method::Cancel {
        let tag = said.as_ref().and_then(from_stack).and_then(|said| match said {
            Message::Response(response) => response.headers.tag_of("To"),
            Message::Request(_) => None,
        });
        let status = if said.is_some() { 200 } else { 481 };
        to_stack(Response::to(&request, status, tag.as_deref().unwrap_or("0")).to_bytes())
    } else {
        said
    };
    let Some(response) = response else { return };
    if let Err(error) = connection.send(response, Some(source)).await {
        tracing::debug!(%error, "a response was not sent");
    }
}

impl Stack {
    /// Starts receiving on these connections.
    pub(super) fn start(
        layer: TransportLayer,
        listening: Vec<SipConnection>,
        links: Arc<dyn Links>,
        gate: Arc<Gate>,
        inbox: mpsc::Sender<Inbound>,
        user_agent: &str,
        stop: rsipstack::platform::CancellationToken,
    ) -> Stack {
        for connection in listening {
            layer.add_transport(connection);
        }
        let endpoint_of_inspector = Arc::new(OnceLock::new());
        let pending = gate.pending.clone();
        let inspector = Inspector { gate, inbox: inbox.clone(), endpoint: endpoint_of_inspector.clone() };
        let endpoint = EndpointBuilder::new()
            .with_user_agent(user_agent)
            .with_transport_layer(layer)
            .with_cancel_token(stop)
            .with_transport_inspector(Box::new(inspector))
            .with_option(EndpointOption {
                // The ACK of a 2xx is the call's to send, to where the call says, with an answer in it where that is due.
                auto_ack_2xx: false,
                // How long it may ring is for the call to say.
                timerc: Duration::from_secs(24 * 3600),
                ..EndpointOption::default()
            })
            .build();
        let _ = endpoint_of_inspector.set(Arc::downgrade(&endpoint.inner));
        if let Ok(mut incoming) = endpoint.incoming_transactions() {
            let (inbox, pending, counter) = (inbox.clone(), pending.clone(), AtomicU64::new(0));
            tokio::spawn(async move {
                while let Some(transaction) = incoming.recv().await {
                    let tx = ServerTx(counter.fetch_add(1, Ordering::Relaxed));
                    accept(transaction, tx, &pending, &inbox).await;
                }
            });
        }
        let inner = endpoint.inner.clone();
        tokio::spawn(async move { endpoint.serve().await });
        Stack {
            endpoint: inner,
            links,
            inbox,
            responders: HashMap::new(),
            invites: HashMap::new(),
            order: Order::default(),
            pending,
        }
    }

    /// Takes note of what has come in, on its way to the calls.
    pub(super) fn note(&mut self, inbound: Inbound) -> Input {
        match inbound {
            Inbound::Arrived { input, responder } => {
                if let Input::Request { tx, .. } = &input {
                    self.responders.insert(*tx, *responder);
                }
                input
            }
            Inbound::Input(input) => {
                match &input {
                    Input::ServerOver(tx) => {
                        self.responders.remove(tx);
                    }
                    Input::Response { tx, response, .. } if response.is_final() => {
                        self.invites.remove(tx);
                    }
                    _ => {}
                }
                input
            }
        }
    }

    /// Does what calls want, events apart.
    pub(super) fn perform(&mut self, output: Output) {
        match output {
            Output::Respond { tx, response } => self.respond(tx, &response),
            Output::Reply { tx, response } => self.reply(tx, &response),
            Output::Ignore(tx) => {
                if let Some(Responder { key, events, .. }) = self.responders.remove(&tx) {
                    let _ = events.send(TransactionEvent::Terminate(key));
                }
            }
            Output::Opened(dialog) => self.pending.open(dialog),
            Output::Closed(dialog) => self.pending.close(&dialog),
            Output::Send { tx, request, target } => self.send(tx, request, target),
            Output::Cancel(tx) => self.cancel(tx),
            Output::Acknowledge { ack, target } => {
                let links = self.links.clone();
                let endpoint = self.endpoint.clone();
                let (before, sent) = self.order.next(&ack);
                tokio::spawn(async move {
                    wait_for(before).await;
                    let Some((link, address)) = resolve(&*links, &endpoint, &target).await else { return };
                    let Some(ack) = to_stack(with_via(ack, &link, &branch()).to_bytes()) else { return };
                    if let Err(error) = link.connection.send(ack, Some(&stack_address(&link, address))).await
                    {
                        tracing::debug!(%error, "an ACK was not sent");
                    }
                    drop(sent);
                });
            }
            Output::Event(_) => {}
        }
    }

    fn respond(&mut self, tx: ServerTx, response: &Response) {
        let Some(Responder { key, events, .. }) = self.responders.get(&tx).cloned() else { return };
        let Ok(message) = StackResponse::try_from(response.to_bytes()) else {
            tracing::error!(status = response.status, "a response of ours can't be read by the stack");
            return;
        };
        let _ = events.send(TransactionEvent::Respond(message));
        if response.is_final() {
            // A response that can't be sent leaves its transaction as it is, for ever.
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                let _ = events.send(TransactionEvent::Terminate(key));
            });
        }
    }

    /// Past the transaction, which then ends as if it had said nothing: the stack would keep the response for 32 s, and repeat
    /// it for as long where it waits for an ACK.
    fn reply(&mut self, tx: ServerTx, response: &Response) {
        let Some(responder) = self.responders.remove(&tx) else { return };
        let Some(message) = to_stack(response.to_bytes()) else {
            tracing::error!(status = response.status, "a response of ours can't be read by the stack");
            return;
        };
        tokio::spawn(async move {
            let Responder { key, events, connection, source } = responder;
            if let Err(error) = connection.send(message, Some(&source)).await {
                tracing::debug!(%error, "a response was not sent");
            }
            let _ = events.send(TransactionEvent::Terminate(key));
        });
    }

    fn send(&mut self, tx: ClientTx, request: Request, target: Target) {
        let slot = Arc::new(OnceLock::new());
        if request.method.name() == "INVITE" {
            self.invites.insert(tx, slot.clone());
        }
        let (links, endpoint, inbox) = (self.links.clone(), self.endpoint.clone(), self.inbox.clone());
        let (before, sent) = self.order.next(&request);
        tokio::spawn(async move {
            wait_for(before).await;
            let failed = Response::to(&request, 503, "0");
            let timed_out = Response::to(&request, 408, "0");
            let Some((link, address)) = resolve(&*links, &endpoint, &target).await else {
                tracing::warn!(?target, "nowhere to send a request to");
                let _ = inbox.send(answered(tx, failed, None)).await;
                return;
            };
            let request = with_via(request, &link, &branch());
            let _ = slot.set(Sent { request: request.clone(), link: link.clone(), address });
            let is_done = exchange(&endpoint, &request, &link, address, sent, |response| {
                let inbox = inbox.clone();
                async move {
                    let _ = inbox.send(answered(tx, response, Some(address))).await;
                }
            })
            .await;
            if !is_done {
                let _ = inbox.send(answered(tx, timed_out, Some(address))).await;
            }
        });
    }

    /// CANCEL has the branch and the number of what it cancels (RFC 3261, section 9.1).
    fn cancel(&mut self, tx: ClientTx) {
        let Some(slot) = self.invites.get(&tx).cloned() else { return };
        let endpoint = self.endpoint.clone();
        tokio::spawn(async move {
            let Some(Sent { request: invite, link, address }) = slot.get() else { return };
            let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
            for name in ["Via", "Route", "From", "To", "Call-ID"] {
                for value in invite.headers.all(name) {
                    cancel.headers.push(name, value);
                }
            }
            let number = invite.headers.cseq().map_or(0, |(number, _)| number);
            cancel.headers.push("CSeq", format!("{number} CANCEL"));
            cancel.headers.push("Max-Forwards", "70");
            exchange(&endpoint, &cancel, link, *address, (), |_| async {}).await;
        });
    }
}

fn answered(tx: ClientTx, response: Response, sent_to: Option<SocketAddr>) -> Inbound {
    Inbound::Input(Input::Response { tx, response, sent_to })
}

async fn wait_for(before: Option<oneshot::Receiver<()>>) {
    if let Some(before) = before {
        // It is dropped when it's done.
        let _ = before.await;
    }
}

/// Sends a request, drops `sent`, and hands each response on; whether there was a final one.
async fn exchange<F: Future<Output = ()>>(
    endpoint: &EndpointInnerRef,
    request: &Request,
    link: &Link,
    address: SocketAddr,
    sent: impl Send,
    mut hand_on: impl FnMut(Response) -> F,
) -> bool {
    let Ok(message) = StackRequest::try_from(request.to_bytes()) else { return false };
    let Ok(key) = TransactionKey::from_request(&message, TransactionRole::Client) else { return false };
    let mut transaction =
        Transaction::new_client(key, message, endpoint.clone(), Some(link.connection.clone()));
    transaction.destination = Some(stack_address(link, address));
    if let Err(error) = transaction.send().await {
        tracing::debug!(%error, "a request was not sent");
        return false;
    }
    drop(sent);
    while let Some(message) = transaction.receive().await {
        if let Some(Message::Response(response)) = from_stack(&message) {
            let is_final = response.is_final();
            hand_on(response).await;
            if is_final {
                return true;
            }
        }
    }
    false
}

/// Takes a new request in, and drives its transaction to its end.
async fn accept(
    mut transaction: Transaction,
    tx: ServerTx,
    pending: &Arc<Pending>,
    inbox: &mpsc::Sender<Inbound>,
) {
    let Some(connection) = transaction.connection.clone() else { return };
    let Some(source) = connection.get_remote_addr().cloned() else { return };
    let Ok(address) = source.get_socketaddr() else { return };
    let place = pending.place(address.ip());
    let Some(input) = arrived(&transaction, tx, &source, address) else { return };
    // Responses go where the request came from: the stack would ask the Via, which a peer behind NAT can't know.
    transaction.destination = Some(source.clone());
    let (key, events) = (transaction.key.clone(), transaction.tu_sender.clone());
    let responder = Box::new(Responder { key, events, connection, source });
    if inbox.send(Inbound::Arrived { input, responder }).await.is_err() {
        return;
    }
    let inbox = inbox.clone();
    tokio::spawn(async move {
        while let Some(message) = transaction.receive().await {
            let SipMessage::Request(request) = &message else { continue };
            let input = match request.method {
                StackMethod::Cancel => Input::Cancelled(tx),
                StackMethod::Ack => match from_stack(&message) {
                    Some(Message::Request(ack)) => Input::Acknowledged { tx, ack },
                    _ => continue,
                },
                _ => continue,
            };
            if inbox.send(Inbound::Input(input)).await.is_err() {
                return;
            }
        }
        drop(place);
        let _ = inbox.send(Inbound::Input(Input::ServerOver(tx))).await;
    });
}

fn arrived(transaction: &Transaction, tx: ServerTx, remote: &SipAddr, source: SocketAddr) -> Option<Input> {
    let message = SipMessage::Request(transaction.original.clone());
    let Some(Message::Request(request)) = from_stack(&message) else { return None };
    let transport = match remote.r#type {
        Some(rsipstack::sip::Transport::Tcp) => Transport::Tcp,
        Some(rsipstack::sip::Transport::Tls) => Transport::Tls,
        _ => Transport::Udp,
    };
    Some(Input::Request { tx, request, source, transport })
}

/// The call that a request says it is within.
fn dialog_of(request: &StackRequest) -> Option<DialogKey> {
    let call_id = request.call_id_header().ok()?.value().to_owned();
    let tag = request.to_header().ok()?.tag().ok()??;
    Some((call_id, tag.value().to_owned()))
}

/// Where a request goes, and by which connection (RFC 3263).
async fn resolve(links: &dyn Links, endpoint: &EndpointInner, target: &Target) -> Option<(Link, SocketAddr)> {
    match target {
        Target::Flow { transport, address, spare } => {
            if let Some(link) = links.existing(*transport, *address) {
                return Some((link, *address));
            }
            match spare {
                Some(spare) => Box::pin(resolve(links, endpoint, spare)).await,
                None => Some((links.connect(*transport, *address, None).await?, *address)),
            }
        }
        Target::Host { transport, host, port } => {
            let default_port = if *transport == Transport::Tls { 5061 } else { 5060 };
            let plain = host.trim_start_matches('[').trim_end_matches(']');
            let (address, name) = match plain.parse() {
                Ok(ip) => (SocketAddr::new(ip, port.unwrap_or(default_port)), None),
                Err(_) => {
                    let wanted = SipAddr {
                        r#type: Some(stack_transport(*transport)),
                        addr: rsipstack::sip::HostWithPort {
                            host: rsipstack::sip::Host::Domain(host.as_str().into()),
                            port: port.map(Into::into),
                        },
                    };
                    let found = endpoint.transport_layer.inner.domain_resolver.resolve(&wanted).await;
                    let found =
                        found.inspect_err(|error| tracing::warn!(%error, host, "a name has no address"));
                    (found.ok()?.get_socketaddr().ok()?, Some(host.as_str()))
                }
            };
            Some((links.connect(*transport, address, name).await?, address))
        }
    }
}

pub(super) fn stack_transport(transport: Transport) -> rsipstack::sip::Transport {
    match transport {
        Transport::Udp => rsipstack::sip::Transport::Udp,
        Transport::Tcp => rsipstack::sip::Transport::Tcp,
        Transport::Tls => rsipstack::sip::Transport::Tls,
    }
}

pub(super) fn stack_address(link: &Link, address: SocketAddr) -> SipAddr {
    SipAddr::new(stack_transport(link.transport), address.into())
}

/// A new branch, with the cookie of RFC 3261, section 8.1.1.7.
fn branch() -> String {
    format!("z9hG4bK{:016x}{:08x}", rand::random::<u64>(), rand::random::<u32>())
}

/// Puts our `Via` on top.
fn with_via(request: Request, link: &Link, branch: &str) -> Request {
    let transport = match link.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    };
    let mut with_via = Request::new(request.method, request.uri);
    // `rport`: responses come back through the NAT that the request went out by (RFC 3581).
    with_via.headers.push("Via", format!("SIP/2.0/{transport} {};branch={branch};rport", link.public));
    for (name, value) in request.headers.iter() {
        with_via.headers.push(name, value);
    }
    with_via.body = request.body;
    with_via
}

/// A message that came from there by that, as the stack takes it in; `None` if it would drop it.
pub(super) fn read(bytes: &[u8], source: SocketAddr, transport: Transport) -> Option<SipMessage> {
    let message = SipMessage::try_from(bytes).ok()?;
    let message = SipConnection::update_msg_received(message, source, stack_transport(transport)).ok()?;
    let key = match &message {
        SipMessage::Request(request) => TransactionKey::from_request(request, TransactionRole::Server),
        SipMessage::Response(response) => TransactionKey::from_response(response, TransactionRole::Client),
    };
    key.is_ok().then_some(message)
}

fn to_stack(bytes: Vec<u8>) -> Option<SipMessage> {
    SipMessage::try_from(bytes.as_slice()).ok()
}

fn from_stack(message: &SipMessage) -> Option<Message> {
    let mut message = parse(&message.to_bytes(), Framing::Datagram).ok()?;
    if let Message::Request(Request { headers, .. }) = &mut message
        && let Some(via) = headers.get("Via").filter(|via| via.contains("=[["))
    {
        // The stack's way to write an IPv6 address (RFC 3261, section 25.1: `via-received` has no brackets).
        let plain = via.replacen("=[[", "=", 1).replacen("]]", "", 1);
        headers.set_first("Via", plain);
    }
    Some(message)
}
