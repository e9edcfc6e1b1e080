//! The gateway: binds, runs until it is told to stop. The shell around `calls`: one task that has all calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsipstack::platform::CancellationToken;
use rsipstack::transport::{SipConnection, TransportLayer};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::calls::{Core, Input, Local, Output};
use super::counters::Tally;
use super::ids::CallIds;
use super::links::Connections;
use super::stack::{Inbound, Stack};
use super::udp::{Gate, ScreenedSocket};
use super::{Config, Counters, Event, Handle, Listener, Transport};

/// Commands that may wait. Each call has a few at a time.
const COMMANDS_WAITING_MAX: usize = 4096;

/// Events that wait in the shell, when the application's queue is full, before it stops to take messages.
const BACKLOG_MAX: usize = 1024;

/// Why a gateway can't start: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that can't be bound.
    #[error("SIP can't listen on {address} ({transport:?})")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// By what.
        transport: Transport,
        /// What the system says.
        source: std::io::Error,
    },
    /// Certificate or key that can't be read or don't fit.
    #[error("TLS of SIP: {0}")]
    Tls(String),
    /// A setting that makes no sense, or contradicts another.
    #[error("configuration of SIP: {0}")]
    Config(String),
}

/// A running gateway. Dropping it stops everything at once; [`shut_down`](Gateway::shut_down) says goodbye first.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
    addresses: Vec<(Transport, SocketAddr)>,
    tally: Arc<Tally>,
    /// Tells the task to end its calls; it answers when they have.
    stop: mpsc::Sender<oneshot::Sender<()>>,
    /// Ends everything.
    kill: CancellationToken,
}

impl Gateway {
    /// Binds all listeners and starts, on the current tokio runtime.
    ///
    /// # Errors
    /// Nothing was started.
    pub async fn start(config: Config) -> Result<(Gateway, mpsc::Receiver<Event>), StartError> {
        check(&config)?;
        let tally = Arc::new(Tally::default());
        let call_ids = Arc::new(CallIds::default());
        let limits = config.limits;
        let gate = Arc::new(Gate::new(&config, tally.clone()));
        let kill = CancellationToken::new();
        let layer = TransportLayer::new(kill.clone());
        let (connections, listening, addresses) = bind(&config, &layer, &gate, &kill).await?;
        let public = config
            .listeners
            .iter()
            .zip(&addresses)
            .map(|(listener, (transport, bound))| (*transport, public_address(listener, *bound)));
        let local = Local::new(public.collect());
        let (inbox, inbound) = mpsc::channel(limits.messages_waiting_max.max(1));
        let (events, told) = mpsc::channel(limits.events_waiting_max.max(1));
        let (commands, wanted) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (stop, stopped) = mpsc::channel(1);
        let links = Arc::new(connections);
        let stack = Stack::start(layer, listening, links, gate, inbox, &config.user_agent, kill.clone());
        let core = Core::new(config, local, rand::random(), Instant::now(), tally.clone(), call_ids.clone());
        let task =
            Task { core, stack, inbound, wanted, events, stopped, done: None, backlog: VecDeque::new() };
        tokio::spawn({
            let kill = kill.clone();
            async move {
                tokio::select! {
                    () = kill.cancelled() => {}
                    () = task.run() => {}
                }
            }
        });
        let handle = Handle::new(commands, call_ids, tally.clone());
        Ok((Gateway { handle, addresses, tally, stop, kill }, told))
    }

