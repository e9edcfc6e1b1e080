//! Relays for clients that reach the server by none of its own ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::{check_range, ensure};
use super::{Config, ConfigError};

/// A day: a relay asks again for the credentials while they are used.
const TTL_S_MAX: u64 = 24 * 60 * 60;

/// TURN servers that clients are told of.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TurnConfig {
    /// Where they are (RFC 7065), `turn:HOST:PORT`, with `?transport=tcp` for TCP, or `turns:HOST:PORT` for TLS.
    #[schemars(example = ["turn:turn.example.com:3478", "turns:turn.example.com:5349?transport=tcp"])]
    pub(crate) urls: Vec<String>,
    /// The secret that they share with this server, such as `static-auth-secret` of coturn with `use-auth-secret`. Better
    /// given as TERCET_TURN_SECRET.
    #[schemars(example = "<openssl rand -hex 32>")]
    pub(crate) secret: Option<String>,
    /// How long a client's credentials serve, in seconds. Those of whoever comes back are new.
    pub(crate) ttl_s: u64,
}

impl Default for TurnConfig {
    fn default() -> Self {
        TurnConfig { urls: Vec::new(), secret: None, ttl_s: 6 * 60 * 60 }
    }
}

// By hand, so that no log line can have the secret.
impl std::fmt::Debug for TurnConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnConfig")
            .field("urls", &self.urls)
            .field("secret", &self.secret.as_ref().map(|_| "<hidden>"))
            .field("ttl_s", &self.ttl_s)
            .finish()
    }
}

impl Config {
    pub(super) fn check_turn(&self) -> Result<(), ConfigError> {
        let turn = &self.turn;
        ensure(turn.urls.is_empty() == turn.secret.is_none(), || {
            "turn.urls and turn.secret belong together: set both (--turn and TERCET_TURN_SECRET), or neither"
                .to_owned()
        })?;
        ensure(turn.secret.as_deref().is_none_or(|it| !it.is_empty() && !it.starts_with('<')), || {
            "turn.secret is empty, or the sample's: set that of the TURN server".to_owned()
        })?;
        for url in &turn.urls {
            let rest = url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:"));
            let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                && url.chars().all(|c| c.is_ascii_graphic() && !"\"<>,;".contains(c));
            ensure(is_url, || {
                format!("turn.urls has {url:?}: write turn:HOST:PORT, or turns:HOST:PORT for TLS (RFC 7065)")
            })?;
        }
        check_range("turn.ttl_s", turn.ttl_s, 60, TTL_S_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        toml::from_str::<Config>(&format!("[turn]\n{text}"))
            .unwrap()
            .validate()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn relays_have_urls_and_a_secret() {
        checked("urls = ['turn:a:3478', 'turns:[::1]:5349?transport=tcp']\nsecret = 's'").unwrap();
        for wrong in ["urls = ['turn:a']", "secret = 's'", "urls = ['turn:a']\nsecret = ''"] {
            assert!(checked(wrong).unwrap_err().contains("turn.secret"), "{wrong}");
        }
        for wrong in ["stun:a", "turn:", "turn://a", "turn:a>", "https://a"] {
            let error = checked(&format!("urls = ['{wrong}']\nsecret = 's'")).unwrap_err();
            assert!(error.contains("write turn:HOST:PORT"), "{error}");
        }
        checked("ttl_s = 60").unwrap();
        assert!(checked("ttl_s = 59").unwrap_err().contains("turn.ttl_s is 59: set 60 to 86400"));
    }
}
