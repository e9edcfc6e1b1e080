//! The configuration, typed: every key, its meaning and its default stand here and nowhere else.
//!
//! In: a TOML file ([`Config::from_file`]), overlaid by flags and environment variables
//! (`cli.rs`). Out: a [`Config`] that [`Config::validate`] has accepted, and the documented sample
//! ([`Config::sample`]), which is generated from these types so that it cannot promise a key that
//! nothing reads. The rules are in `config/validate.rs`.

mod load;
mod media;
mod sample;
mod selection;
mod sip;
mod tls;
mod turn;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tercet_core::{PRE_ROLL_DEFAULT, RoomAudio};

use self::selection::{SelectorConfig, SelectorOverride};
pub(crate) use load::{ConfigError, check_environment};
pub(crate) use sip::{
    SIP_DEFAULT, SipCallerId, SipCallers, SipCodec, SipConfig, SipDials, SipRoute, SipSrtp, SipTransport,
    SipTrunk,
};
pub(crate) use tls::TlsConfig;
pub(crate) use turn::TurnConfig;
pub(crate) use validate::{NAME_CHARS_MAX, is_callable, is_name};

/// The secret that signs tokens where nothing else is configured. Everybody can read it here, so
/// [`Config::access_secret`] accepts it only where nobody else can reach the server: on loopback.
pub(crate) const DEV_SECRET: &str = "tercet-development-secret-known-to-everybody";

/// The shortest access secret: HS256 wants a key of the size of its hash (RFC 7518, section 3.2).
pub(crate) const SECRET_BYTES_MIN: usize = 32;

/// The most media workers.
pub(crate) const WORKERS_MAX: usize = 256;

/// The configuration of a server.
// The order of the fields is the order of the sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where HTTP and signalling listen, ADDRESS:PORT. Port 0 lets the system choose.
    pub(crate) http: SocketAddr,
    /// Proxies in front of `http` on other machines, as ranges of addresses that no client has: whom one says in
    /// `X-Forwarded-For` to have a request from is where it is counted. Those that come by loopback, and other nodes, are
    /// believed without.
    #[schemars(with = "Vec<String>", example = ["10.0.0.7/32"])]
    pub(crate) http_proxies: Vec<IpNet>,
    /// Where media is sent and received, ADDRESS:PORT; IPv6 is written `[::1]:50000`. The port is
    /// the first one: worker i uses port + i on each address. Port 0 lets the system choose.
    pub(crate) media_udp: Vec<SocketAddr>,
    /// Where media comes over TCP from clients whose network lets no UDP through (ICE over TCP), ADDRESS:PORT; all workers
    /// share the port. By default where `media_udp` is: the same addresses and first port. `[]` for nowhere.
    #[schemars(example = ["0.0.0.0:50000"])]
    pub(crate) media_tcp: Option<Vec<SocketAddr>>,
    /// Addresses that clients are told to send media to, instead of the bound ones: for a server
    /// behind NAT. At most one IPv4 and one IPv6 address. The ports are those of `media_udp` and `media_tcp`.
    #[schemars(example = ["203.0.113.7"])]
    pub(crate) public_ip: Vec<IpAddr>,
    /// What clients are told instead of `media_udp` where ports differ too, ADDRESS:PORT: for NAT that maps ports, such
    /// as Docker's. The port is the first one: worker i is at port + i. At most one IPv4 and one IPv6 address.
    #[schemars(example = ["203.0.113.7:40000"])]
    pub(crate) media_udp_public: Vec<SocketAddr>,
    /// The same of `media_tcp`, whose port is one for all workers.
    #[schemars(example = ["203.0.113.7:443"])]
    pub(crate) media_tcp_public: Vec<SocketAddr>,
    /// Media threads, 1 to 256. By default one for each core.
    #[schemars(example = 4)]
    pub(crate) workers: Option<usize>,
    /// Whether the demo page may fetch tokens for any room. By default only where the development
    /// secret is in use, which means on loopback. With `true`, whoever reaches the server can talk.
    #[schemars(example = true)]
    pub(crate) demo: Option<bool>,
    /// Origins whose pages may load the SDK, and read what WHIP and WHEP answer, such as `https://example.com`;
    /// `*` stands for any.
    pub(crate) allowed_origins: Vec<String>,
    /// How long a stopping server waits for its sessions to leave, in milliseconds.
    pub(crate) shutdown_ms: u64,
    /// HTTPS, for a node without a proxy in front of it: with either kind of certificate, `http` speaks TLS.
    pub(crate) tls: TlsConfig,
    /// TURN servers: relays for clients whose network lets neither UDP nor the port of `media_tcp` through.
    pub(crate) turn: TurnConfig,
    /// Other nodes: rooms may span them. Without a cluster secret this node is by itself.
    pub(crate) cluster: ClusterConfig,
    /// Phones: calls over SIP are participants of rooms.
    pub(crate) sip: SipConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// Who may enter: the keys that access tokens (JSON Web Tokens) are checked with. With neither
    /// key, a development secret that everybody knows is used, and the server stays on loopback.
    pub(crate) access: AccessConfig,
    /// Sessions: a session is one participant's attachment, and survives a reconnect.
    pub(crate) session: SessionConfig,
    /// What the server takes on before it refuses.
    pub(crate) limits: LimitsConfig,
    /// Every room, unless `rooms` says otherwise.
    pub(crate) room: RoomDefaults,
    /// Single rooms, by name. What is left out is as in `room`.
    #[schemars(example = example_rooms())]
    pub(crate) rooms: BTreeMap<String, RoomOverride>,
}

