//! What the application configures: listeners, trunks, users, limits and times.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Algorithm;

/// What carries messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams.
    Tcp,
    /// Streams that are sealed.
    Tls,
}

/// Where messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// By what.
    pub transport: Transport,
    /// The local address. With port 0 the system chooses; [`Gateway::addresses`](super::Gateway::addresses) says which.
    pub bind: SocketAddr,
    /// What peers are told instead, behind NAT; and needed where `bind` is a wildcard.
    pub public: Option<SocketAddr>,
}

/// The files of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Our certificate and those between it and a root, PEM. A TLS listener needs it.
    pub certificate: Option<PathBuf>,
    /// The key to it, PEM.
    pub key: Option<PathBuf>,
    /// Certificates that a trunk's has to be signed by, PEM; without it, those that the system trusts.
    pub authorities: Option<PathBuf>,
}

/// A name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of the digest.
    pub username: String,
    /// The password. Shown nowhere.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A registration of ours with a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Whom we register as: the user of `sip:user@trunk`.
    pub user: String,
    /// For how long, as we ask; the trunk may answer with less.
    pub expires_s: u32,
}

/// A provider or another PBX: calls come from it and go through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// What it is called here, unique.
    pub name: String,
    /// Where calls out go: `HOST` or `HOST:PORT`, of the domain that they are addressed to.
    pub host: String,
    /// Where its messages are really sent, if not to `host`: an outbound proxy, `HOST` or `HOST:PORT`.
    pub proxy: Option<String>,
    /// By what they go there.
    pub transport: Transport,
    /// Where its calls in come from. Without any, no call in is taken for one of this trunk by its address.
    pub sources: Vec<IpNet>,
    /// What we answer its challenges with; and what it has to answer ours with, if `is_challenged`.
    pub credentials: Option<Credentials>,
    /// Whether its calls in need credentials too, beside their source address.
    pub is_challenged: bool,
    /// Whether, and as whom, we register with it.
    pub registration: Option<Registration>,
    /// The user that calls out come from, where [`Dial`](super::Dial) names none.
    pub caller: Option<String>,
    /// So many calls at once, in and out together.
    pub calls_max: usize,
}

impl Trunk {
    /// A trunk over UDP that only takes calls out, and has no limit of its own.
    pub fn new(name: &str, host: &str) -> Trunk {
        Trunk {
            name: name.to_owned(),
            host: host.to_owned(),
            proxy: None,
            transport: Transport::Udp,
            sources: Vec::new(),
            credentials: None,
            is_challenged: false,
            registration: None,
            caller: None,
            calls_max: usize::MAX,
        }
    }
}

/// Somebody with a softphone, who may register and call.
pub type User = Credentials;

/// Who may call in, beside trunks by their address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inbound {
    /// Nobody: 403.
    Trunks,
    /// Users and trunks that know their password; others are challenged.
    #[default]
    Authenticated,
    /// Everybody. Credentials that are sent unasked are not looked at.
    Anybody,
}

/// The small registrar, for softphones of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registrar {
    /// Shorter ones are refused (423 Interval Too Brief; RFC 3261, section 10.2.8).
    pub expires_min_s: u32,
    /// Longer ones are cut to this.
    pub expires_max_s: u32,
    /// So many contacts of one user: a new one puts out the oldest.
    pub contacts_max: usize,
}

impl Default for Registrar {
    fn default() -> Registrar {
        Registrar { expires_min_s: 60, expires_max_s: 3600, contacts_max: 4 }
    }
}

/// Session timers (RFC 4028): a call whose peer has gone ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// The interval that we ask for.
    pub expires_s: u32,
    /// The shortest that we take; at least 90 (RFC 4028, section 5).
    pub min_s: u32,
}

impl Default for SessionTimers {
    fn default() -> SessionTimers {
        SessionTimers { expires_s: 1800, min_s: 90 }
    }
}

