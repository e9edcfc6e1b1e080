//! The command line. In: the arguments and the `TERCET_*` environment. Out: a [`Command`] to carry
//! out, and for `serve` a validated [`Config`], in which a flag wins over its environment variable
//! and that over the file. `token` and `config` need no server and are carried out here.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use ipnet::IpNet;
use tercet_protocol::Role;

use crate::access::{Access, Grant, Signer, mint_admin, mint_eddsa, mint_hs256};
use crate::cluster::ZoneMap;
use crate::config::{ClusterRole, Config, DEV_SECRET, SECRET_BYTES_MIN, check_environment};

const EXAMPLES: &str = "\
Examples:
  tercet serve                                    this machine only: http://127.0.0.1:8080
  TERCET_SECRET=$(openssl rand -hex 32) tercet serve --http 0.0.0.0:8080 --media-udp 0.0.0.0:50000
  tercet token --room stage --identity alice      a token to enter with
  tercet config > tercet.toml                     every setting, with its meaning and default";

const SERVE_NOTES: &str = "\
Every flag is also an environment variable, whose lists are separated by commas. A flag wins over
its variable, a variable over the configuration file. `tercet config` prints all settings; those
without a flag are set in the file. SIGTERM lets the sessions end first, a second one does not.";

/// An audio-first conferencing server: the loudest voices, forwarded untouched.
#[derive(Parser)]
#[command(name = "tercet", version, about, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the command line asks for.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server; without any flag, for this machine only
    Serve(Box<ServeArgs>),
    /// Print an access token
    Token(TokenArgs),
    /// Print a documented sample of the configuration file, or check a file
    Config(ConfigArgs),
    /// Print the version
    Version,
}