/// What a node does in its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClusterRole {
    /// Has sessions, and sends whom it can't take to others.
    #[default]
    All,
    /// Has sessions only.
    Media,
    /// Has none, and sends everybody to others.
    Gateway,
    /// Has phones, and sends everybody else to others.
    Sip,
}

impl ClusterRole {
    /// Whether clients other than phones are served.
    pub(crate) fn has_sessions(self) -> bool {
        matches!(self, ClusterRole::All | ClusterRole::Media)
    }
}

/// The other nodes.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterConfig {
    /// The secret that all nodes share, at least 32 bytes; whoever lacks it can't join, read or add anything. Better given
    /// as TERCET_CLUSTER_SECRET.
    #[schemars(example = "<openssl rand -hex 32>")]
    pub(crate) secret: Option<String>,
    /// The number of the node in its zone, 1 to 255.
    pub(crate) node_id: u8,
    /// The zone: a region whose nodes are near to each other, 0 to 255.
    pub(crate) zone: u8,
    /// What the node does: `all`, `media`, `gateway` or `sip`.
    pub(crate) role: ClusterRole,
    /// Nodes to begin with, HOST:PORT: where any others listen for nodes. A name stands for all its addresses.
    #[schemars(example = ["tercet-1.example.com:50100"])]
    pub(crate) seeds: Vec<String>,
    /// Where the node listens for others, ADDRESS:PORT. Port 0 lets the system choose.
    pub(crate) udp: SocketAddr,
    /// Where others reach it, if that is elsewhere: behind NAT, or bound to all addresses.
    #[schemars(example = "203.0.113.7:50100")]
    pub(crate) public: Option<SocketAddr>,
    /// Where clients and other nodes reach the HTTP of this node, if that is elsewhere: behind a proxy.
    #[schemars(example = "https://node-1.example.com")]
    pub(crate) http_public: Option<String>,
    /// A TOML file that tells which addresses of clients are in which zone: `[zones]`, and in it `1 = ["10.0.0.0/8"]`.
    #[schemars(example = "/etc/tercet/zones.toml")]
    pub(crate) zone_map: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or a list such as `info,str0m=debug`.
    pub(crate) filter: String,
    /// One JSON object a line, for log collectors.
    pub(crate) json: bool,
}

/// The keys that access tokens are checked with; both may be set.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccessConfig {
    /// The secret of HS256 tokens, at least 32 bytes. Better given as TERCET_SECRET.
    #[schemars(example = "<openssl rand -hex 32>")]
    pub(crate) secret: Option<String>,
    /// The Ed25519 public key of EdDSA tokens: a PEM file, as `openssl pkey -pubout` writes it.
    #[schemars(example = "/etc/tercet/access.pub.pem")]
    pub(crate) public_key_file: Option<PathBuf>,
}

/// The times of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionConfig {
    /// How long a session outlives its WebSocket, waiting for `resume`, in milliseconds.
    pub(crate) resume_ms: u64,
    /// A WebSocket on which nothing arrives for this long is closed, in milliseconds.
    pub(crate) idle_ms: u64,
    /// How long a new WebSocket has for its first message, in milliseconds.
    pub(crate) join_ms: u64,
}

/// What the server takes on before it refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// The most sessions at once.
    pub(crate) sessions_max: u32,
    /// The most TCP connections with media at once.
    pub(crate) media_tcp_connections_max: u32,
    /// The most players (WHEP) of one token's room and identity at once.
    pub(crate) players_of_token_max: u32,
}