/// What is taken on before anything is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once, in and out. More get 503 with Retry-After.
    pub calls_max: usize,
    /// Calls at once from one source address that is no trunk's.
    pub calls_per_source_max: usize,
    /// New calls a minute from one source address that is no trunk's; more get 503.
    pub calls_per_source_per_minute: u32,
    /// New calls a minute of one trunk; more get 503.
    pub calls_per_trunk_per_minute: u32,
    /// Requests outside of calls a minute from one source address (REGISTER, OPTIONS, challenges): more get silence.
    pub requests_per_source_per_minute: u32,
    /// Requests within one call a second; more get 503, but for the first BYE.
    pub requests_per_call_per_second: u32,
    /// Wrong passwords a minute from one source address; more get silence until they fade.
    pub failures_per_source_per_minute: u32,
    /// Requests of one source address that wait for our answer, or for the ACK to it, and are neither a trunk's nor of a call
    /// that we know. More are dropped.
    pub requests_pending_per_source_max: usize,
    /// Messages that wait to be looked at. More are dropped, as if the network had lost them.
    pub messages_waiting_max: usize,
    /// Bytes of a message; longer datagrams are dropped, longer streams are closed.
    pub message_bytes_max: usize,
    /// Streams (TCP, TLS) at once that others opened.
    pub streams_max: usize,
    /// Streams of one address at once.
    pub streams_per_source_max: usize,
    /// Streams at once that we opened: to trunks, mostly.
    pub streams_out_max: usize,
    /// Events that the application has not taken. With a full queue calls in get 503, and the rest waits.
    pub events_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls_max: 1000,
            calls_per_source_max: 50,
            calls_per_source_per_minute: 60,
            calls_per_trunk_per_minute: 6000,
            requests_per_source_per_minute: 600,
            requests_per_call_per_second: 20,
            failures_per_source_per_minute: 10,
            requests_pending_per_source_max: 256,
            messages_waiting_max: 2048,
            message_bytes_max: 16 * 1024,
            streams_max: 512,
            streams_per_source_max: 16,
            streams_out_max: 128,
            events_waiting_max: 1024,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// At least one; the first of a transport is the one that messages of ours leave from.
    pub listeners: Vec<Listener>,
    /// Needed with a listener or a trunk over TLS.
    pub tls: Tls,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// What users are asked for their password for (RFC 7616, section 3.3).
    pub realm: String,
    /// The hashes that are offered for it, the best first: clients take the first that they know (RFC 8760, section 2.4). By
    /// default only MD5, because some phones give up when they see another.
    pub digests: Vec<Algorithm>,
    /// Who may call in.
    pub inbound: Inbound,
    /// Providers and other PBXs.
    pub trunks: Vec<Trunk>,
    /// People with softphones.
    pub users: Vec<User>,
    /// Whether users may register, so that they can be called.
    pub registrar: Option<Registrar>,
    /// Session timers; `None` leaves it to the peer whether there are any.
    pub session_timers: Option<SessionTimers>,
    /// What is taken on.
    pub limits: Limits,
    /// Headers of an INVITE that [`Incoming`](super::Incoming) carries along, in any case: `P-Asserted-Identity`, `X-Room`.
    pub headers: Vec<String>,
    /// A call in that is not answered by then gets 480; a call out is cancelled.
    pub ringing_timeout: Duration,
    /// Nonces of challenges hold so long; then the peer is challenged again, without a user being asked.
    pub nonce_lifetime: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listeners: vec![Listener {
                transport: Transport::Udp,
                bind: SocketAddr::from(([127, 0, 0, 1], 5060)),
                public: None,
            }],
            tls: Tls::default(),
            user_agent: concat!("Tercet/", env!("CARGO_PKG_VERSION")).to_owned(),
            realm: "tercet".to_owned(),
            digests: vec![Algorithm::Md5],
            inbound: Inbound::default(),
            trunks: Vec::new(),
            users: Vec::new(),
            registrar: None,
            session_timers: Some(SessionTimers::default()),
            limits: Limits::default(),
            headers: Vec::new(),
            ringing_timeout: Duration::from_secs(180),
            nonce_lifetime: Duration::from_secs(60),
        }
    }
}
