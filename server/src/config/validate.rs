//! The rules that a [`Config`] keeps before anything is bound. Each refusal names the key, the
//! value, and what to set instead.

use std::net::IpAddr;

use tracing_subscriber::EnvFilter;

use tercet_core::PRE_ROLL_MAX;
use tercet_sip_gateway::menu::Pin;
use tercet_sip_gateway::prompts::Language;

use super::{ClusterConfig, Config, ConfigError, DEV_SECRET, SECRET_BYTES_MIN, SipTransport, WORKERS_MAX};

/// Times are added to clocks: a bound keeps that from overflowing, and no longer one makes sense.
const TIME_MS_MAX: u64 = 24 * 60 * 60 * 1000;

const SLOTS_MAX: u8 = 8;

const VIDEO_SLOTS_MAX: u8 = 16;

const VIDEO_KBPS_MIN: u32 = 100;
const VIDEO_KBPS_MAX: u32 = 30_000;

const PRE_ROLL_MS_MAX: u8 = PRE_ROLL_MAX.as_millis() as u8;

/// The longest name of a room or participant, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 128;

impl Config {
    /// Checks every rule; the first one that is broken is the error.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.access_secret()?;
        self.check_demo()?;
        self.check_media()?;
        self.check_media_tcp()?;
        self.check_public()?;
        self.check_tls()?;
        self.check_turn()?;
        self.check_origins()?;
        self.check_cluster()?;
        self.check_sip()?;
        self.check_log()?;
        self.check_numbers()?;
        self.check_rooms()
    }

    /// The secret of HS256 tokens, or `None` where only EdDSA tokens are accepted.
    ///
    /// The development secret is given out only where nobody else can reach the server: it is in
    /// the source, so on any other address it would let everybody in.
    pub(crate) fn access_secret(&self) -> Result<Option<&str>, ConfigError> {
        if self.uses_dev_secret() {
            self.check_loopback()?;
            return Ok(Some(DEV_SECRET));
        }
        let Some(secret) = self.access.secret.as_deref() else {
            return Ok(None);
        };
        ensure(secret.len() >= SECRET_BYTES_MIN, || {
            format!(
                "access.secret has {} bytes: set TERCET_SECRET to at least {SECRET_BYTES_MIN} \
                 (e.g. `openssl rand -hex 32`)",
                secret.len()
            )
        })?;
        Ok(Some(secret))
    }

    /// Refuses addresses that others can reach, for the sake of the development secret.
    fn check_loopback(&self) -> Result<(), ConfigError> {
        let (reachable, instead) = if !is_loopback(self.http.ip()) {
            (format!("http is bound to {}, which is not loopback,", self.http), "bind to 127.0.0.1")
        } else if let Some(media) = self.media_udp.iter().find(|media| !is_loopback(media.ip())) {
            (format!("media_udp is bound to {media}, which is not loopback,"), "bind to 127.0.0.1")
        } else if let Some(media) = self.media_tcp().iter().find(|media| !is_loopback(media.ip())) {
            (format!("media_tcp is bound to {media}, which is not loopback,"), "bind to 127.0.0.1")
        } else if let Some(public) = self.public_ip.first() {
            (format!("public_ip announces {public} to clients,"), "remove public_ip")
        } else if let Some(public) = self.media_udp_public.first() {
            (format!("media_udp_public announces {public} to clients,"), "remove media_udp_public")
        } else if let Some(public) = self.media_tcp_public.first() {
            (format!("media_tcp_public announces {public} to clients,"), "remove media_tcp_public")
        } else {
            return Ok(());
        };
        let problem = match self.access.secret {
            None => "no access secret is set",
            Some(_) => "the access secret is the development secret, which everybody knows",
        };
        Err(ConfigError::Invalid(format!(
            "{reachable} and {problem}: set TERCET_SECRET (at least {SECRET_BYTES_MIN} bytes, \
             e.g. `openssl rand -hex 32`), or {instead}"
        )))
    }

    fn check_demo(&self) -> Result<(), ConfigError> {
        let can_sign = self.access.secret.is_some() || self.uses_dev_secret();
        ensure(can_sign || !self.demo_open(), || {
            "demo is true, but a public key cannot sign demo tokens: set TERCET_SECRET too, or \
             demo = false"
                .to_owned()
        })
    }

    fn check_media(&self) -> Result<(), ConfigError> {
        ensure(!self.media_udp.is_empty(), || {
            "media_udp is empty: set at least one ADDRESS:PORT, such as 127.0.0.1:50000".to_owned()
        })?;
        if let Some(workers) = self.workers {
            ensure((1..=WORKERS_MAX).contains(&workers), || {
                format!("workers is {workers}: set 1 to {WORKERS_MAX}, or leave it out")
            })?;
        }
        let workers = self.worker_count();
        let fixed: Vec<_> = self.media_udp.iter().filter(|media| media.port() != 0).collect();
        for (index, media) in fixed.iter().enumerate() {
            let first = usize::from(media.port());
            ensure(first + workers <= 1 + usize::from(u16::MAX), || {
                format!(
                    "media_udp {media} leaves no {workers} ports for {workers} workers: set a port \
                     of at most {}, or fewer workers",
                    1 + usize::from(u16::MAX) - workers
                )
            })?;
            let overlap = fixed[..index].iter().find(|other| {
                other.ip() == media.ip() && first.abs_diff(usize::from(other.port())) < workers
            });
            if let Some(other) = overlap {
                return Err(ConfigError::Invalid(format!(
                    "media_udp {other} and {media} overlap: each address uses {workers} ports, one \
                     for each worker; keep them that far apart, or name the address once"
                )));
            }
        }
        Ok(())
    }

    fn check_cluster(&self) -> Result<(), ConfigError> {
        let cluster = &self.cluster;
        let Some(secret) = &cluster.secret else {
            let set = cluster.differing();
            return ensure(set.is_empty(), || {
                format!(
                    "cluster.{} {} set, but no cluster secret: set TERCET_CLUSTER_SECRET (at least \
                     {SECRET_BYTES_MIN} bytes, e.g. `openssl rand -hex 32`), the same on all nodes",
                    set.join(", cluster."),
                    if set.len() == 1 { "is" } else { "are" },
                )
            });
        };
        ensure(secret.len() >= SECRET_BYTES_MIN, || {
            format!(
                "cluster.secret has {} bytes: set TERCET_CLUSTER_SECRET to at least {SECRET_BYTES_MIN} \
                 (e.g. `openssl rand -hex 32`)",
                secret.len()
            )
        })?;
        ensure(cluster.node_id > 0, || "cluster.node_id is 0: set 1 to 255, unique in its zone".to_owned())?;
        ensure(cluster.udp.ip() != std::net::Ipv6Addr::UNSPECIFIED, || {
            format!("cluster.udp is {}: bind to one address, or to 0.0.0.0 for IPv4", cluster.udp)
        })?;
        ensure(!cluster.udp.ip().is_unspecified() || cluster.public.is_some(), || {
            format!(
                "cluster.udp is bound to {}, by which no other node reaches it: set cluster.public (or \
                 --cluster-public) to the address that they do, or bind to one address",
                cluster.udp
            )
        })?;
        if let Some(public) = cluster.public {
            let is_sent_to =
                !public.ip().is_unspecified() && !public.ip().is_multicast() && public.port() > 0;
            ensure(is_sent_to, || {
                format!(
                    "cluster.public {public} is no address to send to: set the one by which other nodes reach it"
                )
            })?;
        }
        ensure(!self.tls.is_on() || cluster.http_public.is_some(), || {
            "http speaks TLS, for which clients need the name in its certificate: set cluster.http_public (or \
             --http-public) to https:// and that name"
                .to_owned()
        })?;
        ensure(!self.http.ip().is_unspecified() || cluster.http_public.is_some(), || {
            format!(
                "http is bound to {}, by which nobody is sent to this node: set cluster.http_public (or \
                 --http-public) to the URL by which clients reach it",
                self.http
            )
        })?;
        if let Some(url) = &cluster.http_public {
            let parsed: Option<axum::http::Uri> = url.parse().ok();
            let is_base = parsed.is_some_and(|uri| {
                let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
                has_scheme && uri.host().is_some() && uri.path() == "/" && uri.query().is_none()
            });
            ensure(is_base && !url.ends_with('/'), || {
                format!("cluster.http_public {url:?}: write it as https://node-1.example.com, without a path")
            })?;
        }
        for seed in &cluster.seeds {
            let port = seed.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            ensure(port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)), || {
                format!("cluster.seeds has {seed:?}: write HOST:PORT, such as tercet-1.example.com:50100")
            })?;
        }
        Ok(())
    }

    fn check_sip(&self) -> Result<(), ConfigError> {
        let sip = &self.sip;
        if !sip.enabled {
            return Ok(());
        }
        let is_local = is_loopback(sip.listen.ip()) && sip.tls.is_none_or(|tls| is_loopback(tls.ip()));
        ensure(is_local || !sip.route.is_empty(), || {
            "sip is bound to an address that others reach, but no [[sip.route]] says which room a call is for: \
             add one, or bind to 127.0.0.1"
                .to_owned()
        })?;
        ensure(is_local || !sip.listen.ip().is_unspecified() || sip.public.is_some(), || {
            format!(
                "sip.listen is {}, by which no phone answers: set sip.public (or --sip-public) to the address that \
                 phones and trunks reach, or bind to one address",
                sip.listen
            )
        })?;
        ensure(sip.tls.is_none() || sip.certificate.is_some() && sip.key.is_some(), || {
            "sip.tls wants a certificate: set sip.certificate and sip.key to PEM files".to_owned()
        })?;
        let [first, last] = sip.rtp_ports;
        ensure(first >= 1024 && last > first, || {
            format!("sip.rtp_ports is {first} to {last}: set two ports above 1023, the lower one first")
        })?;
        ensure(!sip.codecs.is_empty(), || "sip.codecs is empty: phones have to speak something".to_owned())?;
        check_range("sip.silent_ms", sip.silent_ms, 1000, TIME_MS_MAX)?;
        check_range("sip.calls_max", sip.calls_max, 1, 100_000)?;
        check_range("sip.calls_per_minute", sip.calls_per_minute, 1, 100_000)?;
        for (index, user) in sip.user.iter().enumerate() {
            let name = &user.name;
            ensure(sip.user[..index].iter().all(|other| other.name != *name), || {
                format!("two users of sip are called {name}")
            })?;
            ensure(is_callable(name), || {
                format!("nobody could call the sip.user {name:?}: 1 to 64 letters, digits, and + * # . - _")
            })?;
            ensure(!user.password.is_empty(), || format!("the sip.user {name} has no password"))?;
        }
        for (index, trunk) in sip.trunk.iter().enumerate() {
            let name = &trunk.name;
            ensure(sip.trunk[..index].iter().all(|other| other.name != *name), || {
                format!("two trunks of sip are called {name}")
            })?;
            ensure(trunk.username.is_some() == trunk.password.is_some(), || {
                format!("sip.trunk {name} has a username or a password, but not both")
            })?;
            ensure(trunk.transport != Some(SipTransport::Tls) || sip.tls.is_some(), || {
                format!("sip.trunk {name} is reached by TLS, but sip.tls is not set: its answers come there")
            })?;
            ensure(!trunk.register || trunk.username.is_some(), || {
                format!("sip.trunk {name} is to be registered with, but has no username")
            })?;
        }
        let languages = sip.route.iter().filter_map(|route| route.language.as_ref()).chain([&sip.language]);
        for language in languages {
            language.parse::<Language>().map_err(|error| ConfigError::Invalid(format!("sip: {error}")))?;
        }
        for route in &sip.route {
            let shown = route.number.as_deref().unwrap_or("*");
            let is_pin = |pin: &String| pin.parse::<Pin>().is_ok();
            let pins = [&route.pin, &route.moderator_pin];
            ensure(pins.into_iter().flatten().all(is_pin), || {
                format!("a PIN of the sip.route for {shown} is not 1 to 32 digits")
            })?;
            ensure(route.pin.is_none() || route.pin != route.moderator_pin, || {
                format!("the sip.route for {shown} has one PIN for moderators and others")
            })?;
            ensure(route.room.as_deref().is_none_or(is_name), || {
                format!("the room of the sip.route for {shown} has not 1 to {NAME_CHARS_MAX} characters")
            })?;
            let knows = |trunk: &String| sip.trunk.iter().any(|known| known.name == *trunk);
            ensure(route.trunk.as_ref().is_none_or(knows), || {
                format!("the sip.route for {shown} names a trunk that there is not")
            })?;
        }
        Ok(())
    }

    fn check_origins(&self) -> Result<(), ConfigError> {
        let any = self.allowed_origins.iter().any(|origin| origin == "*");
        ensure(!any || self.allowed_origins.len() == 1, || {
            "allowed_origins has `*` beside others: set either `*` alone or a list of origins".to_owned()
        })?;
        for origin in &self.allowed_origins {
            ensure(origin == "*" || is_origin(origin), || {
                format!(
                    "allowed_origins has {origin:?}, which no browser sends: set scheme://host or \
                     scheme://host:port, without a path"
                )
            })?;
        }
        Ok(())
    }

    fn check_log(&self) -> Result<(), ConfigError> {
        EnvFilter::try_new(&self.log.filter).map(drop).map_err(|error| {
            ConfigError::Invalid(format!(
                "log.filter {:?} cannot be read ({error}): set a level, such as info, or a list, \
                 such as info,str0m=debug",
                self.log.filter
            ))
        })
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        check_range("room.slots", self.room.slots, 1, SLOTS_MAX)?;
        check_range("room.video_slots", self.room.video_slots, 0, VIDEO_SLOTS_MAX)?;
        check_range("room.video_kbps_max", self.room.video_kbps_max, VIDEO_KBPS_MIN, VIDEO_KBPS_MAX)?;
        check_range("room.pre_roll_ms", self.room.pre_roll_ms, 0, PRE_ROLL_MS_MAX)?;
        check_range("room.participants_max", self.room.participants_max, 1, u32::MAX)?;
        check_range("limits.sessions_max", self.limits.sessions_max, 1, u32::MAX)?;
        let tcp_max = self.limits.media_tcp_connections_max;
        check_range("limits.media_tcp_connections_max", tcp_max, 1, u32::MAX)?;
        check_range("limits.players_of_token_max", self.limits.players_of_token_max, 1, u32::MAX)?;
        check_range("session.resume_ms", self.session.resume_ms, 0, TIME_MS_MAX)?;
        check_range("session.idle_ms", self.session.idle_ms, 1, TIME_MS_MAX)?;
        check_range("session.join_ms", self.session.join_ms, 1, TIME_MS_MAX)?;
        check_range("shutdown_ms", self.shutdown_ms, 0, TIME_MS_MAX)
    }

    fn check_rooms(&self) -> Result<(), ConfigError> {
        for (name, room) in &self.rooms {
            ensure(is_name(name), || {
                format!(
                    "rooms has a room named {name:?}: set 1 to {NAME_CHARS_MAX} characters, none \
                     of them control characters"
                )
            })?;
            if let Some(slots) = room.slots {
                check_range(&format!("rooms.{name}.slots"), slots, 1, SLOTS_MAX)?;
            }
            if let Some(slots) = room.video_slots {
                check_range(&format!("rooms.{name}.video_slots"), slots, 0, VIDEO_SLOTS_MAX)?;
            }
            if let Some(kbps) = room.video_kbps_max {
                let key = format!("rooms.{name}.video_kbps_max");
                check_range(&key, kbps, VIDEO_KBPS_MIN, VIDEO_KBPS_MAX)?;
            }
            if let Some(pre_roll_ms) = room.pre_roll_ms {
                check_range(&format!("rooms.{name}.pre_roll_ms"), pre_roll_ms, 0, PRE_ROLL_MS_MAX)?;
            }
            if let Some(participants_max) = room.participants_max {
                let key = format!("rooms.{name}.participants_max");
                check_range(&key, participants_max, 1, u32::MAX)?;
            }
        }
        Ok(())
    }
}