/// The flags of `tercet serve`: what is `None` is left to the configuration file.
// No `Debug`: it would print the secret.
#[derive(Args)]
#[command(after_help = SERVE_NOTES, next_line_help = true)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "PATH", env = "TERCET_CONFIG")]
    config: Option<PathBuf>,

    /// Where HTTP and signalling listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_HTTP", value_parser = address)]
    http: Option<SocketAddr>,

    /// Range of addresses of proxies in front of it that are neither on this machine nor nodes, such as `10.0.0.7/32`: what they add
    /// to `X-Forwarded-For` is believed; may be repeated
    #[arg(long, value_name = "RANGE", env = "TERCET_HTTP_PROXY", value_delimiter = ',')]
    http_proxy: Option<Vec<IpNet>>,

    /// Certificate of HTTPS and those between it and a root, a PEM file: HTTP speaks TLS
    #[arg(long, value_name = "PATH", env = "TERCET_TLS_CERT")]
    tls_cert: Option<PathBuf>,

    /// The key of it, a PEM file
    #[arg(long, value_name = "PATH", env = "TERCET_TLS_KEY")]
    tls_key: Option<PathBuf>,

    /// Name to have a certificate for by ACME (Let's Encrypt), in place of files; may be repeated
    #[arg(long, value_name = "DOMAIN", env = "TERCET_TLS_ACME", value_delimiter = ',')]
    tls_acme: Option<Vec<String>>,

    /// Whom the authority writes to, such as mailto:ops@example.com
    #[arg(long, value_name = "URL", env = "TERCET_TLS_ACME_CONTACT", value_delimiter = ',')]
    tls_acme_contact: Option<Vec<String>>,

    /// Directory for what came by ACME; it has to survive restarts
    #[arg(long, value_name = "PATH", env = "TERCET_TLS_ACME_CACHE")]
    tls_acme_cache: Option<PathBuf>,

    /// Where media is sent and received, the first of one port a worker; may be repeated
    /// [default: 127.0.0.1:50000]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_MEDIA_UDP", value_delimiter = ',')]
    #[arg(value_parser = address)]
    media_udp: Option<Vec<SocketAddr>>,

    /// Where media comes over TCP, from networks that let no UDP through, or `off`; may be repeated
    /// [default: where --media-udp is]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_MEDIA_TCP", value_delimiter = ',')]
    #[arg(value_parser = address_or_off)]
    media_tcp: Option<Vec<Listen>>,

    /// Address that clients are told to send media to, behind NAT; one IPv4 and one IPv6 at most
    #[arg(long, value_name = "ADDRESS", env = "TERCET_PUBLIC_IP", value_delimiter = ',')]
    public_ip: Option<Vec<IpAddr>>,

    /// What clients are told instead of --media-udp, behind NAT that changes ports, the first of one a worker
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_MEDIA_UDP_PUBLIC", value_delimiter = ',')]
    #[arg(value_parser = address)]
    media_udp_public: Option<Vec<SocketAddr>>,

    /// What clients are told instead of --media-tcp, behind NAT that changes ports
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_MEDIA_TCP_PUBLIC", value_delimiter = ',')]
    #[arg(value_parser = address)]
    media_tcp_public: Option<Vec<SocketAddr>>,

    /// TURN server that clients are told of, turn:HOST:PORT; may be repeated. Goes with TERCET_TURN_SECRET
    #[arg(long, value_name = "URL", env = "TERCET_TURN", value_delimiter = ',')]
    turn: Option<Vec<String>>,

    /// Secret that the TURN server shares with this one; better a variable, for arguments are seen
    #[arg(long, value_name = "SECRET", env = "TERCET_TURN_SECRET", hide_env_values = true)]
    turn_secret: Option<String>,

    /// Media threads, 1 to 256 [default: one for each core]
    #[arg(long, value_name = "N", env = "TERCET_WORKERS")]
    workers: Option<usize>,

    /// Where phones call in over UDP and TCP, or `off` [default: 127.0.0.1:5060]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_SIP", value_parser = address_or_off)]
    sip: Option<Listen>,

    /// What phones are told instead of it, behind NAT
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_SIP_PUBLIC", value_parser = address)]
    sip_public: Option<SocketAddr>,

    /// Secret that the nodes of a cluster share, at least 32 bytes; without it the node is by itself;
    /// better a variable, for arguments are seen
    #[arg(long, value_name = "SECRET", env = "TERCET_CLUSTER_SECRET", hide_env_values = true)]
    cluster_secret: Option<String>,

    /// The number of the node in its zone, 1 to 255 [default: 1]
    #[arg(long, value_name = "N", env = "TERCET_NODE_ID", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 1))]
    node_id: Option<u8>,

    /// The zone that the node is in, 0 to 255 [default: 0]
    #[arg(long, value_name = "Z", env = "TERCET_ZONE", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 0))]
    zone: Option<u8>,

    /// Where any other node listens for nodes, by address or name; may be repeated
    #[arg(long, value_name = "HOST:PORT", env = "TERCET_SEED", value_delimiter = ',')]
    seed: Option<Vec<String>>,

    /// Where the node listens for others [default: 127.0.0.1:50100]
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_CLUSTER_UDP", value_parser = address)]
    cluster_udp: Option<SocketAddr>,

    /// Where others reach it, behind NAT or if it listens on all addresses
    #[arg(long, value_name = "ADDRESS:PORT", env = "TERCET_CLUSTER_PUBLIC", value_parser = address)]
    cluster_public: Option<SocketAddr>,

    /// What the node does: have sessions, send people to nodes that do, both, or have phones [default: all]
    #[arg(long, env = "TERCET_ROLE")]
    role: Option<ClusterRole>,

    /// Where clients and other nodes reach the HTTP of this node, behind a proxy
    #[arg(long, value_name = "URL", env = "TERCET_HTTP_PUBLIC")]
    http_public: Option<String>,

    /// Which addresses of clients are in which zone, a TOML file
    #[arg(long, value_name = "PATH", env = "TERCET_ZONE_MAP")]
    zone_map: Option<PathBuf>,

    /// What is logged: a level, or a list such as info,str0m=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "TERCET_LOG")]
    log: Option<String>,

    /// Log one JSON object a line
    #[arg(long, env = "TERCET_LOG_JSON", num_args = 0..=1, require_equals = true)]
    #[arg(value_name = "BOOL", default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    log_json: Option<bool>,

    /// Secret of HS256 access tokens, at least 32 bytes; better a variable, for arguments are seen
    #[arg(long, value_name = "SECRET", env = "TERCET_SECRET", hide_env_values = true)]
    secret: Option<String>,

    /// Ed25519 public key of EdDSA access tokens, a PEM file
    #[arg(long, value_name = "PATH", env = "TERCET_PUBLIC_KEY_FILE")]
    public_key_file: Option<PathBuf>,

    /// Let the demo page fetch tokens for any room [default: only with the development secret]
    #[arg(long, env = "TERCET_DEMO", num_args = 0..=1, require_equals = true)]
    #[arg(value_name = "BOOL", default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new())]
    demo: Option<bool>,

    /// Origin whose pages may load the SDK, `https://example.com`; may be repeated [default: *]
    #[arg(long, value_name = "ORIGIN", env = "TERCET_ALLOWED_ORIGIN", value_delimiter = ',')]
    allowed_origin: Option<Vec<String>>,

    /// Voices heard at once in a room, 1 to 8 [default: 3]
    #[arg(long, value_name = "K", env = "TERCET_SLOTS")]
    slots: Option<u8>,

    /// How much of a speaker is heard from before they were selected, 0 to 100 [default: 100]
    #[arg(long, value_name = "MILLISECONDS", env = "TERCET_PRE_ROLL_MS")]
    pre_roll_ms: Option<u8>,

    /// The most participants of a room [default: 10000]
    #[arg(long, value_name = "N", env = "TERCET_PARTICIPANTS_MAX")]
    participants_max: Option<u32>,

    /// How many of those who only listen everybody in a room is told of [default: 100]
    #[arg(long, value_name = "N", env = "TERCET_LISTED_LISTENERS_MAX")]
    listed_listeners_max: Option<u32>,

    /// How many participants of a room one worker takes before another does [default: 32]
    #[arg(long, value_name = "N", env = "TERCET_TOGETHER_MAX")]
    together_max: Option<u32>,

    /// The most sessions at once [default: 20000]
    #[arg(long, value_name = "N", env = "TERCET_SESSIONS_MAX")]
    sessions_max: Option<u32>,

    /// How long a stopping server waits for its sessions to leave [default: 10000]
    #[arg(long, value_name = "MILLISECONDS", env = "TERCET_SHUTDOWN_MS")]
    shutdown_ms: Option<u64>,
}

