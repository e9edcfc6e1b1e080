//! Phones: where calls come in, who may call, which room a call is for, and through whom calls go out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tercet_protocol::Role;

/// Where SIP listens unless it is told otherwise (RFC 3261, section 19.1.2).
pub(crate) const SIP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);

/// Phones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SipConfig {
    /// Whether phones can call, and be called.
    pub(crate) enabled: bool,
    /// Where calls come in over UDP and TCP, ADDRESS:PORT. Port 0 lets the system choose. On any address but loopback, say
    /// with `route` where calls go.
    pub(crate) listen: SocketAddr,
    /// What phones and trunks are told instead, if that is elsewhere: behind NAT, or bound to all addresses.
    #[schemars(example = "203.0.113.7:5060")]
    pub(crate) public: Option<SocketAddr>,
    /// Where calls come in over TLS; `certificate` and `key` belong to it.
    #[schemars(example = "0.0.0.0:5061")]
    pub(crate) tls: Option<SocketAddr>,
    /// The certificate of TLS and those between it and a root, PEM.
    #[schemars(example = "/etc/tercet/sip.pem")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of it, PEM.
    #[schemars(example = "/etc/tercet/sip.key")]
    pub(crate) key: Option<PathBuf>,
    /// The ports of calls' sound, first and last: two for each call, at the address of `listen`.
    pub(crate) rtp_ports: [u16; 2],
    /// What phones may speak, the best first: `opus`, `g722`, `pcmu`, `pcma`.
    pub(crate) codecs: Vec<SipCodec>,
    /// Whether sound is sealed (SRTP, with keys in the session description): `never`, `optional` as the phone likes, or
    /// `required`.
    pub(crate) srtp: SipSrtp,
    /// Who may call in: `anybody`, `authenticated` users and trunks, or only `trunks`. By default anybody where SIP listens
    /// on loopback, and who is authenticated elsewhere.
    #[schemars(example = SipCallers::Authenticated)]
    pub(crate) callers: Option<SipCallers>,
    /// Whom those have called who moderate without a moderator's token, because they came first or were promoted:
    /// `nobody`, `users`, or `anybody`, through the trunks too. By default users where the development secret is in use,
    /// which means on loopback, and nobody elsewhere.
    #[schemars(example = SipDials::Nobody)]
    pub(crate) promoted_dials: Option<SipDials>,
    /// How callers are named to others: `masked`, with the last three digits of their number, `full`, or `hidden`.
    pub(crate) caller_id: SipCallerId,
    /// The language of prompts where a route says nothing: `en`, `de`, `fr` or `es`.
    pub(crate) language: String,
    /// A directory of WAV files in place of the built-in prompts: `LANGUAGE/NAME.wav`, and `hold.wav` for the music.
    #[schemars(example = "/etc/tercet/prompts")]
    pub(crate) prompts: Option<PathBuf>,
    /// A phone from which nothing comes for so long has gone, in milliseconds.
    pub(crate) silent_ms: u64,
    /// The most calls at once.
    pub(crate) calls_max: u32,
    /// The most new calls a minute from one address.
    pub(crate) calls_per_minute: u32,
    /// Users with softphones, who may register and call.
    #[schemars(example = example_users())]
    pub(crate) user: Vec<SipUser>,
    /// Providers and other PBXes: calls come from them and go through them.
    #[schemars(example = example_trunks())]
    pub(crate) trunk: Vec<SipTrunk>,
    /// Which room a call is for; the first that fits. Without any, and on loopback, a call to `sip:ROOM@host` joins ROOM.
    #[schemars(example = example_routes())]
    pub(crate) route: Vec<SipRoute>,
}

/// What a phone may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipCodec {
    /// Opus, at 16 kHz.
    Opus,
    /// G.722.
    G722,
    /// G.711 with the µ-law.
    Pcmu,
    /// G.711 with the A-law.
    Pcma,
}

/// Whether sound is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipSrtp {
    /// Never.
    Never,
    /// As the phone likes.
    #[default]
    Optional,
    /// Always.
    Required,
}

/// Who may call in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipCallers {
    /// Everybody.
    Anybody,
    /// Users and trunks.
    Authenticated,
    /// Trunks, by their address.
    Trunks,
}

/// Whom a moderator may have called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipDials {
    /// Nobody.
    Nobody,
    /// Users of ours, which costs nothing.
    Users,
    /// Users, and numbers through trunks.
    Anybody,
}