impl ClusterConfig {
    /// The keys that are not as by default.
    fn differing(&self) -> Vec<&'static str> {
        let ClusterConfig { secret, node_id, zone, role, seeds, udp, public, http_public, zone_map } = self;
        let default = ClusterConfig::default();
        let keys = [
            ("secret", *secret != default.secret),
            ("node_id", *node_id != default.node_id),
            ("zone", *zone != default.zone),
            ("role", *role != default.role),
            ("seeds", *seeds != default.seeds),
            ("udp", *udp != default.udp),
            ("public", *public != default.public),
            ("http_public", *http_public != default.http_public),
            ("zone_map", *zone_map != default.zone_map),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// Who may be called: E.164 has 15 digits, extensions and names of users are longer.
const CALLABLE_CHARS_MAX: usize = 64;

/// Whether a number, or a user of SIP, may be so.
pub(crate) fn is_callable(to: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+*#.-_".contains(c);
    (1..=CALLABLE_CHARS_MAX).contains(&to.len()) && to.chars().all(is_plain)
}

/// Whether this may name a room or a participant; tokens are held to the same rule.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// Whether only this machine can reach the address, `::ffff:127.0.0.1` included.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether a browser could send this as `Origin` (RFC 6454, section 6.2: scheme, host, port).
fn is_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else {
        return false;
    };
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    plain(scheme) && plain(host) && !host.contains(['/', '*', '?', '#', '@', ','])
}

pub(super) fn check_range<N: PartialOrd + std::fmt::Display>(
    key: &str,
    value: N,
    min: N,
    max: N,
) -> Result<(), ConfigError> {
    ensure(value >= min && value <= max, || format!("{key} is {value}: set {min} to {max}"))
}

pub(super) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Invalid(message())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// A configuration of one worker, parsed from TOML.
    fn config(text: &str) -> Config {
        toml::from_str(&format!("workers = 1\n{text}")).unwrap()
    }

