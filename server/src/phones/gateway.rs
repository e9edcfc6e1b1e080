//! Calls come and go: events of signalling in, a task for each call out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use audio_mixer::Codec;
use tercet_sip_gateway::prompts::Prompts;
use tercet_sip_gateway::sdp::{LocalMedia, SECRET_BYTES, Session, SrtpPolicy};
use tercet_sip_gateway::signalling::{
    self, CallId, Credentials, Event, Gateway, Handle, Inbound, Limits, Listener, Registrar, Registration,
    RegistrationState, Tls, Transport, Trunk,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::call::Call;
use super::dialling::{Dialler, lock};
use super::pins::WrongPins;
use super::ports::{PortPair, Ports};
use super::transfers::Present;
use super::{Lines, metrics};
use crate::config::{Config, SIP_DEFAULT, SipCallers, SipCodec, SipConfig, SipSrtp, SipTransport, SipTrunk};
use crate::control::ControlHandle;
use crate::http::Stop;

/// Events of one call that its task has yet to take: more than any phone makes in a second.
pub(super) const CALL_EVENTS_MAX: usize = 64;

/// Where each call's task takes its events.
pub(super) type Calls = Arc<Mutex<HashMap<CallId, mpsc::Sender<Event>>>>;

/// How old what `/metrics` says may be.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Registrations with trunks are renewed before so many seconds.
const REGISTRATION_S: u32 = 3600;

/// What calls share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) sip: Handle,
    pub(super) lines: Lines,
    pub(super) control: ControlHandle,
    pub(super) prompts: Prompts,
    pub(super) wrong_pins: WrongPins,
    pub(super) present: Present,
    /// Set once the node takes nobody in any more.
    pub(super) stop: Arc<watch::Sender<Stop>>,
    ports: Ports,
    /// What phones are told of where we are.
    told: std::net::IpAddr,
    codecs: Vec<Codec>,
    srtp: SrtpPolicy,
}

impl Shared {
    /// The sockets of one more call, and its side of the session.
    pub(super) fn media(&self) -> std::io::Result<(PortPair, Session)> {
        let ports = self.ports.take()?;
        let address = SocketAddr::new(self.told, ports.rtp_address.port());
        let local = LocalMedia { srtp: self.srtp, ..LocalMedia::at(address, &self.codecs) };
        let mut secret = [0; SECRET_BYTES];
        rand::fill(&mut secret);
        Ok((ports, Session::new(local, &secret)))
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }
}

/// Phones of a node that runs.
pub(crate) struct Phones {
    gateway: Gateway,
    dialler: Dialler,
    /// Serves the control plane.
    desk: JoinHandle<()>,
}

impl Phones {
    /// Where SIP listens.
    pub(crate) fn addresses(&self) -> &[(Transport, SocketAddr)] {
        self.gateway.addresses()
    }

    /// For calls out.
    pub(crate) fn dialler(&self) -> Dialler {
        self.dialler.clone()
    }

    /// Hangs up all calls, and waits until the peers know, but no longer than this.
    pub(crate) async fn stop(self, patience: Duration) {
        self.desk.abort();
        self.gateway.shut_down(patience).await;
    }
}

/// Listens for calls. `None` where nobody asked for the address that SIP has by default, and another program has it.
pub(crate) async fn start(
    config: Arc<Config>,
    lines: Lines,
    control: ControlHandle,
    stop: Arc<watch::Sender<Stop>>,
) -> anyhow::Result<Option<Phones>> {
    let sip = &config.sip;
    let started = Gateway::start(gateway_config(sip)).await;
    let (gateway, events) = match started {
        Ok(started) => started,
        Err(error @ signalling::StartError::Bind { .. }) if sip.listen == SIP_DEFAULT => {
            warn!("no phones: {error} (choose another address with --sip, or --sip off)");
            return Ok(None);
        }
        Err(error) => return Err(error).context("SIP (choose another address with --sip, or --sip off)"),
    };
    let shared = Shared {
        sip: gateway.handle().clone(),
        lines,
        control,
        prompts: prompts(sip)?,
        wrong_pins: WrongPins::default(),
        present: Present::default(),
        stop,
        ports: Ports::new(sip.listen.ip(), sip.ports()),
        told: sip.public.unwrap_or(sip.listen).ip(),
        codecs: sip.codecs.iter().map(|codec| codec_of(*codec)).collect(),
        srtp: srtp_of(sip.srtp),
        config,
    };
    let (shared, calls) = (Arc::new(shared), Calls::default());
    let dialler = Dialler::new(shared.clone(), calls.clone());
    let desk = dialler.start().await;
    tokio::spawn(report(gateway.handle().clone()));
    tokio::spawn(dispatch(shared, calls, events));
    Ok(Some(Phones { gateway, dialler, desk }))
}

/// Keeps `/metrics` up to date.
async fn report(sip: Handle) {
    let mut due = tokio::time::interval(REPORT_INTERVAL);
    loop {
        due.tick().await;
        metrics::record(&sip.counters());
    }
}