    /// For commands.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What was bound, in the order of the configuration.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.tally.snapshot()
    }

    /// Takes no new calls (503), hangs up all that there are, takes back registrations, and waits for the peers to confirm
    /// it, but no longer than this.
    pub async fn shut_down(self, patience: Duration) {
        let (done, all_done) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            let _ = tokio::time::timeout(patience, all_done).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

/// All calls, and what they are connected with.
struct Task {
    core: Core,
    stack: Stack,
    inbound: mpsc::Receiver<Inbound>,
    wanted: mpsc::Receiver<super::command::Command>,
    events: mpsc::Sender<Event>,
    stopped: mpsc::Receiver<oneshot::Sender<()>>,
    /// Whom to tell when everything is over.
    done: Option<oneshot::Sender<()>>,
    /// Events that the application has no room for.
    backlog: VecDeque<Event>,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.drain();
            if self.core.is_done() && self.done.take().is_some_and(|done| done.send(()).is_ok()) {
                return;
            }
            let Some(input) = self.next().await else { return };
            self.core.handle(Instant::now(), input);
        }
    }

    /// Does what the core wants.
    fn drain(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Event(event) => self.backlog.push_back(event),
                output => self.stack.perform(output),
            }
        }
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    break;
                }
                // The application has gone.
                Err(mpsc::error::TrySendError::Closed(_)) => self.backlog.clear(),
            }
        }
        self.core.set_congested(!self.backlog.is_empty());
    }

    async fn next(&mut self) -> Option<Input> {
        let deadline = self.core.deadline().map(tokio::time::Instant::from_std);
        let far = tokio::time::Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            inbound = self.inbound.recv(), if self.backlog.len() < BACKLOG_MAX => {
                Some(self.stack.note(inbound?))
            }
            Some(command) = self.wanted.recv() => Some(Input::Command(command)),
            Some(done) = self.stopped.recv() => {
                self.done = Some(done);
                Some(Input::Stop)
            }
            Ok(permit) = self.events.reserve(), if !self.backlog.is_empty() => {
                if let Some(event) = self.backlog.pop_front() {
                    permit.send(event);
                }
                Some(Input::Tick)
            }
            () = tokio::time::sleep_until(deadline.unwrap_or(far)) => Some(Input::Tick),
        }
    }
}

/// What no gateway can be started with.
fn check(config: &Config) -> Result<(), StartError> {
    let wrong = |what: String| Err(StartError::Config(what));
    if config.listeners.is_empty() {
        return wrong("there is no listener".to_owned());
    }
    if config.digests.is_empty() {
        return wrong("digests is empty".to_owned());
    }
    for (at, trunk) in config.trunks.iter().enumerate() {
        if config.trunks[..at].iter().any(|other| other.name == trunk.name) {
            return wrong(format!("two trunks are called {:?}", trunk.name));
        }
        let hosts = [Some(&trunk.host), trunk.proxy.as_ref()];
        if hosts.into_iter().flatten().any(|host| super::message::split_port(host).is_none()) {
            return wrong(format!("host or proxy of trunk {:?} is none", trunk.name));
        }
        if trunk.is_challenged && trunk.credentials.is_none() {
            return wrong(format!("trunk {:?} is challenged, and has no credentials", trunk.name));
        }
        if !config.listeners.iter().any(|listener| listener.transport == trunk.transport) {
            return wrong(format!("trunk {:?} needs a listener of its transport", trunk.name));
        }
    }
    Ok(())
}

fn public_address(listener: &Listener, bound: SocketAddr) -> SocketAddr {
    // Port 0 stands for the one that was bound.
    match listener.public {
        Some(public) if public.port() == 0 => SocketAddr::new(public.ip(), bound.port()),
        Some(public) => public,
        None => SipConnection::resolve_bind_address(bound),
    }
}

type Bound = (Connections, Vec<SipConnection>, Vec<(Transport, SocketAddr)>);

async fn bind(
    config: &Config,
    layer: &TransportLayer,
    gate: &Arc<Gate>,
    kill: &CancellationToken,
) -> Result<Bound, StartError> {
    let mut connections = Connections::new(config, layer, gate.clone(), kill.clone())?;
    let (mut listening, mut addresses) = (Vec::new(), Vec::new());
    for listener in &config.listeners {
        let failed =
            |source| StartError::Bind { address: listener.bind, transport: listener.transport, source };
        let bound = match listener.transport {
            Transport::Udp => {
                let socket = UdpSocket::bind(listener.bind).await.map_err(failed)?;
                let bound = socket.local_addr().map_err(failed)?;
                let public = public_address(listener, bound);
                let socket = Arc::new(ScreenedSocket::new(socket, gate.clone()));
                let connection = rsipstack::transport::udp::UdpConnection::from_socket(
                    socket,
                    Some(public),
                    Some(kill.clone()),
                )
                .await
                .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
                let connection = SipConnection::from(connection);
                connections.add_datagrams(public, connection.clone());
                listening.push(connection);
                bound
            }
            Transport::Tcp | Transport::Tls => connections.listen(config, listener, public_address).await?,
        };
        addresses.push((listener.transport, bound));
    }
    Ok((connections, listening, addresses))
}