/// The flags of `tercet token`.
// No `Debug`: it would print the secret.
#[derive(Args)]
#[command(next_line_help = true)]
pub(crate) struct TokenArgs {
    /// The room, 1 to 128 characters
    #[arg(long, required_unless_present = "admin")]
    room: Option<String>,

    /// A token to look into the server with, in place of one to enter a room: `GET /v1/cluster`
    #[arg(long, conflicts_with_all = ["room", "role", "name", "no_data"])]
    admin: bool,

    /// The participant, 1 to 128 characters; a second one of the same identity replaces the first
    #[arg(long)]
    identity: String,

    /// What the participant may do: hear, also be heard, or also mute, promote and remove others
    #[arg(long, default_value = "speaker", value_parser = role_parser())]
    role: Role,

    /// How long the token is valid: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,

    /// The name to show, at most 64 characters
    #[arg(long)]
    name: Option<String>,

    /// Forbid data messages
    #[arg(long)]
    no_data: bool,

    /// Sign with HS256 and this secret [default: that of the file, or the development secret]
    #[arg(long, value_name = "SECRET", env = "TERCET_SECRET", hide_env_values = true)]
    secret: Option<String>,

    /// Sign with EdDSA and this Ed25519 private key, a PEM file, instead of a secret
    #[arg(long, value_name = "PATH")]
    private_key_file: Option<PathBuf>,

    /// Configuration file to take the secret from
    #[arg(long, value_name = "PATH", env = "TERCET_CONFIG")]
    config: Option<PathBuf>,
}

/// The flags of `tercet config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// Check this file, with the environment of this moment, as `tercet serve --config PATH` would; but nothing is opened
    /// for it: no port, no certificate and no prompt
    #[arg(long, value_name = "PATH")]
    check: Option<PathBuf>,
}