/// How callers are named to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipCallerId {
    /// The last three digits.
    #[default]
    Masked,
    /// The whole number.
    Full,
    /// No digit.
    Hidden,
}

/// Somebody with a softphone.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SipUser {
    /// The user of `sip:USER@host`.
    pub(crate) name: String,
    /// What their phone registers with.
    pub(crate) password: String,
}

// A derived `Debug` would put the password into the first log line that prints a configuration.
impl fmt::Debug for SipUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A provider, or another PBX.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SipTrunk {
    /// What it is called here.
    pub(crate) name: String,
    /// Where calls out go, HOST or HOST:PORT.
    pub(crate) host: String,
    /// By what: `udp`, `tcp` or `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<SipTransport>,
    /// Where its messages are sent, if not to `host`: an outbound proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
    /// Where its calls in come from, such as `203.0.113.0/24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub(crate) sources: Vec<IpNet>,
    /// What its challenges are answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The password of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    /// Whether to register with it, so that it knows where to send calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) register: bool,
    /// The number that calls out come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
    /// The most calls at once, in and out together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calls_max: Option<u32>,
}

// As above.
impl fmt::Debug for SipTrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipTrunk").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

/// By what a trunk is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SipTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams.
    Tcp,
    /// Sealed streams.
    Tls,
}

/// Which room a call is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SipRoute {
    /// The number or name that was called; `*` at its end stands for any rest. Any, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<String>,
    /// The trunk that it came from. Any, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trunk: Option<String>,
    /// The room. Left out, it is what `header` says, or else the number or name that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<String>,
    /// The header whose value is the room; the route is for calls that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// What callers have to key in before they are let in, 1 to 32 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<String>,
    /// With this one they are moderators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moderator_pin: Option<String>,
    /// What they are: `listener`, `speaker` (by default) or `moderator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    /// Whether they hear music until a moderator is in the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) wait_for_moderator: bool,
    /// The language of prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
}

impl SipConfig {
    /// The ports of calls' sound.
    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        self.rtp_ports[0]..=self.rtp_ports[1]
    }

    /// Who may call in.
    pub(crate) fn callers(&self) -> SipCallers {
        let by_default =
            if self.listen.ip().is_loopback() { SipCallers::Anybody } else { SipCallers::Authenticated };
        self.callers.unwrap_or(by_default)
    }

    /// How long a phone may be silent.
    pub(crate) fn silent_after(&self) -> Duration {
        Duration::from_millis(self.silent_ms)
    }
}

impl Default for SipConfig {
    fn default() -> Self {
        SipConfig {
            enabled: true,
            listen: SIP_DEFAULT,
            public: None,
            tls: None,
            certificate: None,
            key: None,
            rtp_ports: [40_000, 49_999],
            codecs: vec![SipCodec::Opus, SipCodec::G722, SipCodec::Pcmu, SipCodec::Pcma],
            srtp: SipSrtp::default(),
            callers: None,
            promoted_dials: None,
            caller_id: SipCallerId::default(),
            language: "en".to_owned(),
            prompts: None,
            silent_ms: 30_000,
            calls_max: 1000,
            calls_per_minute: 60,
            user: Vec::new(),
            trunk: Vec::new(),
            route: Vec::new(),
        }
    }
}

/// What the sample shows of the lists.
pub(super) fn example_users() -> Vec<SipUser> {
    vec![SipUser { name: "ada".to_owned(), password: "<a long password>".to_owned() }]
}

pub(super) fn example_trunks() -> Vec<SipTrunk> {
    let trunk = SipTrunk {
        name: "carrier".to_owned(),
        host: "sip.example.com".to_owned(),
        transport: Some(SipTransport::Tls),
        proxy: None,
        sources: vec![IpNet::from(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20)))],
        username: Some("493012345".to_owned()),
        password: Some("<the password>".to_owned()),
        register: true,
        caller: Some("+493012345".to_owned()),
        calls_max: Some(30),
    };
    vec![trunk]
}

pub(super) fn example_routes() -> Vec<SipRoute> {
    let route = SipRoute {
        number: Some("493012345*".to_owned()),
        room: Some("all-hands".to_owned()),
        pin: Some("4711".to_owned()),
        moderator_pin: Some("081508".to_owned()),
        wait_for_moderator: true,
        language: Some("de".to_owned()),
        ..SipRoute::default()
    };
    vec![route]
}