    #[track_caller]
    fn accepted(text: &str) {
        config(text).validate().unwrap();
    }

    #[track_caller]
    fn refused(text: &str, mentions: &[&str]) {
        let error = config(text).validate().expect_err("should be refused").to_string();
        for mention in mentions {
            assert!(error.contains(mention), "{mention:?} is not in: {error}");
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn without_a_secret_everything_stays_on_loopback() {
        accepted("http = '[::1]:8080'\nmedia_udp = ['127.0.0.2:50000', '[::1]:50000']");
        accepted("http = '[::ffff:127.0.0.1]:8080'");
        assert_eq!(
            config("http = '0.0.0.0:8080'").validate().unwrap_err().to_string(),
            "http is bound to 0.0.0.0:8080, which is not loopback, and no access secret is set: \
             set TERCET_SECRET (at least 32 bytes, e.g. `openssl rand -hex 32`), or bind to \
             127.0.0.1"
        );
        refused("http = '[::]:8080'", &["http", "[::]:8080", "TERCET_SECRET"]);
        refused("media_udp = ['127.0.0.1:1', '10.0.0.1:1']", &["media_udp", "10.0.0.1:1"]);
        refused("public_ip = ['203.0.113.7']", &["public_ip", "203.0.113.7", "TERCET_SECRET"]);
        refused("media_tcp = ['0.0.0.0:1']", &["media_tcp", "0.0.0.0:1", "TERCET_SECRET"]);
        refused("media_tcp_public = ['203.0.113.7:1']", &["media_tcp_public", "TERCET_SECRET"]);
    }

    #[test]
    fn the_dev_secret_set_by_hand_is_still_the_dev_secret() {
        let access = format!("[access]\nsecret = '{DEV_SECRET}'");
        accepted(&access);
        refused(&format!("http = '0.0.0.0:80'\n{access}"), &["development secret", "0.0.0.0:80"]);
        let both = format!("http = '0.0.0.0:80'\n{access}\npublic_key_file = 'key.pem'");
        refused(&both, &["development secret"]);
    }

    #[test]
    fn with_a_secret_or_a_public_key_any_address_will_do() {
        let open = "http = '0.0.0.0:80'\nmedia_udp = ['[::]:50000']\npublic_ip = ['203.0.113.7']";
        accepted(&format!("{open}\n[access]\nsecret = '{SECRET}'"));
        accepted(&format!("{open}\n[access]\npublic_key_file = 'key.pem'"));
    }

    #[test]
    fn a_public_key_alone_leaves_no_secret_to_sign_with() {
        let only_key = config("[access]\npublic_key_file = 'key.pem'");
        assert_eq!(only_key.access_secret().unwrap(), None);
        refused("demo = true\n[access]\npublic_key_file = 'key.pem'", &["demo", "TERCET_SECRET"]);
    }

    #[test]
    fn a_secret_has_32_bytes_or_more() {
        accepted(&format!("[access]\nsecret = '{SECRET}'"));
        refused(&format!("[access]\nsecret = '{}'", &SECRET[1..]), &["31 bytes", "TERCET_SECRET"]);
        refused("[access]\nsecret = ''", &["0 bytes"]);
    }

    #[test]
    fn the_ports_of_all_workers_exist_and_do_not_overlap() {
        accepted("media_udp = ['127.0.0.1:65535']");
        accepted("media_udp = ['127.0.0.1:50000', '127.0.0.1:50001']");
        accepted("media_udp = ['127.0.0.1:0', '127.0.0.1:0']");
        let two = |text: &str| Config { workers: Some(2), ..config(text) }.validate();
        two("media_udp = ['127.0.0.1:65534']").unwrap();
        two("media_udp = ['127.0.0.1:65535']").unwrap_err();
        two("media_udp = ['127.0.0.1:50000', '127.0.0.1:50002']").unwrap();
        two("media_udp = ['127.0.0.1:50001', '127.0.0.1:50000']").unwrap_err();
        two("media_udp = ['127.0.0.1:50000', '[::1]:50000']").unwrap();
        refused("media_udp = []", &["media_udp", "127.0.0.1:50000"]);
    }

    #[test]
    fn numbers_hold_at_the_limit_and_fail_one_step_past_it() {
        for workers in [1, 256] {
            Config { workers: Some(workers), ..Config::default() }.validate().unwrap();
        }
        for workers in [0, 257] {
            Config { workers: Some(workers), ..Config::default() }.validate().unwrap_err();
        }
        accepted("[room]\nslots = 8");
        refused("[room]\nslots = 9", &["room.slots is 9: set 1 to 8"]);
        refused("[room]\nslots = 0", &["room.slots"]);
        accepted("[room]\nvideo_slots = 0");
        refused("[room]\nvideo_slots = 17", &["room.video_slots is 17: set 0 to 16"]);
        refused("[rooms.stage]\nvideo_slots = 17", &["rooms.stage.video_slots"]);
        accepted("[room]\nvideo_kbps_max = 30000");
        refused("[room]\nvideo_kbps_max = 6", &["room.video_kbps_max is 6: set 100 to 30000"]);
        refused("[rooms.stage]\nvideo_kbps_max = 30001", &["rooms.stage.video_kbps_max"]);
        accepted("[room]\npre_roll_ms = 0");
        accepted("[room]\npre_roll_ms = 100");
        refused("[room]\npre_roll_ms = 101", &["room.pre_roll_ms is 101: set 0 to 100"]);
        accepted("[rooms.stage]\nslots = 1");
        refused("[rooms.stage]\nslots = 9", &["rooms.stage.slots"]);
        refused("[rooms.stage]\npre_roll_ms = 101", &["rooms.stage.pre_roll_ms is 101: set 0 to 100"]);
        refused("[rooms.stage]\nparticipants_max = 0", &["rooms.stage.participants_max"]);
        refused("[rooms.'']\nslots = 3", &["rooms"]);
        refused("[limits]\nsessions_max = 0", &["limits.sessions_max"]);
        accepted("[session]\nresume_ms = 0");
        accepted("[session]\nidle_ms = 86400000");
        refused("[session]\nidle_ms = 86400001", &["session.idle_ms", "86400000"]);
        refused("[session]\njoin_ms = 0", &["session.join_ms"]);
        refused("shutdown_ms = 86400001", &["shutdown_ms"]);
    }

    #[test]
    fn without_a_cluster_secret_nothing_of_a_cluster_is_set() {
        accepted("[cluster]\nnode_id = 1\nzone = 0\nrole = 'all'\nseeds = []\nudp = '127.0.0.1:50100'");
        for key in [
            "node_id = 0",
            "zone = 1",
            "role = 'media'",
            "seeds = ['a:1']",
            "udp = '127.0.0.1:1'",
            "public = '203.0.113.1:1'",
            "http_public = 'https://a'",
            "zone_map = 'zones.toml'",
        ] {
            let (name, _) = key.split_once(' ').unwrap();
            refused(
                &format!("[cluster]\n{key}"),
                &[&format!("cluster.{name} is set"), "TERCET_CLUSTER_SECRET"],
            );
        }
        refused("[cluster]\nzone = 1\nnode_id = 2", &["cluster.node_id, cluster.zone are set"]);
    }

    #[test]
    fn other_nodes_are_told_an_address_to_send_to() {
        let public = |address: &str| format!("[cluster]\nsecret = '{SECRET}'\npublic = '{address}'");
        accepted(&public("203.0.113.1:50100"));
        for wrong in ["0.0.0.0:50100", "[::]:50100", "224.0.0.1:50100", "203.0.113.1:0"] {
            refused(&public(wrong), &["cluster.public", wrong]);
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        accepted("allowed_origins = ['*']");
        accepted("allowed_origins = []");
        accepted("allowed_origins = ['https://a.example', 'http://localhost:3000', 'app://x']");
        refused("allowed_origins = ['*', 'https://a.example']", &["`*`"]);
        for wrong in ["a.example", "https://", "https://a.example/", "https://*.a", "https://a b"] {
            refused(&format!("allowed_origins = ['{wrong}']"), &["allowed_origins", wrong]);
        }
    }

    #[test]
    fn the_log_filter_can_be_read() {
        accepted("[log]\nfilter = 'info,str0m=debug'");
        refused("[log]\nfilter = 'info,str0m=loud'", &["log.filter", "str0m=loud"]);
    }
}