/// Hands each call's events to its task, and begins one for each new call.
async fn dispatch(shared: Arc<Shared>, calls: Calls, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Event::Incoming(incoming) = event {
            let (sender, receiver) = mpsc::channel(CALL_EVENTS_MAX);
            lock(&calls).insert(incoming.call, sender);
            tokio::spawn(Call::new(shared.clone(), incoming.call, receiver).serve(*incoming));
            continue;
        }
        let Some(call) = call_of(&event) else {
            log_registration(&event);
            continue;
        };
        let is_over = matches!(event, Event::Ended { .. });
        let mut calls = lock(&calls);
        let told = calls.get(&call).is_none_or(|sender| sender.try_send(event).is_ok());
        if is_over || !told {
            // A task whose queue is full has more to do than a call has: it sees that no more will come, and ends the call.
            calls.remove(&call);
        }
    }
}

/// Which call an event is of.
fn call_of(event: &Event) -> Option<CallId> {
    match event {
        Event::Incoming(incoming) => Some(incoming.call),
        Event::Progress { call, .. }
        | Event::Answered { call, .. }
        | Event::Confirmed { call, .. }
        | Event::Offered { call, .. }
        | Event::Reoffered { call, .. }
        | Event::Dtmf { call, .. }
        | Event::TransferAsked { call, .. }
        | Event::TransferProgress { call, .. }
        | Event::Ended { call, .. } => Some(*call),
        Event::Registration { .. } | Event::UserRegistered { .. } => None,
    }
}

fn log_registration(event: &Event) {
    if let Event::Registration { trunk, state } = event {
        match state {
            RegistrationState::Registered { expires_s } => {
                info!(%trunk, expires_s, "registered with the trunk")
            }
            RegistrationState::Failed { status, retry_s } => {
                warn!(%trunk, status, retry_s, "the trunk doesn't let us register");
            }
            RegistrationState::Unregistered => info!(%trunk, "no longer registered with the trunk"),
        }
    }
}

fn prompts(sip: &SipConfig) -> anyhow::Result<Prompts> {
    let prompts =
        sip.prompts.as_deref().map(Prompts::with_replacements).transpose().context("sip.prompts")?;
    let prompts = prompts.unwrap_or_else(Prompts::embedded);
    // It is composed by whoever asks first, who should be no caller.
    prompts.hold_music();
    Ok(prompts)
}

/// The configuration as signalling has it.
fn gateway_config(sip: &SipConfig) -> signalling::Config {
    let listener = |transport, bind| Listener { transport, bind, public: sip.public };
    let plain = [Transport::Udp, Transport::Tcp].map(|transport| listener(transport, sip.listen));
    let tls = sip.tls.map(|bind| Listener {
        transport: Transport::Tls,
        bind,
        public: sip.public.map(|public| SocketAddr::new(public.ip(), bind.port())),
    });
    let headers = sip.route.iter().filter_map(|route| route.header.clone());
    signalling::Config {
        listeners: plain.into_iter().chain(tls).collect(),
        tls: Tls { certificate: sip.certificate.clone(), key: sip.key.clone(), authorities: None },
        trunks: sip.trunk.iter().map(trunk_of).collect(),
        users: sip
            .user
            .iter()
            .map(|user| Credentials { username: user.name.clone(), password: user.password.clone() })
            .collect(),
        inbound: match sip.callers() {
            SipCallers::Anybody => Inbound::Anybody,
            SipCallers::Authenticated => Inbound::Authenticated,
            SipCallers::Trunks => Inbound::Trunks,
        },
        registrar: (!sip.user.is_empty()).then(Registrar::default),
        headers: headers.collect(),
        limits: Limits {
            calls_max: sip.calls_max as usize,
            calls_per_source_per_minute: sip.calls_per_minute,
            ..Limits::default()
        },
        ..signalling::Config::default()
    }
}

fn trunk_of(trunk: &SipTrunk) -> Trunk {
    let credentials = trunk.username.clone().zip(trunk.password.clone());
    let credentials = credentials.map(|(username, password)| Credentials { username, password });
    let registration = trunk.username.clone().filter(|_| trunk.register);
    Trunk {
        proxy: trunk.proxy.clone(),
        transport: match trunk.transport.unwrap_or_default() {
            SipTransport::Udp => Transport::Udp,
            SipTransport::Tcp => Transport::Tcp,
            SipTransport::Tls => Transport::Tls,
        },
        sources: trunk.sources.clone(),
        credentials,
        registration: registration.map(|user| Registration { user, expires_s: REGISTRATION_S }),
        caller: trunk.caller.clone(),
        calls_max: trunk.calls_max.map_or(usize::MAX, |calls| calls as usize),
        ..Trunk::new(&trunk.name, &trunk.host)
    }
}

fn codec_of(codec: SipCodec) -> Codec {
    match codec {
        SipCodec::Opus => Codec::Opus,
        SipCodec::G722 => Codec::G722,
        SipCodec::Pcmu => Codec::Pcmu,
        SipCodec::Pcma => Codec::Pcma,
    }
}

fn srtp_of(srtp: SipSrtp) -> SrtpPolicy {
    match srtp {
        SipSrtp::Never => SrtpPolicy::Never,
        SipSrtp::Optional => SrtpPolicy::Optional,
        SipSrtp::Required => SrtpPolicy::Required,
    }
}