/// A token, and whether it only opens servers on loopback.
pub(crate) struct MintedToken {
    /// The token.
    pub(crate) token: String,
    /// Whether everybody could have made it.
    pub(crate) with_dev_secret: bool,
}

impl ServeArgs {
    /// The configuration: the file, overlaid by the environment and the flags, and validated.
    pub(crate) fn into_config(self) -> anyhow::Result<Config> {
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        check_environment(names, &known_variables())?;
        let file = self.config.as_deref().map(Config::from_file).transpose()?;
        let config = self.overlay(file.unwrap_or_default());
        config.validate()?;
        Ok(config)
    }

    /// `config` with every flag that is set.
    fn overlay(self, mut config: Config) -> Config {
        set(&mut config.http, self.http);
        set(&mut config.http_proxies, self.http_proxy);
        set(&mut config.tls.certificate, self.tls_cert.map(Some));
        set(&mut config.tls.key, self.tls_key.map(Some));
        set(&mut config.tls.acme, self.tls_acme);
        set(&mut config.tls.acme_contact, self.tls_acme_contact);
        set(&mut config.tls.acme_cache, self.tls_acme_cache.map(Some));
        set(&mut config.media_udp, self.media_udp);
        let listen = |all: Vec<Listen>| Some(all.into_iter().filter_map(|it| it.0).collect());
        set(&mut config.media_tcp, self.media_tcp.map(listen));
        set(&mut config.public_ip, self.public_ip);
        set(&mut config.media_udp_public, self.media_udp_public);
        set(&mut config.media_tcp_public, self.media_tcp_public);
        set(&mut config.turn.urls, self.turn);
        set(&mut config.turn.secret, self.turn_secret.map(Some));
        set(&mut config.workers, self.workers.map(Some));
        if let Some(sip) = self.sip {
            config.sip.enabled = sip.0.is_some();
            set(&mut config.sip.listen, sip.0);
        }
        set(&mut config.sip.public, self.sip_public.map(Some));
        set(&mut config.cluster.secret, self.cluster_secret.map(Some));
        set(&mut config.cluster.node_id, self.node_id);
        set(&mut config.cluster.zone, self.zone);
        set(&mut config.cluster.seeds, self.seed);
        set(&mut config.cluster.udp, self.cluster_udp);
        set(&mut config.cluster.public, self.cluster_public.map(Some));
        set(&mut config.cluster.role, self.role);
        set(&mut config.cluster.http_public, self.http_public.map(Some));
        set(&mut config.cluster.zone_map, self.zone_map.map(Some));
        set(&mut config.log.filter, self.log);
        set(&mut config.log.json, self.log_json);
        set(&mut config.access.secret, self.secret.map(Some));
        set(&mut config.access.public_key_file, self.public_key_file.map(Some));
        set(&mut config.demo, self.demo.map(Some));
        set(&mut config.allowed_origins, self.allowed_origin);
        set(&mut config.room.slots, self.slots);
        set(&mut config.room.pre_roll_ms, self.pre_roll_ms);
        set(&mut config.room.participants_max, self.participants_max);
        set(&mut config.room.listed_listeners_max, self.listed_listeners_max);
        set(&mut config.room.together_max, self.together_max);
        set(&mut config.limits.sessions_max, self.sessions_max);
        set(&mut config.shutdown_ms, self.shutdown_ms);
        config
    }
}

impl TokenArgs {
    /// Prints the token on stdout, and on stderr whether it is only good for a try.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let minted = self.mint()?;
        if minted.with_dev_secret {
            eprintln!(
                "note: signed with the development secret, which only a server on loopback \
                 accepts; set TERCET_SECRET for any other"
            );
        }
        println!("{}", minted.token);
        Ok(())
    }

    fn mint(self) -> anyhow::Result<MintedToken> {
        ensure!(self.ttl >= Duration::from_secs(1), "--ttl must be 1s or more");
        if self.admin {
            return self.mint_admin();
        }
        let grant = Grant {
            room: self.room.context("a token that isn't an admin's names a room")?,
            identity: self.identity,
            name: self.name,
            role: self.role,
            may_send_data: !self.no_data,
            first_moderates: false,
        };
        if let Some(path) = self.private_key_file {
            let pem = std::fs::read(&path)
                .with_context(|| format!("cannot read --private-key-file {}", path.display()))?;
            let token = mint_eddsa(&pem, &grant, self.ttl)
                .with_context(|| format!("no token with {}", path.display()))?;
            return Ok(MintedToken { token, with_dev_secret: false });
        }
        let secret = secret_to_sign_with(self.secret, self.config)?;
        let token = mint_hs256(&secret, &grant, self.ttl)?;
        Ok(MintedToken { token, with_dev_secret: secret == DEV_SECRET })
    }
}

