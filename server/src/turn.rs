//! Credentials for TURN servers: who they are for and until when in, a name and a password out, which the servers can check by
//! a secret that they share with this one (draft-uberti-behave-turn-rest-00; coturn calls it `use-auth-secret`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tercet_protocol::IceServer;

use crate::config::TurnConfig;

/// How much of a digest names a user: enough to tell all of them apart.
const USER_BYTES: usize = 8;

/// Whom a relay counts a participant as: the same in all sessions, another in each room.
pub(crate) fn user_of(room: &str, identity: &str) -> String {
    format!("{room}\n{identity}")
}

/// What clients are told of relays. Nobody is told of any where none is configured.
pub(crate) fn ice_servers(config: &TurnConfig, now: SystemTime, user: &str) -> Vec<IceServer> {
    let Some(secret) = &config.secret else {
        return Vec::new();
    };
    let expires_at = now + Duration::from_secs(config.ttl_s);
    let expires_at = expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // A relay counts by it what a user has, and logs it: that names nobody.
    let digest = digest::digest(&digest::SHA256, user.as_bytes());
    let user: String = digest.as_ref().iter().take(USER_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let username = format!("{expires_at}:{user}");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let credential = BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes()));
    vec![IceServer { urls: config.urls.clone(), username, credential }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_what_the_relay_makes_of_the_name() {
        let config = TurnConfig {
            urls: vec!["turn:a:3478".to_owned()],
            secret: Some("north".to_owned()),
            ttl_s: 3_600,
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let servers = ice_servers(&config, now, "ada");
        // printf 1003600:fdee430d40bd57de | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers[0].username, "1003600:fdee430d40bd57de");
        assert_eq!(servers[0].credential, "lch/IELVcmp29eLynMRsHeg/T98=");
        assert_eq!(servers[0].urls, config.urls);
        assert!(ice_servers(&TurnConfig::default(), now, "ada").is_empty());
    }
}