/// The settings of every room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RoomDefaults {
    /// How many voices are heard at once, 1 to 8.
    pub(crate) slots: u8,
    /// How many participants one can watch at once, 0 to 16; 0 for rooms without video.
    pub(crate) video_slots: u8,
    /// How many kbit/s a camera may send, or a screen, of all its sizes together, 100 to 30000, and in a moment what they are in a second; what is
    /// beyond is dropped.
    pub(crate) video_kbps_max: u32,
    /// The most participants of a room.
    pub(crate) participants_max: u32,
    /// How many of those who only listen everybody is told of; the others are counted. In a room of thousands, a list
    /// of all of them is too much for a browser, and each coming and going a message to thousands.
    pub(crate) listed_listeners_max: u32,
    /// How many participants of a room one worker takes before another does. A small room costs less where all are on one
    /// worker; a large one needs more than one.
    pub(crate) together_max: u32,
    /// Send audio redundantly (RED, RFC 2198) where the client can: lost packets are not heard.
    pub(crate) red: bool,
    /// How much of a speaker is heard from before they were selected, at most, in milliseconds, 0 to 100: the beginning
    /// of a first syllable, while it was too soft to be told from noise or waited for a slot.
    pub(crate) pre_roll_ms: u8,
    /// How speakers are chosen. `docs/selection.md` says what each number is worth.
    pub(crate) selector: SelectorConfig,
}

/// What one room has of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RoomOverride {
    /// How many voices are heard at once, 1 to 8.
    pub(crate) slots: Option<u8>,
    /// How many participants one can watch at once, 0 to 16.
    pub(crate) video_slots: Option<u8>,
    /// How many kbit/s a camera may send, 100 to 30000.
    pub(crate) video_kbps_max: Option<u32>,
    /// The most participants of the room.
    pub(crate) participants_max: Option<u32>,
    /// How many of those who only listen everybody is told of.
    pub(crate) listed_listeners_max: Option<u32>,
    /// How much of a speaker is heard from before they were selected, at most, in milliseconds, 0 to 100.
    pub(crate) pre_roll_ms: Option<u8>,
    /// How its speakers are chosen: keys of `room.selector`.
    pub(crate) selector: Option<SelectorOverride>,
}

/// The settings of one room, defaults and overrides taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomSettings {
    /// How many voices are heard at once.
    pub(crate) slots: u8,
    /// How many can be watched at once.
    pub(crate) video_slots: u8,
    /// How many kbit/s a camera may send.
    pub(crate) video_kbps_max: u32,
    /// The most participants.
    pub(crate) participants_max: u32,
    /// How many of those who only listen are listed.
    pub(crate) listed_listeners_max: u32,
    /// Whether RED is offered.
    pub(crate) red: bool,
    /// How its speakers are chosen.
    pub(crate) audio: RoomAudio,
}

impl Config {
    /// The settings of the room `name`.
    pub(crate) fn room(&self, name: &str) -> RoomSettings {
        let own = self.rooms.get(name);
        let slots = own.and_then(|own| own.slots).unwrap_or(self.room.slots);
        let pre_roll_ms = own.and_then(|own| own.pre_roll_ms).unwrap_or(self.room.pre_roll_ms);
        let listed_listeners_max = own.and_then(|own| own.listed_listeners_max);
        RoomSettings {
            slots,
            video_slots: own.and_then(|own| own.video_slots).unwrap_or(self.room.video_slots),
            video_kbps_max: own.and_then(|own| own.video_kbps_max).unwrap_or(self.room.video_kbps_max),
            participants_max: own.and_then(|own| own.participants_max).unwrap_or(self.room.participants_max),
            listed_listeners_max: listed_listeners_max.unwrap_or(self.room.listed_listeners_max),
            red: self.room.red,
            audio: RoomAudio {
                params: self.selector(own).params(slots),
                pre_roll: Duration::from_millis(pre_roll_ms.into()),
            },
        }
    }

    fn selector(&self, own: Option<&RoomOverride>) -> SelectorConfig {
        let own = own.and_then(|own| own.selector.as_ref());
        own.map_or_else(|| self.room.selector.clone(), |own| self.room.selector.with(own))
    }