impl TokenArgs {
    fn mint_admin(self) -> anyhow::Result<MintedToken> {
        if let Some(path) = self.private_key_file {
            let pem = std::fs::read(&path)
                .with_context(|| format!("cannot read --private-key-file {}", path.display()))?;
            let token = mint_admin(&self.identity, Signer::PrivateKey(&pem), self.ttl)?;
            return Ok(MintedToken { token, with_dev_secret: false });
        }
        let secret = secret_to_sign_with(self.secret, self.config)?;
        let token = mint_admin(&self.identity, Signer::Secret(&secret), self.ttl)?;
        Ok(MintedToken { token, with_dev_secret: secret == DEV_SECRET })
    }
}

impl ConfigArgs {
    /// Prints the sample, or that the file is good.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Some(path) = self.check else {
            print!("{}", Config::sample());
            return Ok(());
        };
        // Parsed like a command line, so that the environment takes part as it does in `serve`.
        let arguments = ["tercet".as_ref(), "serve".as_ref(), "--config".as_ref(), path.as_os_str()];
        let Command::Serve(serve) = Cli::try_parse_from(arguments)?.command else {
            bail!("`serve` was parsed as another command");
        };
        let config = serve.into_config()?;
        Access::from_config(&config)?;
        config.cluster.zone_map.as_deref().map(ZoneMap::from_file).transpose()?;
        println!("{}: ok", path.display());
        Ok(())
    }
}

/// Prints the version, in one line.
pub(crate) fn print_version() {
    println!("tercet {}", env!("CARGO_PKG_VERSION"));
}

/// The secret given, that of the file, or the development secret, in this order.
fn secret_to_sign_with(given: Option<String>, file: Option<PathBuf>) -> anyhow::Result<String> {
    if let Some(secret) = given {
        ensure!(
            secret.len() >= SECRET_BYTES_MIN,
            "the secret has {} bytes; a server takes none of less than {SECRET_BYTES_MIN}",
            secret.len()
        );
        return Ok(secret);
    }
    let config = file.as_deref().map(Config::from_file).transpose()?.unwrap_or_default();
    let secret = config.access_secret()?.context(
        "the configuration has a public key and no secret: give the private key with \
         --private-key-file",
    )?;
    Ok(secret.to_owned())
}

fn set<T>(value: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *value = flag;
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an address and a port, such as 127.0.0.1:8080 or [::1]:8080; names are not resolved".to_owned()
    })
}

/// Where something listens; `None` for nowhere.
#[derive(Clone, Copy)]
struct Listen(Option<SocketAddr>);

fn address_or_off(text: &str) -> Result<Listen, String> {
    if text == "off" { Ok(Listen(None)) } else { address(text).map(|address| Listen(Some(address))) }
}

/// The number of a node or zone, up to 255.
fn number(text: &str, min: u8) -> Result<u8, String> {
    if text.is_empty() {
        return Err(format!("write a number, {min} to {}, or unset the variable", u8::MAX));
    }
    let number = text.parse().ok().filter(|number| *number >= min);
    number.ok_or_else(|| format!("write a number, {min} to {}", u8::MAX))
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["listener", "speaker", "moderator"]).map(|name| match &*name {
        "listener" => Role::Listener,
        "moderator" => Role::Moderator,
        _ => Role::Speaker,
    })
}

/// Every environment variable that some command reads.
fn known_variables() -> BTreeSet<String> {
    let cli = Cli::command();
    let arguments = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    arguments.filter_map(clap::Arg::get_env).map(|name| name.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests;