    /// How many media workers run: as configured, or one for each core.
    pub(crate) fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or_else(cores).clamp(1, WORKERS_MAX)
    }

    /// Whether tokens are signed with the secret that everybody knows.
    pub(crate) fn uses_dev_secret(&self) -> bool {
        match &self.access.secret {
            Some(secret) => secret == DEV_SECRET,
            None => self.access.public_key_file.is_none(),
        }
    }

    /// Whom those have called who moderate without a moderator's token.
    pub(crate) fn promoted_dials(&self) -> SipDials {
        let by_default = if self.uses_dev_secret() { SipDials::Users } else { SipDials::Nobody };
        self.sip.promoted_dials.unwrap_or(by_default)
    }

    /// Whether the demo page may fetch tokens.
    pub(crate) fn demo_open(&self) -> bool {
        self.demo.unwrap_or_else(|| self.uses_dev_secret())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            http_proxies: Vec::new(),
            media_udp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 50000))],
            media_tcp: None,
            public_ip: Vec::new(),
            media_udp_public: Vec::new(),
            media_tcp_public: Vec::new(),
            workers: None,
            demo: None,
            allowed_origins: vec!["*".to_owned()],
            shutdown_ms: 10_000,
            tls: TlsConfig::default(),
            turn: TurnConfig::default(),
            cluster: ClusterConfig::default(),
            sip: SipConfig::default(),
            log: LogConfig::default(),
            access: AccessConfig::default(),
            session: SessionConfig::default(),
            limits: LimitsConfig::default(),
            room: RoomDefaults::default(),
            rooms: BTreeMap::new(),
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            secret: None,
            node_id: 1,
            zone: 0,
            role: ClusterRole::All,
            seeds: Vec::new(),
            udp: SocketAddr::from((Ipv4Addr::LOCALHOST, 50100)),
            public: None,
            http_public: None,
            zone_map: None,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { filter: "info".to_owned(), json: false }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig { resume_ms: 30_000, idle_ms: 30_000, join_ms: 10_000 }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig { sessions_max: 20_000, media_tcp_connections_max: 20_000, players_of_token_max: 2_000 }
    }
}

impl Default for RoomDefaults {
    fn default() -> Self {
        RoomDefaults {
            slots: 3,
            video_slots: 9,
            video_kbps_max: 6_000,
            participants_max: 10_000,
            listed_listeners_max: 100,
            together_max: 32,
            red: true,
            pre_roll_ms: PRE_ROLL_DEFAULT.as_millis() as u8,
            selector: SelectorConfig::default(),
        }
    }
}

// A derived `Debug` would put the secret into the first log line that prints a configuration.
impl fmt::Debug for AccessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessConfig")
            .field("secret", &self.secret.as_ref().map(|_| "[redacted]"))
            .field("public_key_file", &self.public_key_file)
            .finish()
    }
}

// As above.
impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClusterConfig { secret, node_id, zone, role, seeds, udp, public, http_public, zone_map } = self;
        f.debug_struct("ClusterConfig")
            .field("secret", &secret.as_ref().map(|_| "[redacted]"))
            .field("node", &format_args!("{zone}.{node_id}"))
            .field("role", role)
            .field("seeds", seeds)
            .field("udp", udp)
            .field("public", public)
            .field("http_public", http_public)
            .field("zone_map", zone_map)
            .finish()
    }
}

/// One room in the sample, to show the form.
fn example_rooms() -> BTreeMap<String, RoomOverride> {
    let selector = toml::from_str("margin_db = 3").expect("a tunable, within its range");
    let room = RoomOverride {
        slots: Some(5),
        video_slots: Some(9),
        video_kbps_max: Some(2_500),
        participants_max: Some(500),
        listed_listeners_max: Some(500),
        pre_roll_ms: Some(60),
        selector: Some(selector),
    };
    BTreeMap::from([("all-hands".to_owned(), room)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use selector::Params;

    use super::*;

    #[test]
    fn a_room_takes_from_the_defaults_what_it_does_not_set() {
        let config: Config = toml::from_str(
            "[room]\nselector = { hold_for_ms = 900 }\n\
             [rooms.stage]\nslots = 5\npre_roll_ms = 40\nlisted_listeners_max = 0\nselector = { margin_db = 3 }",
        )
        .unwrap();
        let settings = |slots: u8, margin_db, pre_roll_ms, listed_listeners_max| {
            let hold_for = Duration::from_millis(900);
            let params = Params { margin_db, hold_for, ..Params::with_slots(slots.into()) };
            let audio = RoomAudio { params, pre_roll: Duration::from_millis(pre_roll_ms) };
            let (video_slots, video_kbps_max, participants_max, red) = (9, 6_000, 10_000, true);
            RoomSettings {
                slots,
                video_slots,
                video_kbps_max,
                participants_max,
                listed_listeners_max,
                red,
                audio,
            }
        };
        let (stage, other) = (settings(5, 3, 40, 0), settings(3, 6, 100, 100));
        assert_eq!(config.room("stage"), stage);
        assert_eq!(config.room("elsewhere"), other);
    }

    #[test]
    fn demo_tokens_are_open_only_with_the_dev_secret_unless_told() {
        let mut config = Config::default();
        assert!(config.demo_open());
        config.access.secret = Some("0123456789abcdef0123456789abcdef".to_owned());
        assert!(!config.demo_open());
        config.demo = Some(true);
        assert!(config.demo_open());
    }

    #[test]
    fn a_printed_configuration_does_not_show_the_secret() {
        let mut config = Config::default();
        config.access.secret = Some("0123456789abcdef0123456789abcdef".to_owned());
        config.cluster.secret = config.access.secret.clone();
        assert!(!format!("{config:?}").contains("0123456789"));
    }
}
